//! Values read from WAVE, and written as WAVE.

use std::borrow::Cow;

use anyhow::{Context as _, anyhow, bail};
use trellis_rpc::value::{FunctionType, Ty, Value};
use wasm_wave::{
    value::{Type, Value as Wave},
    wasm::{WasmType as _, WasmValue as _},
};

use super::types;

/// Reads a function's arguments.
///
/// # Errors
/// Too few or too many, or one that doesn't fit; it is named, with its type.
pub fn arguments(function: &FunctionType, texts: &[String]) -> anyhow::Result<Vec<Value>> {
    let wanted = function.params.len();
    if texts.len() != wanted {
        let params: Vec<String> = function
            .params
            .iter()
            .map(|(name, ty)| format!("{name}: {ty}"))
            .collect();
        bail!(
            "{} arguments given, {wanted} wanted ({})",
            texts.len(),
            params.join(", ")
        );
    }
    let pairs = function.params.iter().zip(texts);
    pairs
        .map(|((name, ty), text)| {
            argument(ty, text).map_err(|error| anyhow!("argument {name}: {ty}: {error}"))
        })
        .collect()
}

fn argument(ty: &Ty, text: &str) -> anyhow::Result<Value> {
    if *ty == Ty::String && !text.starts_with('"') {
        bail!(
            "{text}: a string has quotes, and the shell must be kept from taking them: '\"{text}\"'"
        );
    }
    let wave: Wave =
        wasm_wave::from_str(&types::wave(ty)?, text).map_err(|error| anyhow!("{text}: {error}"))?;
    from_wave(&wave, ty)
}

/// Writes a value.
///
/// # Errors
/// It isn't of the type; the callee broke its word.
pub fn text(value: &Value, ty: &Ty, wave: &Type) -> anyhow::Result<String> {
    Ok(wasm_wave::to_string(&to_wave(value, ty, wave)?)?)
}

/// The value was parsed as this very type: each branch may unwrap what its kind says.
fn from_wave(wave: &Wave, ty: &Ty) -> anyhow::Result<Value> {
    let inner = |value: Option<Cow<'_, Wave>>, ty: Option<&Ty>| match (value, ty) {
        (Some(value), Some(ty)) => anyhow::Ok(Some(Box::new(from_wave(&value, ty)?))),
        _ => Ok(None),
    };
    Ok(match ty {
        Ty::Bool => Value::Bool(wave.unwrap_bool()),
        Ty::S8 => Value::S8(wave.unwrap_s8()),
        Ty::U8 => Value::U8(wave.unwrap_u8()),
        Ty::S16 => Value::S16(wave.unwrap_s16()),
        Ty::U16 => Value::U16(wave.unwrap_u16()),
        Ty::S32 => Value::S32(wave.unwrap_s32()),
        Ty::U32 => Value::U32(wave.unwrap_u32()),
        Ty::S64 => Value::S64(wave.unwrap_s64()),
        Ty::U64 => Value::U64(wave.unwrap_u64()),
        Ty::F32 => Value::F32(wave.unwrap_f32()),
        Ty::F64 => Value::F64(wave.unwrap_f64()),
        Ty::Char => Value::Char(wave.unwrap_char()),
        Ty::String => Value::String(wave.unwrap_string().into_owned()),
        Ty::List(element) if **element == Ty::U8 => Value::Bytes(
            wave.unwrap_list()
                .map(|byte| byte.unwrap_u8())
                .collect::<Vec<_>>()
                .into(),
        ),
        Ty::List(element) => Value::List(
            wave.unwrap_list()
                .map(|item| from_wave(&item, element))
                .collect::<Result<_, _>>()?,
        ),
        Ty::Record { fields } => {
            let values = wave
                .unwrap_record()
                .zip(fields)
                .map(|((_, value), (_, ty))| from_wave(&value, ty));
            Value::Record(values.collect::<Result<_, _>>()?)
        }
        Ty::Tuple(items) => {
            let values = wave
                .unwrap_tuple()
                .zip(items)
                .map(|(value, ty)| from_wave(&value, ty));
            Value::Tuple(values.collect::<Result<_, _>>()?)
        }
        Ty::Variant { cases } => {
            let (name, payload) = wave.unwrap_variant();
            let index = cases
                .iter()
                .position(|(case, _)| *case == name)
                .context("a case")?;
            Value::Variant(
                u32::try_from(index)?,
                inner(payload, cases[index].1.as_ref())?,
            )
        }
        Ty::Enum { cases } => {
            let name = wave.unwrap_enum();
            Value::Enum(u32::try_from(
                cases
                    .iter()
                    .position(|case| *case == name)
                    .context("a case")?,
            )?)
        }
        Ty::Option(some) => Value::Option(inner(wave.unwrap_option(), Some(some))?),
        Ty::Result { ok, err } => Value::Result(match wave.unwrap_result() {
            Ok(value) => Ok(inner(value, ok.as_deref())?),
            Err(value) => Err(inner(value, err.as_deref())?),
        }),
        Ty::Flags { names } => {
            let set: Vec<_> = wave.unwrap_flags().collect();
            Value::Flags(
                names
                    .iter()
                    .map(|name| set.iter().any(|set| set == name))
                    .collect(),
            )
        }
        Ty::Own(_) | Ty::Borrow(_) | Ty::Stream(_) | Ty::Future(_) => {
            bail!("{ty} can't be written as a value")
        }
    })
}

fn to_wave(value: &Value, ty: &Ty, wave: &Type) -> anyhow::Result<Wave> {
    let many = |values: &[Value], types: &mut dyn Iterator<Item = (&Ty, Type)>| {
        let pairs = values.iter().zip(types);
        pairs
            .map(|(value, (ty, wave))| to_wave(value, ty, &wave))
            .collect::<anyhow::Result<Vec<Wave>>>()
    };
    let side = |value: &Option<Box<Value>>, ty: &Option<Box<Ty>>, wave: Option<Type>| match (
        value, ty, wave,
    ) {
        (Some(value), Some(ty), Some(wave)) => to_wave(value, ty, &wave).map(Some),
        _ => Ok(None),
    };
    Ok(match (ty, value) {
        (_, Value::Bool(value)) => Wave::make_bool(*value),
        (_, Value::S8(value)) => Wave::make_s8(*value),
        (_, Value::U8(value)) => Wave::make_u8(*value),
        (_, Value::S16(value)) => Wave::make_s16(*value),
        (_, Value::U16(value)) => Wave::make_u16(*value),
        (_, Value::S32(value)) => Wave::make_s32(*value),
        (_, Value::U32(value)) => Wave::make_u32(*value),
        (_, Value::S64(value)) => Wave::make_s64(*value),
        (_, Value::U64(value)) => Wave::make_u64(*value),
        (_, Value::F32(value)) => Wave::make_f32(*value),
        (_, Value::F64(value)) => Wave::make_f64(*value),
        (_, Value::Char(value)) => Wave::make_char(*value),
        (_, Value::String(value)) => Wave::make_string(value.into()),
        (Ty::List(_), Value::Bytes(bytes)) => {
            Wave::make_list(wave, bytes.iter().copied().map(Wave::make_u8))?
        }
        (Ty::List(element), Value::List(values)) => {
            let inner = wave.list_element_type().context("a list")?;
            Wave::make_list(
                wave,
                many(values, &mut std::iter::repeat((&**element, inner)))?,
            )?
        }
        (Ty::Record { fields }, Value::Record(values)) => {
            let types: Vec<_> = wave.record_fields().map(|(_, ty)| ty).collect();
            let values = many(values, &mut fields.iter().map(|(_, ty)| ty).zip(types))?;
            Wave::make_record(
                wave,
                fields.iter().map(|(name, _)| name.as_str()).zip(values),
            )?
        }
        (Ty::Tuple(items), Value::Tuple(values)) => Wave::make_tuple(
            wave,
            many(values, &mut items.iter().zip(wave.tuple_element_types()))?,
        )?,
        (Ty::Variant { cases }, Value::Variant(index, payload)) => {
            let (name, ty) = cases
                .get(usize::try_from(*index)?)
                .context("no such case")?;
            let inner = wave
                .variant_cases()
                .find(|(case, _)| case == name)
                .and_then(|(_, ty)| ty);
            Wave::make_variant(wave, name, side(payload, &ty.clone().map(Box::new), inner)?)?
        }
        (Ty::Enum { cases }, Value::Enum(index)) => Wave::make_enum(
            wave,
            cases
                .get(usize::try_from(*index)?)
                .context("no such case")?,
        )?,
        (Ty::Option(some), Value::Option(value)) => Wave::make_option(
            wave,
            side(value, &Some(some.clone()), wave.option_some_type())?,
        )?,
        (Ty::Result { ok, err }, Value::Result(value)) => {
            let (wave_ok, wave_err) = wave.result_types().context("a result")?;
            let value = match value {
                Ok(value) => Ok(side(value, ok, wave_ok)?),
                Err(value) => Err(side(value, err, wave_err)?),
            };
            Wave::make_result(wave, value)?
        }
        (Ty::Flags { names }, Value::Flags(set)) => {
            let set = names
                .iter()
                .zip(set)
                .filter(|(_, set)| **set)
                .map(|(name, _)| name.as_str());
            Wave::make_flags(wave, set)?
        }
        (ty, value) => bail!("a {} where {ty} is wanted", value.kind()),
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn round(ty: &Ty, text: &str) -> (Value, String) {
        let value = argument(ty, text).unwrap();
        let written = super::text(&value, ty, &types::wave(ty).unwrap()).unwrap();
        (value, written)
    }

    #[test]
    fn every_kind_of_value_goes_there_and_back() {
        let record = Ty::Record {
            fields: vec![("x".into(), Ty::S32), ("name".into(), Ty::String)],
        };
        let variant = Ty::Variant {
            cases: vec![
                ("nothing".into(), None),
                ("some-of".into(), Some(Ty::list(Ty::U16))),
            ],
        };
        for (ty, text) in [
            (Ty::Bool, "true"),
            (Ty::S64, "-9223372036854775808"),
            (Ty::U64, "18446744073709551615"),
            (Ty::F64, "1.5"),
            (Ty::Char, "'ä'"),
            (Ty::String, "\"a \\\"b\\\"\""),
            (Ty::list(Ty::U8), "[1, 2, 255]"),
            (Ty::list(Ty::String), "[\"a\", \"b\"]"),
            (record, "{x: -1, name: \"n\"}"),
            (Ty::Tuple(vec![Ty::U8, Ty::Bool]), "(1, false)"),
            (variant.clone(), "nothing"),
            (variant, "some-of([1, 2])"),
            (
                Ty::Enum {
                    cases: vec!["red".into(), "blue".into()],
                },
                "blue",
            ),
            (Ty::option(Ty::U32), "some(3)"),
            (Ty::option(Ty::U32), "none"),
            (Ty::result(Some(Ty::U8), Some(Ty::String)), "err(\"no\")"),
            (Ty::result(None, None), "ok"),
            (
                Ty::Flags {
                    names: vec!["a".into(), "b".into(), "c".into()],
                },
                "{a, c}",
            ),
        ] {
            assert_eq!(round(&ty, text).1, text, "{ty}");
        }
        assert_eq!(
            round(&Ty::list(Ty::U8), "[1, 2]").0,
            Value::Bytes(Bytes::from_static(&[1, 2]))
        );
    }

    #[test]
    fn a_string_needs_its_quotes() {
        let error = argument(&Ty::String, "Ada").unwrap_err().to_string();
        assert!(error.ends_with("'\"Ada\"'"), "{error}");
    }

    #[test]
    fn what_doesn_t_fit_is_named() {
        let function = FunctionType {
            params: vec![("count".into(), Ty::U32)],
            result: None,
        };
        let error = arguments(&function, &["-1".into()])
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("argument count: u32: -1"), "{error}");
        let error = arguments(&function, &[]).unwrap_err().to_string();
        assert_eq!(error, "0 arguments given, 1 wanted (count: u32)");
    }
}

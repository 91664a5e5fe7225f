//! How large values are on the wire. Those that are handed over as they are keep to the same bound, so that a call does
//! not depend on where its callee runs.

use trellis_rpc::{CallError, value::Ty};
use wasmtime::component::Val;

use super::decode::MAX_ROOT_BYTES;

/// Refuses values that would not fit into a call.
///
/// # Errors
/// [`CallError::TooLarge`].
pub(in crate::runtime) fn check<'a>(
    what: &'static str,
    types: impl Iterator<Item = &'a Ty>,
    values: &[Val],
) -> Result<(), CallError> {
    let bytes: usize = types
        .zip(values)
        .map(|(ty, value)| encoded(ty, value))
        .sum();
    if bytes <= MAX_ROOT_BYTES {
        return Ok(());
    }
    Err(CallError::TooLarge {
        what: what.into(),
        bytes,
        limit: MAX_ROOT_BYTES,
    })
}

/// Whether every value of a type is small, so that it need not be looked at: no list and no text in it.
pub(in crate::runtime) fn is_small(ty: &Ty) -> bool {
    match ty {
        Ty::String | Ty::List(_) | Ty::Own(_) | Ty::Borrow(_) | Ty::Stream(_) | Ty::Future(_) => {
            false
        }
        Ty::Record { fields } => fields.iter().all(|(_, ty)| is_small(ty)),
        Ty::Tuple(items) => items.iter().all(is_small),
        Ty::Variant { cases } => cases.iter().all(|(_, ty)| ty.as_ref().is_none_or(is_small)),
        Ty::Option(some) => is_small(some),
        Ty::Result { ok, err } => [ok, err]
            .into_iter()
            .all(|ty| ty.as_deref().is_none_or(is_small)),
        _ => true,
    }
}

/// How many bytes [`super::encode::encode`] writes, of a value that is of that type.
fn encoded(ty: &Ty, value: &Val) -> usize {
    let optional = |ty: Option<&Ty>, value: Option<&Val>| match (ty, value) {
        (Some(ty), Some(value)) => encoded(ty, value),
        _ => 0,
    };
    match (ty, value) {
        (_, Val::U16(number)) => unsigned((*number).into()),
        (_, Val::U32(number)) => unsigned((*number).into()),
        (_, Val::U64(number)) => unsigned(*number),
        (_, Val::S16(number)) => signed((*number).into()),
        (_, Val::S32(number)) => signed((*number).into()),
        (_, Val::S64(number)) => signed(*number),
        (_, Val::Float32(_)) => 4,
        (_, Val::Float64(_)) => 8,
        (_, Val::Char(letter)) => letter.len_utf8(),
        (_, Val::String(text)) => length(text.len()) + text.len(),
        (Ty::List(element), Val::List(values)) => {
            let elements = match **element {
                Ty::Bool | Ty::U8 | Ty::S8 => values.len(),
                _ => values.iter().map(|value| encoded(element, value)).sum(),
            };
            length(values.len()) + elements
        }
        (Ty::Record { fields }, Val::Record(values)) => fields
            .iter()
            .zip(values)
            .map(|((_, ty), (_, value))| encoded(ty, value))
            .sum(),
        (Ty::Tuple(items), Val::Tuple(values)) => items
            .iter()
            .zip(values)
            .map(|(ty, value)| encoded(ty, value))
            .sum(),
        (Ty::Variant { cases }, Val::Variant(name, payload)) => {
            let at = cases.iter().position(|(case, _)| case == name).unwrap_or(0);
            let ty = cases.get(at).and_then(|(_, ty)| ty.as_ref());
            length(at) + optional(ty, payload.as_deref())
        }
        (Ty::Enum { cases }, Val::Enum(name)) => {
            length(cases.iter().position(|case| case == name).unwrap_or(0))
        }
        (Ty::Option(some), Val::Option(value)) => 1 + optional(Some(some), value.as_deref()),
        (Ty::Result { ok, .. }, Val::Result(Ok(value))) => {
            1 + optional(ok.as_deref(), value.as_deref())
        }
        (Ty::Result { err, .. }, Val::Result(Err(value))) => {
            1 + optional(err.as_deref(), value.as_deref())
        }
        (Ty::Flags { names }, _) => names.len().div_ceil(8),
        _ => 1,
    }
}

/// How many bytes a length, or a case's index, takes.
fn length(length: usize) -> usize {
    unsigned(length as u64)
}

/// Seven bits go into a byte.
fn unsigned(number: u64) -> usize {
    (u64::BITS - number.leading_zeros()).div_ceil(7).max(1) as usize
}

/// The same, with a bit for the sign.
fn signed(number: i64) -> usize {
    let bits = u64::BITS - (number ^ (number >> 63)).leading_zeros();
    (bits + 1).div_ceil(7) as usize
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use wasmtime::component::ResourceAny;

    use super::*;
    use crate::runtime::dynamic::{
        encode::{Outgoing, encode},
        stream::Spot,
    };

    struct NoHandles;

    impl Outgoing for NoHandles {
        fn handle(&mut self, _: ResourceAny, name: &str, _: bool) -> Result<Bytes, CallError> {
            Err(CallError::Malformed(name.to_owned()))
        }

        fn stream(&mut self, _: ResourceAny, _: &[u32]) -> Result<(), CallError> {
            Err(CallError::Malformed("a stream".to_owned()))
        }
    }

    fn is_as_encoded(ty: &Ty, value: &Val) {
        let mut out = BytesMut::new();
        encode(value, ty, &mut NoHandles, &mut Spot::at(0), &mut out).unwrap();
        assert_eq!(encoded(ty, value), out.len(), "{ty}: {value:?}");
    }

    #[test]
    fn sizes_are_those_of_the_encoding() {
        for shift in 0..64 {
            for number in [(1_u64 << shift) - 1, 1 << shift, !(1 << shift)] {
                is_as_encoded(&Ty::U16, &Val::U16(number as u16));
                is_as_encoded(&Ty::U32, &Val::U32(number as u32));
                is_as_encoded(&Ty::U64, &Val::U64(number));
                is_as_encoded(&Ty::S16, &Val::S16(number as i16));
                is_as_encoded(&Ty::S32, &Val::S32(number as i32));
                is_as_encoded(&Ty::S64, &Val::S64(number as i64));
            }
        }
        let text = |text: &str| Val::String(text.to_owned());
        let names: Vec<String> = (0..200).map(|number| format!("n{number}")).collect();
        let flags = Ty::Flags {
            names: names[..9].to_vec(),
        };
        let cases = Ty::Enum {
            cases: names.clone(),
        };
        let variant = Ty::Variant {
            cases: vec![
                ("none".to_owned(), None),
                ("some".to_owned(), Some(Ty::String)),
            ],
        };
        let some = Some(Box::new(text("text")));
        for (ty, value) in [
            (Ty::Bool, Val::Bool(true)),
            (Ty::U8, Val::U8(200)),
            (Ty::F32, Val::Float32(1.5)),
            (Ty::F64, Val::Float64(1.5)),
            (Ty::Char, Val::Char('a')),
            (Ty::Char, Val::Char('\u{1f600}')),
            (Ty::String, text("")),
            (Ty::String, text(&"ä".repeat(100))),
            (Ty::list(Ty::U8), Val::List(vec![Val::U8(255); 300])),
            (Ty::list(Ty::String), Val::List(vec![text("a"), text("")])),
            (
                Ty::Tuple(vec![Ty::U8, Ty::U32]),
                Val::Tuple(vec![Val::U8(1), Val::U32(1 << 20)]),
            ),
            (
                Ty::Record {
                    fields: vec![("a".to_owned(), Ty::String)],
                },
                Val::Record(vec![("a".to_owned(), text("b"))]),
            ),
            (variant.clone(), Val::Variant("none".to_owned(), None)),
            (variant, Val::Variant("some".to_owned(), some.clone())),
            (cases, Val::Enum("n199".to_owned())),
            (flags, Val::Flags(names[1..3].to_vec())),
            (Ty::option(Ty::String), Val::Option(None)),
            (Ty::option(Ty::String), Val::Option(some.clone())),
            (Ty::result(Some(Ty::String), None), Val::Result(Ok(some))),
            (Ty::result(Some(Ty::String), None), Val::Result(Err(None))),
        ] {
            is_as_encoded(&ty, &value);
        }
    }

    #[test]
    fn only_what_cannot_grow_is_small() {
        assert!(is_small(&Ty::Tuple(vec![Ty::U64, Ty::option(Ty::Bool)])));
        assert!(!is_small(&Ty::result(Some(Ty::U64), Some(Ty::String))));
        assert!(!is_small(&Ty::option(Ty::list(Ty::U8))));
    }

    #[test]
    fn too_much_is_refused() {
        let types = [Ty::list(Ty::U8)];
        let bytes = |count| [Val::List(vec![Val::U8(0); count])];
        check("values", types.iter(), &bytes(1000)).unwrap();
        let error = check("values", types.iter(), &bytes(MAX_ROOT_BYTES)).unwrap_err();
        assert!(matches!(error, CallError::TooLarge { .. }), "{error}");
    }
}

//! Values as JSON: records and variants by name, bytes as a list of numbers.

use serde_json::{Map, Value as Json, json};
use trellis_rpc::value::{Ty, Value};

/// The value as JSON. What JSON has no form for (a number that isn't one, a resource) is a string or null.
pub fn json(value: &Value, ty: &Ty) -> Json {
    let inner = |value: &Option<Box<Value>>, ty: Option<&Ty>| match (value, ty) {
        (Some(value), Some(ty)) => json(value, ty),
        _ => Json::Null,
    };
    match (value, ty) {
        (Value::Bool(value), _) => json!(value),
        (Value::S8(value), _) => json!(value),
        (Value::U8(value), _) => json!(value),
        (Value::S16(value), _) => json!(value),
        (Value::U16(value), _) => json!(value),
        (Value::S32(value), _) => json!(value),
        (Value::U32(value), _) => json!(value),
        (Value::S64(value), _) => json!(value),
        (Value::U64(value), _) => json!(value),
        (Value::F32(value), _) => float(f64::from(*value)),
        (Value::F64(value), _) => float(*value),
        (Value::Char(value), _) => json!(value),
        (Value::String(value), _) => json!(value),
        (Value::Bytes(bytes), _) => json!(&bytes[..]),
        (Value::List(values), Ty::List(element)) => {
            values.iter().map(|value| json(value, element)).collect()
        }
        (Value::Record(values), Ty::Record { fields }) => {
            let fields = fields
                .iter()
                .zip(values)
                .map(|((name, ty), value)| (name.clone(), json(value, ty)));
            Json::Object(fields.collect())
        }
        (Value::Tuple(values), Ty::Tuple(items)) => values
            .iter()
            .zip(items)
            .map(|(value, ty)| json(value, ty))
            .collect(),
        (Value::Variant(index, payload), Ty::Variant { cases }) => match cases.get(*index as usize)
        {
            Some((name, None)) => json!(name),
            Some((name, Some(ty))) => named(name, inner(payload, Some(ty))),
            None => Json::Null,
        },
        (Value::Enum(index), Ty::Enum { cases }) => json!(cases.get(*index as usize)),
        (Value::Option(value), Ty::Option(some)) => inner(value, Some(some)),
        (Value::Result(Ok(value)), Ty::Result { ok, .. }) => {
            named("ok", inner(value, ok.as_deref()))
        }
        (Value::Result(Err(value)), Ty::Result { err, .. }) => {
            named("err", inner(value, err.as_deref()))
        }
        (Value::Flags(set), Ty::Flags { names }) => names
            .iter()
            .zip(set)
            .filter(|(_, set)| **set)
            .map(|(name, _)| json!(name))
            .collect(),
        _ => Json::Null,
    }
}

fn named(name: &str, value: Json) -> Json {
    Json::Object(Map::from_iter([(name.to_owned(), value)]))
}

fn float(value: f64) -> Json {
    serde_json::Number::from_f64(value).map_or_else(|| json!(value.to_string()), Json::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_where_the_type_has_them() {
        let ty = Ty::Record {
            fields: vec![
                (
                    "kind".into(),
                    Ty::Variant {
                        cases: vec![("a".into(), None), ("b".into(), Some(Ty::U8))],
                    },
                ),
                (
                    "flags".into(),
                    Ty::Flags {
                        names: vec!["r".into(), "w".into()],
                    },
                ),
                ("found".into(), Ty::option(Ty::F64)),
            ],
        };
        let value = Value::Record(vec![
            Value::Variant(1, Some(Box::new(Value::U8(7)))),
            Value::Flags(vec![false, true]),
            Value::Option(Some(Box::new(Value::F64(f64::NAN)))),
        ]);
        assert_eq!(
            json(&value, &ty),
            json!({ "kind": { "b": 7 }, "flags": ["w"], "found": "NaN" })
        );
    }
}

//! Types of every kind, and values of them.

use bytes::Bytes;
use proptest::{collection::vec, option, prelude::*};
use trellis_rpc::value::{Ty, Value};

fn name() -> impl Strategy<Value = String> {
    "[a-z]{1,6}"
}

fn leaf() -> impl Strategy<Value = Ty> {
    prop_oneof![
        Just(Ty::Bool),
        Just(Ty::S8),
        Just(Ty::U8),
        Just(Ty::S16),
        Just(Ty::U16),
        Just(Ty::S32),
        Just(Ty::U32),
        Just(Ty::S64),
        Just(Ty::U64),
        Just(Ty::F32),
        Just(Ty::F64),
        Just(Ty::Char),
        Just(Ty::String),
        Just(Ty::list(Ty::U8)),
        name().prop_map(Ty::Own),
        name().prop_map(Ty::Borrow),
        // Past eight flags and past 127 cases the bytes change their number.
        vec(name(), 1..70).prop_map(|names| Ty::Flags { names }),
        vec(name(), 1..300).prop_map(|cases| Ty::Enum { cases }),
    ]
}

fn fields(inner: impl Strategy<Value = Ty>) -> impl Strategy<Value = Vec<(String, Ty)>> {
    vec((name(), inner), 1..5)
}

/// The kinds of type that a stream or future may stand in.
fn around(inner: impl Strategy<Value = Ty> + Clone + 'static) -> BoxedStrategy<Ty> {
    let maybe = option::of(inner.clone());
    prop_oneof![
        fields(inner.clone()).prop_map(|fields| Ty::Record { fields }),
        vec(inner.clone(), 1..5).prop_map(Ty::Tuple),
        vec((name(), maybe.clone()), 1..5).prop_map(|cases| Ty::Variant { cases }),
        inner.prop_map(Ty::option),
        (maybe.clone(), maybe).prop_map(|(ok, err)| Ty::result(ok, err)),
    ]
    .boxed()
}

/// A type without streams and futures.
pub fn plain_type() -> impl Strategy<Value = Ty> + Clone {
    leaf()
        .prop_recursive(4, 32, 5, |inner| {
            prop_oneof![around(inner.clone()), inner.prop_map(Ty::list)]
        })
        .boxed()
}

/// Any type.
pub fn any_type() -> impl Strategy<Value = Ty> {
    let channel = prop_oneof![
        option::of(plain_type()).prop_map(|inner| Ty::Stream(inner.map(Box::new))),
        option::of(plain_type()).prop_map(|inner| Ty::Future(inner.map(Box::new))),
    ];
    prop_oneof![1 => plain_type().boxed(), 1 => channel.boxed()].prop_recursive(3, 16, 4, around)
}

/// A type and a value of it.
pub fn typed_value() -> impl Strategy<Value = (Ty, Value)> {
    any_type().prop_flat_map(|ty| {
        let value = value_of(&ty);
        (Just(ty), value)
    })
}

/// A value of that type.
pub fn value_of(ty: &Ty) -> BoxedStrategy<Value> {
    match ty {
        Ty::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Ty::S8 => any::<i8>().prop_map(Value::S8).boxed(),
        Ty::U8 => any::<u8>().prop_map(Value::U8).boxed(),
        Ty::S16 => any::<i16>().prop_map(Value::S16).boxed(),
        Ty::U16 => any::<u16>().prop_map(Value::U16).boxed(),
        Ty::S32 => any::<i32>().prop_map(Value::S32).boxed(),
        Ty::U32 => any::<u32>().prop_map(Value::U32).boxed(),
        Ty::S64 => any::<i64>().prop_map(Value::S64).boxed(),
        Ty::U64 => any::<u64>().prop_map(Value::U64).boxed(),
        // "Not a number" equals nothing, itself included; the golden bytes have it.
        Ty::F32 => any::<f32>()
            .prop_filter("NaN", |f| !f.is_nan())
            .prop_map(Value::F32)
            .boxed(),
        Ty::F64 => any::<f64>()
            .prop_filter("NaN", |f| !f.is_nan())
            .prop_map(Value::F64)
            .boxed(),
        Ty::Char => any::<char>().prop_map(Value::Char).boxed(),
        Ty::String => any::<String>().prop_map(Value::String).boxed(),
        Ty::Own(_) | Ty::Borrow(_) => bytes().prop_map(Value::Resource).boxed(),
        Ty::List(element) => list_of(element),
        Ty::Record { fields } => all(fields.iter().map(|(_, ty)| ty))
            .prop_map(Value::Record)
            .boxed(),
        Ty::Tuple(items) => all(items.iter()).prop_map(Value::Tuple).boxed(),
        Ty::Variant { cases } => {
            let cases = (0_u32..).zip(cases).map(|(index, (_, payload))| {
                maybe(payload.as_ref())
                    .prop_map(move |payload| Value::Variant(index, payload))
                    .boxed()
            });
            proptest::strategy::Union::new(cases).boxed()
        }
        Ty::Enum { cases } => (0..u32::try_from(cases.len()).unwrap())
            .prop_map(Value::Enum)
            .boxed(),
        Ty::Option(some) => option::of(value_of(some))
            .prop_map(|v| Value::Option(v.map(Box::new)))
            .boxed(),
        Ty::Result { ok, err } => prop_oneof![
            maybe(ok.as_deref()).prop_map(|ok| Value::Result(Ok(ok))),
            maybe(err.as_deref()).prop_map(|err| Value::Result(Err(err))),
        ]
        .boxed(),
        Ty::Flags { names } => vec(any::<bool>(), names.len())
            .prop_map(Value::Flags)
            .boxed(),
        Ty::Stream(element) => {
            let content = match element {
                Some(element) => list_of(element),
                None => any::<u32>().prop_map(Value::U32).boxed(),
            };
            option::of(content)
                .prop_map(|v| Value::Stream(v.map(Box::new)))
                .boxed()
        }
        Ty::Future(inner) => {
            let value = match inner {
                Some(inner) => value_of(inner),
                None => Just(Value::Tuple(Vec::new())).boxed(),
            };
            option::of(value)
                .prop_map(|v| Value::Future(v.map(Box::new)))
                .boxed()
        }
    }
}

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn list_of(element: &Ty) -> BoxedStrategy<Value> {
    match element {
        Ty::U8 => bytes().prop_map(Value::Bytes).boxed(),
        element => vec(value_of(element), 0..5).prop_map(Value::List).boxed(),
    }
}

fn all<'a>(types: impl Iterator<Item = &'a Ty>) -> BoxedStrategy<Vec<Value>> {
    types.map(value_of).collect::<Vec<_>>().boxed()
}

fn maybe(ty: Option<&Ty>) -> BoxedStrategy<Option<Box<Value>>> {
    match ty {
        None => Just(None).boxed(),
        Some(ty) => value_of(ty).prop_map(|value| Some(Box::new(value))).boxed(),
    }
}

//! What is encoded is decoded to the same.

use bytes::{Bytes, BytesMut};
use proptest::{collection::vec, prelude::*};
use trellis_rpc::{
    codec::{Decoder, Limits},
    value::{FunctionType, Ty, Value, decode, encode},
};

use crate::generate::{any_type, plain_type, typed_value, value_of};

fn encoded(value: &Value, ty: &Ty) -> Bytes {
    let mut out = BytesMut::new();
    encode(value, ty, &mut out).unwrap();
    out.freeze()
}

proptest! {
    #[test]
    fn a_value_of_any_type_comes_back((ty, value) in typed_value()) {
        let bytes = encoded(&value, &ty);
        prop_assert!(bytes.len() >= ty.min_bytes());
        let mut decoder = Decoder::new(bytes);
        prop_assert_eq!(&decode(&mut decoder, &ty).unwrap(), &value);
        decoder.finish().unwrap();
    }

    #[test]
    fn a_type_can_be_sent_as_json(ty in any_type()) {
        ty.check().unwrap();
        let json = serde_json::to_string(&ty).unwrap();
        prop_assert_eq!(serde_json::from_str::<Ty>(&json).unwrap(), ty);
    }

    #[test]
    fn a_function_s_values_come_back_with_their_channels(values in vec(typed_value(), 0..5)) {
        let (types, values): (Vec<_>, Vec<_>) = values.into_iter().unzip();
        let params = types.iter().enumerate().map(|(at, ty)| (format!("p{at}"), ty.clone())).collect();
        let function = FunctionType { params, result: types.first().cloned() };

        let sent = function.encode_params(&values).unwrap();
        let got = function.decode_params(sent.root, Limits::default()).unwrap();
        prop_assert_eq!(&got.values, &values);
        prop_assert_eq!(&got.pending, &sent.pending);
        let possible = function.param_channels();
        for pending in &got.pending {
            prop_assert!(possible.contains(pending), "{:?} is not among {:?}", pending, possible);
        }

        let sent = function.encode_result(values.first()).unwrap();
        if let Some(value) = values.first() {
            let got = function.decode_result(sent.root, Limits::default()).unwrap();
            prop_assert_eq!(&got.values[0], value);
            prop_assert_eq!(got.pending, sent.pending);
        } else {
            prop_assert!(sent.root.is_empty());
        }
    }

    #[test]
    fn half_a_value_is_an_error((ty, value) in typed_value(), at in any::<prop::sample::Index>()) {
        let bytes = encoded(&value, &ty);
        let half = bytes.slice(..at.index(bytes.len()));
        prop_assert!(decode(&mut Decoder::new(half), &ty).is_err());
    }

    #[test]
    fn garbage_is_an_error_or_a_value(ty in any_type(), garbage in vec(any::<u8>(), 0..200)) {
        let mut decoder = Decoder::new(Bytes::from(garbage));
        if let Ok(value) = decode(&mut decoder, &ty) {
            // What was read can be written, and reads the same again.
            let bytes = encoded(&value, &ty);
            let again = decode(&mut Decoder::new(bytes.clone()), &ty).unwrap();
            prop_assert_eq!(encoded(&again, &ty), bytes);
        }
    }

    #[test]
    fn a_value_of_another_type_is_an_error_that_names_both(
        (ty, value) in (plain_type(), plain_type()).prop_flat_map(|(ty, other)| (Just(ty), value_of(&other)))
    ) {
        let mut out = BytesMut::new();
        if let Err(error) = encode(&value, &ty, &mut out) {
            prop_assert!(!error.expected.is_empty() && !error.found.is_empty());
        }
    }
}

#[test]
fn an_error_names_the_place() {
    let point = Ty::Record {
        fields: vec![
            ("x".to_owned(), Ty::U32),
            ("y".to_owned(), Ty::list(Ty::Bool)),
        ],
    };
    let function = FunctionType {
        params: vec![("at".to_owned(), Ty::option(point))],
        result: None,
    };
    let list = Value::List(vec![Value::Bool(true), Value::U8(1)]);
    let value = Value::Option(Some(Box::new(Value::Record(vec![Value::U32(1), list]))));
    let error = function.encode_params(&[value]).unwrap_err();
    assert_eq!(error.to_string(), "at.y.1: expected bool, found u8");
}

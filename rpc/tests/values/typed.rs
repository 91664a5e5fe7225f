//! Rust types with WIT types' encodings: the same bytes as the dynamic values have.

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use trellis_rpc::{
    codec::{Decode, Deferred, Encode, WireError, from_bytes, to_bytes},
    value::{Ty, Value, encode},
    wire_record, wire_variant,
};

wire_record! {
    /// One of each.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Sample {
        /// A number.
        pub number: u64,
        /// A text.
        pub text: String,
        /// Bytes.
        pub bytes: Bytes,
        /// A list.
        pub list: Vec<(i32, Option<char>)>,
    }
}

wire_variant! {
    /// One or the other.
    #[derive(Clone, Debug, PartialEq)]
    pub enum Choice {
        /// Without a payload.
        Nothing,
        /// With one.
        Number(i64),
        /// With another.
        Sample(Sample),
    }
}

fn comes_back<T: Encode + Decode + PartialEq + Debug>(value: &T) {
    let bytes = to_bytes(value);
    assert_eq!(&from_bytes::<T>(bytes.clone()).unwrap(), value);
    if !bytes.is_empty() {
        assert!(from_bytes::<T>(bytes.slice(..bytes.len() - 1)).is_err());
    }
}

proptest! {
    #[test]
    fn numbers_come_back(
        unsigned in any::<(u8, u16, u32, u64)>(),
        signed in any::<(i8, i16, i32, i64)>(),
        rest in any::<(bool, char)>(),
    ) {
        comes_back(&unsigned);
        comes_back(&signed);
        comes_back(&rest);
    }

    #[test]
    fn records_and_variants_come_back(
        number in any::<u64>(),
        text in any::<String>(),
        bytes in any::<Vec<u8>>(),
        list in any::<Vec<(i32, Option<char>)>>(),
        other in any::<i64>(),
    ) {
        let sample = Sample { number, text, bytes: bytes.into(), list };
        comes_back(&sample);
        comes_back(&vec![Choice::Nothing, Choice::Number(other), Choice::Sample(sample)]);
    }

    #[test]
    fn results_and_what_comes_later_come_back(
        result in any::<Result<Option<u32>, String>>(),
        ready in any::<Option<Vec<u8>>>(),
    ) {
        comes_back(&result);
        comes_back(&match ready {
            None => Deferred::Pending,
            Some(bytes) => Deferred::Ready(Bytes::from(bytes)),
        });
    }

    #[test]
    fn the_dynamic_encoding_is_the_same(number in any::<i64>(), text in any::<String>(), flag in any::<bool>()) {
        let typed = to_bytes(&(Ok::<_, ()>(number), Some(text.clone()), flag));
        let ty = Ty::Tuple(vec![Ty::result(Some(Ty::S64), None), Ty::option(Ty::String), Ty::Bool]);
        let value = Value::Tuple(vec![
            Value::Result(Ok(Some(Box::new(Value::S64(number))))),
            Value::Option(Some(Box::new(Value::String(text)))),
            Value::Bool(flag),
        ]);
        let mut dynamic = BytesMut::new();
        encode(&value, &ty, &mut dynamic).unwrap();
        prop_assert_eq!(typed, dynamic.freeze());
    }
}

#[test]
fn a_case_that_is_not_there_is_refused() {
    let error = from_bytes::<Choice>(Bytes::from_static(&[3])).unwrap_err();
    assert!(
        matches!(error, WireError::Invalid { what: "Choice", .. }),
        "{error}"
    );
}

//! Bytes that ask for more than they bring.

use bytes::{BufMut as _, Bytes, BytesMut};
use trellis_rpc::{
    CallError,
    codec::{Decoder, Limits, WireError, from_bytes, to_bytes},
    value::{FunctionType, Ty, decode},
};

fn read(ty: &Ty, bytes: &'static [u8]) -> Result<(), WireError> {
    decode(&mut Decoder::new(Bytes::from_static(bytes)), ty).map(|_| ())
}

#[test]
fn a_length_beyond_the_bytes_is_refused_before_anything_is_made() {
    const HUGE: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
    for ty in [
        Ty::String,
        Ty::list(Ty::U8),
        Ty::list(Ty::U64),
        Ty::list(Ty::Tuple(vec![Ty::F64; 4])),
        Ty::Own("r".to_owned()),
    ] {
        assert!(
            matches!(read(&ty, HUGE), Err(WireError::Ended { .. })),
            "{ty}"
        );
    }
    assert!(from_bytes::<Vec<String>>(Bytes::from_static(HUGE)).is_err());
    assert!(from_bytes::<String>(Bytes::from_static(HUGE)).is_err());
}

#[test]
fn a_count_that_is_just_too_large_for_its_elements_is_refused() {
    // Two f64 announced, fifteen bytes there.
    let bytes = &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert!(matches!(
        read(&Ty::list(Ty::F64), bytes),
        Err(WireError::Ended { .. })
    ));
}

#[test]
fn nesting_is_bounded() {
    let ty = (0..200).fold(Ty::Bool, |inner, _| Ty::option(inner));
    let bytes = Bytes::from(vec![1; 201]);
    let error = decode(&mut Decoder::new(bytes), &ty).unwrap_err();
    assert!(
        matches!(
            error,
            WireError::Limit {
                what: "nesting",
                ..
            }
        ),
        "{error}"
    );
    assert!(ty.check().is_err());
}

#[test]
fn the_number_of_values_is_bounded() {
    let limits = Limits {
        values: 1000,
        ..Limits::default()
    };
    let list = |count: u32| {
        let mut bytes = BytesMut::from(&to_bytes(&count)[..]);
        bytes.put_bytes(1, count as usize);
        bytes.freeze()
    };
    let read = |bytes| {
        decode(
            &mut Decoder::with_limits(bytes, limits),
            &Ty::list(Ty::Bool),
        )
    };
    read(list(1000)).unwrap();
    assert!(matches!(read(list(1001)), Err(WireError::Limit { .. })));
    // A byte list is one value however long it is.
    let bytes = to_bytes(&Bytes::from(vec![0; 5000]));
    decode(&mut Decoder::with_limits(bytes, limits), &Ty::list(Ty::U8)).unwrap();
}

#[test]
fn integers_that_do_not_fit_their_type_are_refused() {
    for (ty, bytes) in [
        (Ty::U16, &[0x80, 0x80, 0x04][..]),
        (Ty::U32, &[0x80, 0x80, 0x80, 0x80, 0x10]),
        (Ty::U32, &[0x80, 0x80, 0x80, 0x80, 0x80, 0x00]),
        (Ty::S16, &[0x80, 0x80, 0x02]),
        (Ty::S32, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        (
            Ty::U64,
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
        ),
        (
            Ty::S64,
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
        ),
    ] {
        assert!(
            matches!(read(&ty, bytes), Err(WireError::Invalid { .. })),
            "{ty} {bytes:x?}"
        );
    }
}

#[test]
fn what_has_no_meaning_is_refused() {
    let two = || vec!["a".to_owned(), "b".to_owned()];
    for (ty, bytes) in [
        (Ty::Bool, &[2][..]),
        (Ty::option(Ty::U8), &[2, 0]),
        (Ty::result(None, None), &[7]),
        (Ty::Enum { cases: two() }, &[2]),
        (
            Ty::Variant {
                cases: vec![("a".to_owned(), None)],
            },
            &[1],
        ),
        (Ty::Flags { names: two() }, &[0b100]),
        (Ty::Char, &[0xff]),
        (Ty::Char, &[0xed, 0xa0, 0x80]),
        (Ty::String, &[1, 0xff]),
        (Ty::stream(Ty::U8), &[2]),
    ] {
        assert!(
            matches!(read(&ty, bytes), Err(WireError::Invalid { .. })),
            "{ty} {bytes:x?}"
        );
    }
}

#[test]
fn bytes_after_the_values_are_refused() {
    let function = FunctionType {
        params: vec![("a".to_owned(), Ty::U8)],
        result: None,
    };
    let error = function
        .decode_params(Bytes::from_static(&[1, 2]), Limits::default())
        .unwrap_err();
    assert_eq!(error, WireError::Trailing { bytes: 1 });
}

#[test]
fn a_result_that_is_missing_is_a_failure_of_the_callee() {
    let function = FunctionType {
        params: Vec::new(),
        result: Some(Ty::U8),
    };
    let error = function
        .decode_result(Bytes::new(), Limits::default())
        .unwrap_err();
    assert!(matches!(error, CallError::Failed(_)), "{error}");
    let function = FunctionType::default();
    assert!(
        function
            .decode_result(Bytes::new(), Limits::default())
            .unwrap()
            .values
            .is_empty()
    );
}

#[test]
fn signatures_that_cannot_travel_are_refused_by_name() {
    let stream = || Ty::stream(Ty::U8);
    let deep = (0..9).fold(stream(), |inner, _| Ty::Tuple(vec![inner]));
    for (ty, why) in [
        (Ty::list(stream()), "inside a list"),
        (Ty::stream(Ty::future(Ty::U8)), "inside a stream"),
        (Ty::future(stream()), "inside a future"),
        (
            Ty::list(Ty::Record {
                fields: vec![("s".to_owned(), stream())],
            }),
            "inside a list",
        ),
        (Ty::Flags { names: Vec::new() }, "at least one name"),
        (Ty::Tuple(Vec::new()), "at least one item"),
        (Ty::Tuple(vec![stream(); 40]), "too many"),
        (deep, "too deep"),
    ] {
        let function = FunctionType {
            params: vec![("body".to_owned(), ty)],
            result: None,
        };
        let error = function.check().unwrap_err().to_string();
        assert!(error.contains(why) && error.starts_with("body"), "{error}");
    }
}

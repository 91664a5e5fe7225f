//! Bytes that other implementations of the encoding write, by hand.

use bytes::{Bytes, BytesMut};
use trellis_rpc::{
    codec::{Decoder, Limits},
    value::{FunctionType, Ty, Value, decode, encode},
};

fn check(ty: &Ty, value: &Value, bytes: &[u8]) {
    let mut out = BytesMut::new();
    encode(value, ty, &mut out).unwrap();
    assert_eq!(&out[..], bytes, "{ty} {value:?}");
    let decoded = decode(&mut Decoder::new(Bytes::copy_from_slice(bytes)), ty).unwrap();
    assert_eq!(&decoded, value, "{ty}");
}

fn some(value: Value) -> Option<Box<Value>> {
    Some(Box::new(value))
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("n{number}")).collect()
}

#[test]
fn primitives() {
    check(&Ty::Bool, &Value::Bool(true), &[1]);
    check(&Ty::U8, &Value::U8(200), &[0xc8]);
    check(&Ty::S8, &Value::S8(-1), &[0xff]);
    check(&Ty::U16, &Value::U16(300), &[0xac, 0x02]);
    check(
        &Ty::U64,
        &Value::U64(u64::MAX),
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    );
    check(&Ty::S32, &Value::S32(-1), &[0x7f]);
    check(&Ty::S32, &Value::S32(64), &[0xc0, 0x00]);
    check(&Ty::S64, &Value::S64(-129), &[0xff, 0x7e]);
    check(
        &Ty::S32,
        &Value::S32(i32::MIN),
        &[0x80, 0x80, 0x80, 0x80, 0x78],
    );
    check(&Ty::S16, &Value::S16(i16::MIN), &[0x80, 0x80, 0x7e]);
    check(&Ty::F32, &Value::F32(1.5), &[0, 0, 0xc0, 0x3f]);
    check(&Ty::F64, &Value::F64(-2.0), &[0, 0, 0, 0, 0, 0, 0, 0xc0]);
    check(&Ty::Char, &Value::Char('é'), &[0xc3, 0xa9]);
    check(&Ty::Char, &Value::Char('😀'), &[0xf0, 0x9f, 0x98, 0x80]);
    check(
        &Ty::String,
        &Value::String("k1".into()),
        &[0x02, 0x6b, 0x31],
    );
}

#[test]
fn not_a_number_has_one_form() {
    let mut out = BytesMut::new();
    encode(&Value::F32(f32::from_bits(0xffc1_2345)), &Ty::F32, &mut out).unwrap();
    encode(
        &Value::F64(f64::from_bits(0xfff8_0000_0000_0001)),
        &Ty::F64,
        &mut out,
    )
    .unwrap();
    assert_eq!(&out[..], [0, 0, 0xc0, 0x7f, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f]);
}

#[test]
fn compounds() {
    let list = Value::List(vec![Value::U16(1), Value::U16(300)]);
    check(&Ty::list(Ty::U16), &list, &[0x02, 0x01, 0xac, 0x02]);
    check(
        &Ty::list(Ty::U8),
        &Value::Bytes(Bytes::from_static(b"abc")),
        b"\x03abc",
    );
    let record = Ty::Record {
        fields: vec![("a".into(), Ty::U8), ("b".into(), Ty::String)],
    };
    let value = Value::Record(vec![Value::U8(1), Value::String("x".into())]);
    check(&record, &value, &[0x01, 0x01, 0x78]);
    let variant = Ty::Variant {
        cases: vec![
            ("a".into(), None),
            ("b".into(), Some(Ty::String)),
            ("c".into(), Some(Ty::U8)),
        ],
    };
    check(
        &variant,
        &Value::Variant(2, some(Value::U8(7))),
        &[0x02, 0x07],
    );
    check(&variant, &Value::Variant(0, None), &[0x00]);
    check(
        &Ty::Enum { cases: names(300) },
        &Value::Enum(200),
        &[0xc8, 0x01],
    );
    check(
        &Ty::option(Ty::U8),
        &Value::Option(some(Value::U8(5))),
        &[0x01, 0x05],
    );
    let result = Ty::result(Some(Ty::option(Ty::list(Ty::U8))), Some(Ty::String));
    let value = Value::Result(Ok(some(Value::Option(some(Value::Bytes(
        Bytes::from_static(b"abc"),
    ))))));
    check(&result, &value, &[0x00, 0x01, 0x03, 0x61, 0x62, 0x63]);
    check(&Ty::result(None, None), &Value::Result(Err(None)), &[0x01]);
    let mut set = vec![false; 10];
    set[0] = true;
    set[9] = true;
    check(
        &Ty::Flags { names: names(10) },
        &Value::Flags(set),
        &[0x01, 0x02],
    );
    check(
        &Ty::Own("bucket".into()),
        &Value::Resource(Bytes::from_static(b"main")),
        b"\x04main",
    );
    check(
        &Ty::future(Ty::Bool),
        &Value::Future(some(Value::Bool(true))),
        &[1, 1],
    );
    check(
        &Ty::stream(Ty::U8),
        &Value::Stream(some(Value::Bytes(Bytes::from_static(&[9])))),
        &[1, 1, 9],
    );
    check(&Ty::stream(Ty::U8), &Value::Stream(None), &[0]);
}

/// Captured from a 1.9.2 lattice.
#[test]
fn a_captured_increment() {
    let error = Ty::Variant {
        cases: vec![
            ("no-such-store".into(), None),
            ("access-denied".into(), None),
            ("other".into(), Some(Ty::String)),
        ],
    };
    let increment = FunctionType {
        params: vec![
            ("bucket".into(), Ty::String),
            ("key".into(), Ty::String),
            ("delta".into(), Ty::U64),
        ],
        result: Some(Ty::result(Some(Ty::U64), Some(error))),
    };
    let params = b"\x07default\x07counter\x01";
    let decoded = increment
        .decode_params(Bytes::from_static(params), Limits::default())
        .unwrap();
    let expected = [
        Value::String("default".into()),
        Value::String("counter".into()),
        Value::U64(1),
    ];
    assert_eq!(decoded.values, expected);
    assert_eq!(
        &increment.encode_params(&expected).unwrap().root[..],
        params
    );
    let result = increment
        .decode_result(Bytes::from_static(b"\x00\xd6\x3c"), Limits::default())
        .unwrap();
    assert_eq!(result.values, [Value::Result(Ok(some(Value::U64(7766))))]);
}

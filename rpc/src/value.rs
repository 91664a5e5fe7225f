//! The wRPC value encoding for types known only at run time: how the host links interfaces it has never heard of.
//!
//! - [`Ty`] describes a WIT type, [`FunctionType`] a function; both can be sent along as JSON.
//! - [`Value`] is a value of such a type. A `list<u8>` is one [`Bytes`], never a value per byte.
//! - [`encode`] and [`decode`] need the type beside the value: the bytes carry no tags.
//!
//! Streams and futures may be there already or be pending; where the pending ones of a call stand, and so which
//! channel is theirs, comes with the encoded or decoded values as [`Pending`].

mod decode;
mod encode;
mod function;
mod ty;

use bytes::Bytes;

pub use decode::decode;
pub use encode::{ValueError, encode};
pub use function::{Decoded, Encoded, FunctionType, Pending, SignatureError};
pub use ty::Ty;

/// A value of some [`Ty`].
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `bool`
    Bool(bool),
    /// `s8`
    S8(i8),
    /// `u8`
    U8(u8),
    /// `s16`
    S16(i16),
    /// `u16`
    U16(u16),
    /// `s32`
    S32(i32),
    /// `u32`
    U32(u32),
    /// `s64`
    S64(i64),
    /// `u64`
    U64(u64),
    /// `f32`
    F32(f32),
    /// `f64`
    F64(f64),
    /// `char`
    Char(char),
    /// `string`
    String(String),
    /// `list<u8>`, and only that list.
    Bytes(Bytes),
    /// Every other list.
    List(Vec<Value>),
    /// `record`: the fields in the type's order.
    Record(Vec<Value>),
    /// `tuple`
    Tuple(Vec<Value>),
    /// `variant`: the case's index and its payload.
    Variant(u32, Option<Box<Value>>),
    /// `enum`: the case's index.
    Enum(u32),
    /// `option`
    Option(Option<Box<Value>>),
    /// `result`; a side without a type has no value.
    Result(Result<Option<Box<Value>>, Option<Box<Value>>>),
    /// `flags`: one for each name, in the type's order.
    Flags(Vec<bool>),
    /// `own` or `borrow`: the handle's bytes, opaque to everyone but who made them.
    Resource(Bytes),
    /// `stream`: pending, or its whole content ([`Value::Bytes`] for `stream<u8>`, [`Value::List`] for others,
    /// [`Value::U32`], the number of elements, for a stream without an element type).
    Stream(Option<Box<Value>>),
    /// `future`: pending, or its value (an empty [`Value::Tuple`] for a future without a type).
    Future(Option<Box<Value>>),
}

impl Value {
    /// What it is, in a word; for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Bool(_) => "bool",
            Self::S8(_) => "s8",
            Self::U8(_) => "u8",
            Self::S16(_) => "s16",
            Self::U16(_) => "u16",
            Self::S32(_) => "s32",
            Self::U32(_) => "u32",
            Self::S64(_) => "s64",
            Self::U64(_) => "u64",
            Self::F32(_) => "f32",
            Self::F64(_) => "f64",
            Self::Char(_) => "char",
            Self::String(_) => "string",
            Self::Bytes(_) => "list<u8>",
            Self::List(_) => "list",
            Self::Record(_) => "record",
            Self::Tuple(_) => "tuple",
            Self::Variant(..) => "variant",
            Self::Enum(_) => "enum",
            Self::Option(_) => "option",
            Self::Result(_) => "result",
            Self::Flags(_) => "flags",
            Self::Resource(_) => "resource",
            Self::Stream(_) => "stream",
            Self::Future(_) => "future",
        }
    }
}

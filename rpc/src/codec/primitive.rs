//! Integers, floats, characters, strings and byte lists.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};

use super::{Decode, Decoder, Encode, WireError, leb};

/// The one bit pattern of "not a number" on the wire, for 32 and 64 bits.
pub(crate) const NAN_32: u32 = 0x7fc0_0000;
pub(crate) const NAN_64: u64 = 0x7ff8_0000_0000_0000;

impl Encode for bool {
    fn encode(&self, out: &mut BytesMut) {
        out.put_u8(u8::from(*self));
    }
}

impl Decode for bool {
    fn decode(decoder: &mut Decoder) -> Result<Self, WireError> {
        decoder.flag("a bool")
    }
}

impl Encode for u8 {
    fn encode(&self, out: &mut BytesMut) {
        out.put_u8(*self);
    }

    fn encode_list(items: &[Self], out: &mut BytesMut) {
        leb::put_length(items.len(), out);
        out.put_slice(items);
    }
}

impl Decode for u8 {
    fn decode(decoder: &mut Decoder) -> Result<Self, WireError> {
        decoder.byte("a u8")
    }

    fn decode_list(decoder: &mut Decoder) -> Result<Vec<Self>, WireError> {
        Ok(decoder.sized("a list<u8>")?.to_vec())
    }
}

impl Encode for i8 {
    fn encode(&self, out: &mut BytesMut) {
        out.put_i8(*self);
    }
}

impl Decode for i8 {
    fn decode(decoder: &mut Decoder) -> Result<Self, WireError> {
        Ok(decoder.byte("an s8")?.cast_signed())
    }
}

macro_rules! integers {
    ($($ty:ty, $put:ident as $wide:ty, $read:ident, $what:literal;)+) => {$(
        impl Encode for $ty {
            fn encode(&self, out: &mut BytesMut) {
                leb::$put(<$wide>::from(*self), out);
            }
        }

        impl Decode for $ty {
            fn decode(decoder: &mut Decoder) -> Result<Self, WireError> {
                // The reader was given this type's width, so the value fits.
                Ok(leb::$read(decoder, <$ty>::BITS, $what)? as $ty)
            }
        }
    )+};
}

integers! {
    u16, put_unsigned as u64, read_unsigned, "a u16";
    u32, put_unsigned as u64, read_unsigned, "a u32";
    u64, put_unsigned as u64, read_unsigned, "a u64";
    i16, put_signed as i64, read_signed, "an s16";
    i32, put_signed as i64, read_signed, "an s32";
    i64, put_signed as i64, read_signed, "an s64";
}

impl Encode for f32 {
    fn encode(&self, out: &mut BytesMut) {
        out.put_u32_le(if self.is_nan() {
            NAN_32
        } else {
            self.to_bits()
        });
    }
}

impl Decode for f32 {
    fn decode(decoder: &mut Decoder) -> Result<Self, WireError> {
        Ok(Self::from_le_bytes(decoder.array("an f32")?))
    }
}

impl Encode for f64 {
    fn encode(&self, out: &mut BytesMut) {
        out.put_u64_le(if self.is_nan() {
            NAN_64
        } else {
            self.to_bits()
        });
    }
}

impl Decode for f64 {
    fn decode(decoder: &mut Decoder) -> Result<Self, WireError> {
        Ok(Self::from_le_bytes(decoder.array("an f64")?))
    }
}

impl Encode for char {
    fn encode(&self, out: &mut BytesMut) {
        out.put_slice(self.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

impl Decode for char {
    fn decode(decoder: &mut Decoder) -> Result<Self, WireError> {
        decoder.char()
    }
}

impl Encode for str {
    fn encode(&self, out: &mut BytesMut) {
        u8::encode_list(self.as_bytes(), out);
    }
}

impl Encode for String {
    fn encode(&self, out: &mut BytesMut) {
        self.as_str().encode(out);
    }
}

impl Decode for String {
    fn decode(decoder: &mut Decoder) -> Result<Self, WireError> {
        decoder.string()
    }
}

impl Encode for Arc<str> {
    fn encode(&self, out: &mut BytesMut) {
        (**self).encode(out);
    }
}

impl Decode for Arc<str> {
    fn decode(decoder: &mut Decoder) -> Result<Self, WireError> {
        decoder.string().map(Into::into)
    }
}

/// `list<u8>`.
impl Encode for Bytes {
    fn encode(&self, out: &mut BytesMut) {
        u8::encode_list(self, out);
    }
}

/// `list<u8>`, sharing the message's memory.
impl Decode for Bytes {
    fn decode(decoder: &mut Decoder) -> Result<Self, WireError> {
        decoder.sized("a list<u8>")
    }
}

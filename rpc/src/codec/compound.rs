//! Lists, tuples, options, results, and values that may come later.

use bytes::{BufMut as _, BytesMut};

use super::{Decode, Decoder, Encode, WireError};

impl<T: Encode + ?Sized> Encode for &T {
    fn encode(&self, out: &mut BytesMut) {
        (**self).encode(out);
    }
}

impl<T: Encode> Encode for [T] {
    fn encode(&self, out: &mut BytesMut) {
        T::encode_list(self, out);
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn encode(&self, out: &mut BytesMut) {
        T::encode_list(self, out);
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(decoder: &mut Decoder) -> Result<Self, WireError> {
        T::decode_list(decoder)
    }
}

impl<T: Encode> Encode for Option<T> {
    fn encode(&self, out: &mut BytesMut) {
        match self {
            None => out.put_u8(0),
            Some(value) => {
                out.put_u8(1);
                value.encode(out);
            }
        }
    }
}

impl<T: Decode> Decode for Option<T> {
    fn decode(decoder: &mut Decoder) -> Result<Self, WireError> {
        Ok(if decoder.flag("an option")? {
            Some(T::decode(decoder)?)
        } else {
            None
        })
    }
}

/// `result<T, E>`; `()` stands for a side without a type.
impl<T: Encode, E: Encode> Encode for Result<T, E> {
    fn encode(&self, out: &mut BytesMut) {
        match self {
            Ok(value) => {
                out.put_u8(0);
                value.encode(out);
            }
            Err(error) => {
                out.put_u8(1);
                error.encode(out);
            }
        }
    }
}

impl<T: Decode, E: Decode> Decode for Result<T, E> {
    fn decode(decoder: &mut Decoder) -> Result<Self, WireError> {
        Ok(if decoder.flag("a result")? {
            Err(E::decode(decoder)?)
        } else {
            Ok(T::decode(decoder)?)
        })
    }
}

/// A `stream` (of a list type `T`) or `future` inside values: there already, or to come on the channel of its path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Deferred<T> {
    /// To come on its channel ([`crate::Channels::take`]).
    #[default]
    Pending,
    /// The whole content of the stream, or the future's value.
    Ready(T),
}

impl<T: Encode> Encode for Deferred<T> {
    fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Pending => out.put_u8(0),
            Self::Ready(value) => {
                out.put_u8(1);
                value.encode(out);
            }
        }
    }
}

impl<T: Decode> Decode for Deferred<T> {
    fn decode(decoder: &mut Decoder) -> Result<Self, WireError> {
        Ok(if decoder.flag("a stream or future")? {
            Self::Ready(T::decode(decoder)?)
        } else {
            Self::Pending
        })
    }
}

/// No value at all: a function without parameters or result, a result's side without a type.
impl Encode for () {
    fn encode(&self, _: &mut BytesMut) {}
}

impl Decode for () {
    fn decode(_: &mut Decoder) -> Result<Self, WireError> {
        Ok(())
    }
}

macro_rules! tuples {
    ($(($($item:ident)+))+) => {$(
        impl<$($item: Encode),+> Encode for ($($item,)+) {
            fn encode(&self, out: &mut BytesMut) {
                #[expect(non_snake_case, reason = "a tuple's items have their types' names here")]
                let ($($item,)+) = self;
                $($item.encode(out);)+
            }
        }

        impl<$($item: Decode),+> Decode for ($($item,)+) {
            fn decode(decoder: &mut Decoder) -> Result<Self, WireError> {
                Ok(($($item::decode(decoder)?,)+))
            }
        }
    )+};
}

tuples! {
    (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H)
    (A B C D E F G H I) (A B C D E F G H I J) (A B C D E F G H I J K) (A B C D E F G H I J K L)
}

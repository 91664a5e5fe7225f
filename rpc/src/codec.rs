//! The wRPC value encoding for Rust types: what a provider or the host uses when it knows the interface.
//!
//! The bytes are those of `wasmcloud-v1.md`, "Invocation": no tags, no alignment, no lengths around whole values; both
//! ends hold the same WIT type. [`crate::value`] does the same for types known only at run time, with the same
//! [`Decoder`] and the same [`leb`].

mod chunks;
mod compound;
mod declare;
mod decoder;
mod items;
pub mod leb;
mod primitive;

use bytes::{Bytes, BytesMut};

pub use chunks::{collect, decode_chunks, decode_future, encode_chunks, encode_future};
pub use compound::Deferred;
pub(crate) use decoder::first_capacity;
pub use decoder::{Decoder, Limits, WireError};
pub use items::{decode_items, encode_items};

/// A Rust type that has a WIT type's encoding.
pub trait Encode {
    /// Appends the encoded value.
    fn encode(&self, out: &mut BytesMut);

    /// Appends a `list` of such values. `u8` copies its bytes in one go; nobody else needs to override it.
    fn encode_list(items: &[Self], out: &mut BytesMut)
    where
        Self: Sized,
    {
        leb::put_length(items.len(), out);
        for item in items {
            item.encode(out);
        }
    }
}

/// A Rust type that can be read from a WIT type's encoding.
pub trait Decode: Sized {
    /// Reads one value.
    ///
    /// # Errors
    /// [`WireError`] when the bytes end early, do not fit the type or go past a limit.
    fn decode(decoder: &mut Decoder) -> Result<Self, WireError>;

    /// Reads a `list` of such values; see [`Encode::encode_list`].
    ///
    /// # Errors
    /// As [`Decode::decode`].
    fn decode_list(decoder: &mut Decoder) -> Result<Vec<Self>, WireError> {
        let count = decoder.list_length(1)?;
        let mut items = Vec::with_capacity(first_capacity(count));
        for _ in 0..count {
            items.push(Self::decode(decoder)?);
        }
        Ok(items)
    }
}

/// The encoding of one value.
pub fn to_bytes<T: Encode + ?Sized>(value: &T) -> Bytes {
    let mut out = BytesMut::new();
    value.encode(&mut out);
    out.freeze()
}

/// Reads one value that fills the bytes.
///
/// # Errors
/// [`WireError`] when the bytes do not fit the type, or some are left over.
pub fn from_bytes<T: Decode>(bytes: Bytes) -> Result<T, WireError> {
    let mut decoder = Decoder::new(bytes);
    let value = T::decode(&mut decoder)?;
    decoder.finish()?;
    Ok(value)
}

//! What the code stands on that [`generate!`](crate::generate) writes. Of use by itself: [`Content`], and [`combined`] with [`Interface`]
//! for a handler that is put together of generated and hand-written parts.
//!
//! - [`Content`], [`Later`]: a `stream<u8>` or `input-stream`, and a `future<T>`.
//! - [`Lowering`], [`Lifting`]: values to a call's bytes and channels, and back; [`encode_flags`], [`decode_flags`].
//! - [`Handles`]: the resources that a provider has made for components.
//! - [`call`], [`combined`]: calls of a component, and answers.

mod call;
mod content;
mod flags;
mod handles;
mod interface;
mod lifting;
mod lowering;

pub use bytes::{Bytes, BytesMut};

pub use self::{
    call::call,
    content::{Content, Later},
    flags::{decode_flags, encode_flags},
    handles::Handles,
    interface::{Interface, combined},
    lifting::Lifting,
    lowering::Lowering,
};
pub use crate::answers::unknown_function;
use trellis_rpc::CallError;

/// A record or variant with streams or futures in it: its parts have channels, which plain values don't need.
pub trait Carried: Sized {
    /// Writes it at the current path.
    fn lower(self, lowering: &mut Lowering);

    /// Reads it from the current path.
    ///
    /// # Errors
    /// [`CallError::Malformed`]: the bytes are no such value, or a channel that was announced isn't there.
    fn lift(lifting: &mut Lifting) -> Result<Self, CallError>;
}

//! One invocation: the wRPC value encoding, and the ways a call travels between an actor and a provider.
//!
//! - [`call`]: what a call is, from the caller's and from the callee's side, the same on every route.
//! - [`value`], [`codec`]: the value encoding, for dynamic values and for Rust types.
//! - [`nats`]: the NATS route.
//! - [`interface`]: the wire forms of the interfaces that Trellis types itself.

pub mod call;
pub mod channel;
pub mod codec;
pub mod error;
pub mod interface;
pub mod nats;
pub mod trace;
pub mod value;

pub use call::{
    Call, CallContext, Handler, Incoming, IncomingCall, Operation, Outgoing, Route, RouteKind,
};
pub use channel::{ByteStream, Channels, Path};
pub use error::CallError;

//! One invocation: the wRPC value encoding, and the ways a call travels between an actor and a provider.
//!
//! - [`call`]: what a call is, from the caller's and from the callee's side, the same on every route.
//! - [`value`], [`codec`]: the value encoding, for dynamic values and for Rust types.
//! - [`nats`]: the NATS route; [`socket`]: the one over Unix sockets.
//! - [`stats`]: how calls went, for whoever answers them.
//! - [`interface`]: the wire forms of the interfaces that Trellis types itself.

pub mod call;
pub mod channel;
pub mod codec;
mod counts;
mod credit;
mod deadline;
pub mod error;
pub mod interface;
mod mailbox;
pub mod nats;
mod root;
mod serving;
pub mod socket;
pub mod stats;
pub mod trace;
pub mod trail;
pub mod value;

/// For the macros: who uses them needs no dependency of its own.
#[doc(hidden)]
pub use bytes;
pub use call::{
    Call, CallContext, Handler, Incoming, IncomingCall, Operation, Outgoing, Route, RouteKind,
};
pub use channel::{ByteStream, Channels, Path};
pub use counts::{CallCounts, ServedIn};
pub use error::CallError;
pub use serving::ServeOptions;

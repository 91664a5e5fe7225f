//! The calls that an actor answers.
//!
//! - `http`: `wrpc:http/incoming-handler` to the actor's `wasi:http/incoming-handler`, with streaming bodies.
//! - `messaging`: `wasmcloud:messaging/handler`.
//! - `watcher`: `wrpc:keyvalue/watcher` to the actor's `wasi:keyvalue/watcher`.
//! - `dynamic`: every other export, by its types.
//! - `values`: the same for callers on this host, without an encoding.
//! - `owners`: exports that deal in the actor's own resources, whose instances outlive a call.

use trellis_rpc::Outgoing;

pub(super) mod dynamic;
pub(super) mod http;
pub(super) mod messaging;
pub(super) mod owners;
pub(super) mod values;
pub(super) mod watcher;

/// An answer, and whether it says that the call failed.
pub(super) struct Answered {
    pub(super) outgoing: Outgoing,
    pub(super) failed: bool,
}

impl From<Outgoing> for Answered {
    fn from(outgoing: Outgoing) -> Self {
        Self {
            outgoing,
            failed: false,
        }
    }
}

//! Streams and futures of a call: each a channel of encoded chunks, named by its path in the values.

use std::{collections::HashMap, fmt, pin::Pin, sync::Arc};

use bytes::Bytes;
use futures::Stream;

use crate::error::CallError;

/// Where a pending value stands: parameter or result index, then field, list and element indices
/// (`../contracts/wasmcloud-v1.md`, Invocation). Options, results and variants add no level.
pub type Path = Arc<[u32]>;

/// The longest path that a channel may have.
pub const MAX_PATH: usize = 8;

/// The most channels one direction of a call may have.
pub const MAX_CHANNELS: usize = 32;

/// Encoded chunks of one channel, in order. Its end is the channel's end; an error ends it early.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, CallError>> + Send>>;

/// A route's look-up of its channels.
type Take = Box<dyn FnMut(&[u32]) -> Option<ByteStream> + Send>;

/// The channels of one direction of an arriving call.
///
/// Holding it, or any stream taken from it, keeps the delivery up: what the look-up holds ends with the last of them.
pub struct Channels {
    take: Take,
}

impl Channels {
    /// No channel at all.
    pub fn none() -> Self {
        Self {
            take: Box::new(|_| None),
        }
    }

    /// Channels that are already there, by path: what the in-process route and tests hand over.
    pub fn ready(channels: Vec<(Path, ByteStream)>) -> Self {
        let mut channels: HashMap<Path, ByteStream> = channels.into_iter().collect();
        Self {
            take: Box::new(move |path| channels.remove(path)),
        }
    }

    /// Channels found by a route's own look-up.
    pub fn from_fn(take: impl FnMut(&[u32]) -> Option<ByteStream> + Send + 'static) -> Self {
        Self {
            take: Box::new(take),
        }
    }

    /// The channel at a path; each can be taken once. `None`: this direction carries no such channel.
    pub fn take(&mut self, path: &[u32]) -> Option<ByteStream> {
        (self.take)(path)
    }
}

impl fmt::Debug for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Channels")
    }
}

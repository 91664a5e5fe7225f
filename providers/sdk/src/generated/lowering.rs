//! Values to bytes, and streams and futures to channels.

use bytes::{BufMut as _, BytesMut};
use trellis_rpc::{
    ByteStream, Outgoing, Path,
    codec::{Encode, encode_chunks, encode_future, leb},
};

use super::{Carried, Content, Later};

/// The largest content that goes with its values instead of a channel of its own.
const MAX_INLINE_BYTES: usize = 64 << 10;

/// The parameters or the result of a call as they are being written.
#[derive(Default)]
pub struct Lowering {
    root: BytesMut,
    path: Vec<u32>,
    channels: Vec<(Path, ByteStream)>,
}

impl Lowering {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is written, to be sent.
    pub fn finish(self) -> Outgoing {
        Outgoing {
            root: self.root.freeze(),
            channels: self.channels,
        }
    }

    /// Goes to a part: a parameter, a record's field, a tuple's item.
    pub fn enter(&mut self, index: u32) {
        self.path.push(index);
    }

    /// Comes back from [`Self::enter`].
    pub fn leave(&mut self) {
        self.path.pop();
    }

    /// A value without streams, futures or resources of the provider in it.
    pub fn value<T: Encode + ?Sized>(&mut self, value: &T) {
        value.encode(&mut self.root);
    }

    /// Whether an option has a value, or a result is an error.
    pub fn tag(&mut self, tag: bool) {
        self.root.put_u8(u8::from(tag));
    }

    /// A variant's case.
    pub fn case(&mut self, index: u32) {
        leb::put_unsigned(index.into(), &mut self.root);
    }

    /// How many elements follow.
    pub fn length(&mut self, elements: usize) {
        leb::put_length(elements, &mut self.root);
    }

    /// A record or variant with streams or futures in it.
    pub fn carried(&mut self, value: impl Carried) {
        value.lower(self);
    }

    /// A stream of bytes: in place when it is small and there already, else on a channel.
    pub fn content(&mut self, content: Content) {
        let parts = match content.into_parts() {
            Ok(bytes) if bytes.len() <= MAX_INLINE_BYTES => {
                self.tag(true);
                return self.value(&bytes);
            }
            Ok(bytes) => Box::pin(futures::stream::once(async move { Ok(bytes) })),
            Err(parts) => parts,
        };
        self.channel(encode_chunks(parts));
    }

    /// A value that comes later.
    pub fn later<T: Encode + Send + 'static>(&mut self, value: Later<T>) {
        self.channel(encode_future(value));
    }

    fn channel(&mut self, channel: ByteStream) {
        self.tag(false);
        self.channels.push((self.path.as_slice().into(), channel));
    }
}

impl std::fmt::Debug for Lowering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lowering")
            .field("root_bytes", &self.root.len())
            .field("channels", &self.channels.len())
            .finish()
    }
}

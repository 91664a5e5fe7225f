//! A message's body: whole, or as it comes.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use futures::future::BoxFuture;

use super::{Fields, WireBody};
use crate::{
    channel::{ByteStream, Channels, Path},
    codec::{Deferred, collect, decode_chunks, decode_future, encode_chunks, encode_future},
    error::CallError,
};

/// The largest body that goes with its message instead of a channel of its own.
const MAX_INLINE_BYTES: usize = 256 << 10;
/// The largest trailers.
const MAX_TRAILER_BYTES: usize = 256 << 10;

/// What comes after a body.
pub type Trailers = BoxFuture<'static, Result<Option<Fields>, CallError>>;

/// A message's body and trailers.
pub enum Body {
    /// All of it, and no trailers.
    Full(Bytes),
    /// What comes bit by bit. An error in it means that the body broke off.
    Stream {
        /// The content.
        content: ByteStream,
        /// The trailers; `None`: there will be none.
        trailers: Option<Trailers>,
    },
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(bytes) => f.debug_tuple("Full").field(&bytes.len()).finish(),
            Self::Stream { .. } => f.write_str("Stream"),
        }
    }
}

impl Body {
    /// A body without a byte.
    pub fn empty() -> Self {
        Self::Full(Bytes::new())
    }

    /// A body that comes bit by bit, without trailers.
    pub fn stream(content: ByteStream) -> Self {
        Self::Stream {
            content,
            trailers: None,
        }
    }

    /// All of it, when it has at most `limit` bytes; trailers are left out.
    ///
    /// # Errors
    /// [`CallError::TooLarge`] when it has more, or what broke it off.
    pub async fn collect(self, limit: usize) -> Result<Bytes, CallError> {
        match self {
            Self::Full(bytes) if bytes.len() <= limit => Ok(bytes),
            Self::Full(bytes) => Err(CallError::TooLarge {
                what: "the body".into(),
                bytes: bytes.len(),
                limit,
            }),
            Self::Stream { content, .. } => collect(content, limit, "the body").await,
        }
    }

    /// The values that stand in the record, and the channels for those that do not.
    pub(super) fn into_wire(self) -> (WireBody, Vec<(Path, ByteStream)>) {
        let (content, trailers) = match self {
            Self::Full(bytes) if bytes.len() <= MAX_INLINE_BYTES => {
                return ((Deferred::Ready(bytes), Deferred::Ready(None)), Vec::new());
            }
            Self::Full(bytes) => {
                let content: ByteStream = Box::pin(futures::stream::once(async move { Ok(bytes) }));
                (content, None)
            }
            Self::Stream { content, trailers } => (content, trailers),
        };
        let mut channels: Vec<(Path, ByteStream)> = vec![(body_path(), encode_chunks(content))];
        let trailers = match trailers {
            None => Deferred::Ready(None),
            Some(trailers) => {
                channels.push((trailers_path(), encode_future(trailers)));
                Deferred::Pending
            }
        };
        ((Deferred::Pending, trailers), channels)
    }

    pub(super) fn from_wire(
        (content, trailers): WireBody,
        mut channels: Channels,
    ) -> Result<Self, CallError> {
        let mut take = |path: Path, what: &str| {
            channels
                .take(&path)
                .ok_or_else(|| CallError::Malformed(format!("{what} was announced and never came")))
        };
        let content: ByteStream = match content {
            Deferred::Pending => decode_chunks(take(body_path(), "a body")?),
            Deferred::Ready(bytes) if trailers == Deferred::Ready(None) => {
                return Ok(Self::Full(bytes));
            }
            Deferred::Ready(bytes) => Box::pin(futures::stream::once(async move { Ok(bytes) })),
        };
        let trailers: Option<Trailers> = match trailers {
            Deferred::Ready(None) => None,
            Deferred::Ready(trailers) => Some(Box::pin(async move { Ok(trailers) })),
            Deferred::Pending => Some(Box::pin(decode_future(
                take(trailers_path(), "trailers")?,
                MAX_TRAILER_BYTES,
            ))),
        };
        Ok(Self::Stream { content, trailers })
    }
}

/// First parameter or result, first field. A result's `ok` adds no level.
fn body_path() -> Path {
    Arc::new([0, 0])
}

fn trailers_path() -> Path {
    Arc::new([0, 1])
}

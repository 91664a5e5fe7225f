//! Streams of bytes and single values that come later.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{
    Stream,
    future::{BoxFuture, FutureExt as _},
    stream::StreamExt as _,
};
use trellis_rpc::{ByteStream, CallError, codec::collect};

/// A `stream<u8>`, or a `wasi:io/streams.input-stream`: bytes that come bit by bit, at the pace of who reads them.
///
/// It is a [`Stream`] of chunks; how the bytes are cut means nothing. An error in it means that it broke off.
pub struct Content(Form);

enum Form {
    Whole(Bytes),
    Parts(ByteStream),
}

impl Content {
    /// What a stream of chunks brings. It is asked for the next one when there is room for it on the way.
    pub fn new(parts: impl Stream<Item = Result<Bytes, CallError>> + Send + 'static) -> Self {
        Self(Form::Parts(Box::pin(parts)))
    }

    /// All of it, when it has at most `limit` bytes.
    ///
    /// # Errors
    /// [`CallError::TooLarge`] when it has more, or what broke it off.
    pub async fn collect(self, limit: usize) -> Result<Bytes, CallError> {
        match self.0 {
            Form::Whole(bytes) if bytes.len() > limit => Err(CallError::TooLarge {
                what: "a stream".into(),
                bytes: bytes.len(),
                limit,
            }),
            Form::Whole(bytes) => Ok(bytes),
            Form::Parts(parts) => collect(parts, limit, "a stream").await,
        }
    }

    /// The bytes, when they are all there already; else the stream that brings them.
    pub(super) fn into_parts(self) -> Result<Bytes, ByteStream> {
        match self.0 {
            Form::Whole(bytes) => Ok(bytes),
            Form::Parts(parts) => Err(parts),
        }
    }
}

/// Bytes that are all there already.
impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Self(Form::Whole(bytes))
    }
}

impl From<ByteStream> for Content {
    fn from(parts: ByteStream) -> Self {
        Self(Form::Parts(parts))
    }
}

impl Stream for Content {
    type Item = Result<Bytes, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut self.0 {
            Form::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Form::Whole(bytes) => Poll::Ready(Some(Ok(std::mem::take(bytes)))),
            Form::Parts(parts) => parts.poll_next_unpin(cx),
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Whole(bytes) => write!(f, "Content({} bytes)", bytes.len()),
            Form::Parts(_) => f.write_str("Content(stream)"),
        }
    }
}

/// A `future<T>`: a value that comes after those around it. Await it for the value.
pub struct Later<T>(BoxFuture<'static, Result<T, CallError>>);

impl<T> Later<T> {
    /// The value that a future gives.
    pub fn new(value: impl Future<Output = Result<T, CallError>> + Send + 'static) -> Self {
        Self(value.boxed())
    }
}

impl<T> Future for Later<T> {
    type Output = Result<T, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_unpin(cx)
    }
}

impl<T> fmt::Debug for Later<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Later")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn content_is_read_whole_or_in_parts_within_a_bound() {
        let whole = || Content::from(Bytes::from_static(b"abc"));
        assert_eq!(&whole().collect(3).await.unwrap()[..], b"abc");
        assert!(matches!(
            whole().collect(2).await,
            Err(CallError::TooLarge { bytes: 3, .. })
        ));
        let chunks: Vec<_> = futures::StreamExt::collect(whole()).await;
        assert_eq!(chunks.len(), 1, "no empty chunk follows");
        let parts =
            futures::stream::iter([Ok(Bytes::from_static(b"ab")), Ok(Bytes::from_static(b"c"))]);
        let parts = Content::new(parts);
        assert_eq!(format!("{parts:?}"), "Content(stream)");
        assert_eq!(&parts.collect(9).await.unwrap()[..], b"abc");
    }
}

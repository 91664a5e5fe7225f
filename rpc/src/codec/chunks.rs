//! The content of streams and futures on channels of their own: `stream<u8>` as byte chunks, `future<T>` as one value.

use std::{future::Future, pin::Pin};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use futures::{FutureExt as _, Stream, StreamExt as _, stream};

use super::{Decode, Decoder, Encode, leb, to_bytes};
use crate::{channel::ByteStream, error::CallError};

/// Chunks that are there at once are put together up to this size: fewer messages, no waiting.
const GATHER_BYTES: usize = 64 * 1024;

/// What the last chunk is: one without elements.
const END: u8 = 0;

/// The channel of a `stream<u8>`: each chunk as a list, the end as an empty list. Empty chunks are left out, since on
/// the wire they would be the end.
pub fn encode_chunks(
    content: impl Stream<Item = Result<Bytes, CallError>> + Send + 'static,
) -> ByteStream {
    struct State {
        content: Pin<Box<dyn Stream<Item = Result<Bytes, CallError>> + Send>>,
        failed: Option<CallError>,
        ended: bool,
    }
    let state = State {
        content: Box::pin(content),
        failed: None,
        ended: false,
    };
    Box::pin(stream::unfold(state, |mut state| async move {
        if let Some(error) = state.failed.take() {
            return Some((Err(error), state));
        }
        if state.ended {
            return None;
        }
        let mut out = BytesMut::new();
        let mut next = state.content.next().await;
        loop {
            match next {
                Some(Ok(chunk)) if !chunk.is_empty() => chunk.encode(&mut out),
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    state.ended = true;
                    if out.is_empty() {
                        return Some((Err(error), state));
                    }
                    state.failed = Some(error);
                    break;
                }
                None => {
                    out.put_u8(END);
                    state.ended = true;
                    break;
                }
            }
            if out.len() >= GATHER_BYTES {
                break;
            }
            next = match state.content.next().now_or_never() {
                Some(next) => next,
                None if out.is_empty() => state.content.next().await,
                None => break,
            };
        }
        Some((Ok(out.freeze()), state))
    }))
}

/// The content of a `stream<u8>` from its channel. How the bytes are cut is the sender's and the route's business.
///
/// The stream yields an error when the channel ends before the content does.
pub fn decode_chunks(channel: ByteStream) -> ByteStream {
    let state = Chunks {
        channel,
        bytes: Bytes::new(),
        length: Length::default(),
        left: 0,
        ended: false,
    };
    Box::pin(stream::unfold(state, |mut state| async move {
        let item = state.next().await.transpose()?;
        state.ended |= item.is_err();
        Some((item, state))
    }))
}

/// Where the reading of a channel stands.
struct Chunks {
    channel: ByteStream,
    /// Arrived and not read.
    bytes: Bytes,
    length: Length,
    /// How much of the current chunk is to come.
    left: usize,
    ended: bool,
}

/// A list's length as far as it has arrived.
#[derive(Default)]
struct Length {
    bytes: BytesMut,
}

impl Chunks {
    async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        loop {
            if self.ended {
                return Ok(None);
            }
            if self.bytes.is_empty() {
                match self.channel.next().await.transpose()? {
                    Some(bytes) => self.bytes = bytes,
                    None => {
                        return Err(CallError::Transport(
                            "a stream broke off before its end".to_owned(),
                        ));
                    }
                }
                continue;
            }
            if self.left > 0 {
                let chunk = self.bytes.split_to(self.left.min(self.bytes.len()));
                self.left -= chunk.len();
                return Ok(Some(chunk));
            }
            match self.length.read(&mut self.bytes)? {
                None => {}
                Some(0) => {
                    self.ended = true;
                    return self.finish().await;
                }
                Some(length) => self.left = length,
            }
        }
    }

    /// Nothing may follow the end.
    async fn finish(&mut self) -> Result<Option<Bytes>, CallError> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        Err(CallError::Malformed(
            "bytes follow the end of a stream".to_owned(),
        ))
    }
}

impl Length {
    /// The length, once all its bytes are there.
    fn read(&mut self, bytes: &mut Bytes) -> Result<Option<usize>, CallError> {
        while bytes.has_remaining() {
            let byte = bytes.get_u8();
            self.bytes.put_u8(byte);
            if byte & 0x80 == 0 || self.bytes.len() > 5 {
                let mut decoder = Decoder::new(self.bytes.split().freeze());
                return Ok(Some(
                    leb::read_u32(&mut decoder, "a chunk's length")? as usize
                ));
            }
        }
        Ok(None)
    }
}

/// The channel of a `future<T>`.
pub fn encode_future<T: Encode + Send>(
    value: impl Future<Output = Result<T, CallError>> + Send + 'static,
) -> ByteStream {
    Box::pin(stream::once(async move { Ok(to_bytes(&value.await?)) }))
}

/// The value of a `future<T>` from its channel.
///
/// # Errors
/// What the channel ended with; [`CallError::Malformed`] when the bytes are no such value; [`CallError::TooLarge`] past
/// `limit` bytes.
pub async fn decode_future<T: Decode>(channel: ByteStream, limit: usize) -> Result<T, CallError> {
    let bytes = collect(channel, limit, "a future's value").await?;
    Ok(super::from_bytes(bytes)?)
}

/// Everything that a channel (or a stream's content) brings, up to a bound.
///
/// # Errors
/// What the channel ended with; [`CallError::TooLarge`] past `limit` bytes.
pub async fn collect(
    mut channel: ByteStream,
    limit: usize,
    what: &'static str,
) -> Result<Bytes, CallError> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(bytes) = channel.next().await.transpose()? {
        let length = first.len() + all.len() + bytes.len();
        if length > limit {
            return Err(CallError::TooLarge {
                what: what.into(),
                bytes: length,
                limit,
            });
        }
        if first.is_empty() && all.is_empty() {
            first = bytes;
        } else {
            if all.is_empty() {
                all.put_slice(&std::mem::take(&mut first));
            }
            all.put_slice(&bytes);
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(parts: Vec<&'static [u8]>) -> ByteStream {
        Box::pin(stream::iter(
            parts.into_iter().map(|part| Ok(Bytes::from_static(part))),
        ))
    }

    async fn content(parts: Vec<&'static [u8]>) -> Result<Bytes, CallError> {
        collect(decode_chunks(channel(parts)), 1 << 20, "a test's stream").await
    }

    #[tokio::test]
    async fn a_stream_is_written_as_in_the_capture() {
        let body = stream::iter([Ok(Bytes::from_static(b"body-bytes"))]);
        let sent = collect(encode_chunks(body), 100, "a channel")
            .await
            .unwrap();
        assert_eq!(&sent[..], b"\x0abody-bytes\0");
        let empty = collect(encode_chunks(stream::empty()), 100, "a channel")
            .await
            .unwrap();
        assert_eq!(&empty[..], [0]);
    }

    #[tokio::test]
    async fn a_stream_is_read_however_it_is_cut() {
        assert_eq!(&content(vec![b"\x05hello\0"]).await.unwrap()[..], b"hello");
        assert_eq!(
            &content(vec![b"\x05he", b"", b"llo", b"\x01", b"!", b"\0"])
                .await
                .unwrap()[..],
            b"hello!"
        );
        // 0x80 0x01 is 128, in two messages.
        let long: &'static [u8] = &[b'x'; 128];
        assert_eq!(
            &content(vec![b"\x80", b"\x01", long, b"\0"]).await.unwrap()[..],
            long
        );
    }

    #[tokio::test]
    async fn a_broken_stream_is_an_error() {
        assert!(matches!(
            content(vec![b"\x05hel"]).await,
            Err(CallError::Transport(_))
        ));
        assert!(matches!(
            content(vec![]).await,
            Err(CallError::Transport(_))
        ));
        assert!(matches!(
            content(vec![b"\0more"]).await,
            Err(CallError::Malformed(_))
        ));
        assert!(matches!(
            content(vec![b"\xff\xff\xff\xff\xff\xff\0"]).await,
            Err(CallError::Malformed(_))
        ));
    }

    #[tokio::test]
    async fn an_error_of_the_source_comes_after_what_was_before_it() {
        let body = stream::iter([Ok(Bytes::from_static(b"ab")), Err(CallError::Cancelled)]);
        let mut sent = encode_chunks(body);
        assert_eq!(&sent.next().await.unwrap().unwrap()[..], b"\x02ab");
        assert!(matches!(sent.next().await, Some(Err(CallError::Cancelled))));
        assert!(sent.next().await.is_none());
    }

    #[tokio::test]
    async fn a_future_is_one_value_within_its_bound() {
        let sent = || encode_future(async { Ok(Some("trailer".to_owned())) });
        assert_eq!(
            decode_future::<Option<String>>(sent(), 100)
                .await
                .unwrap()
                .as_deref(),
            Some("trailer")
        );
        assert!(matches!(
            decode_future::<Option<String>>(sent(), 4).await,
            Err(CallError::TooLarge { .. })
        ));
        assert!(matches!(
            decode_future::<u8>(channel(vec![b"\x01\x02"]), 4).await,
            Err(CallError::Malformed(_))
        ));
    }
}

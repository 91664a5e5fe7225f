//! Streams of bytes in interfaces that are called by their types. An actor of WASI 0.2 has them as the resource
//! `wasi:io/streams.input-stream`; on the wire they are `stream<u8>`, as with wRPC's other implementations, each on the
//! channel of its place among the values.

use std::pin::Pin;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use trellis_rpc::{
    ByteStream, CallError,
    channel::MAX_PATH,
    codec::{decode_chunks, encode_chunks},
    value::Ty,
};
use wasmtime_wasi::{
    async_trait,
    p2::{DynInputStream, InputStream, Pollable, StreamError, StreamResult},
};

/// How much is taken at once of a stream that a guest gives away.
const READ_BYTES: usize = 64 * 1024;

/// The type of a stream on the wire, if that resource is one.
pub(super) fn of_resource(name: &str) -> Option<Ty> {
    let (interface, resource) = name.rsplit_once('.')?;
    let (package, _) = interface.split_once('@')?;
    (package == "wasi:io/streams" && resource == "input-stream").then(|| Ty::stream(Ty::U8))
}

/// Whether a type is that of such a stream.
pub(super) fn is_bytes(ty: &Ty) -> bool {
    matches!(ty, Ty::Stream(Some(element)) if **element == Ty::U8)
}

/// Where among a call's values the reading or writing of them stands: what a stream's channel is called by. Options,
/// results and variants add no level; a list's elements have no channels (`wasmcloud-v1.md`, Invocation).
#[derive(Clone, Copy, Debug)]
pub(in crate::runtime) struct Spot {
    levels: [u32; MAX_PATH],
    depth: usize,
}

impl Spot {
    /// In the parameter with that number; in the result, with 0.
    pub(in crate::runtime) fn at(index: usize) -> Self {
        let mut spot = Self {
            levels: [0; MAX_PATH],
            depth: 0,
        };
        spot.enter(index);
        spot
    }

    /// Goes to a record's field or a tuple's item.
    pub(super) fn enter(&mut self, index: usize) {
        // What lies deeper than a path may be long holds no stream: that was checked when the component was loaded.
        if let Some(level) = self.levels.get_mut(self.depth) {
            *level = u32::try_from(index).unwrap_or(u32::MAX);
        }
        self.depth += 1;
    }

    /// Goes back to the whole.
    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }

    /// The path.
    ///
    /// # Errors
    /// [`CallError::Malformed`] when it is too long.
    pub(super) fn path(&self) -> Result<&[u32], CallError> {
        let too_deep = || CallError::Malformed("a stream lies too deep in its values".into());
        self.levels.get(..self.depth).ok_or_else(too_deep)
    }
}

/// A stream that arrives, for the guest to read.
pub(super) fn for_guest(content: Content) -> DynInputStream {
    match content {
        Content::Channel(channel) => reader(decode_chunks(channel)),
        Content::Whole(chunk) => Box::new(Arriving {
            rest: None,
            chunk,
            failed: None,
        }),
    }
}

/// A stream of those bytes, for a guest to read.
pub(in crate::runtime) fn reader(content: ByteStream) -> DynInputStream {
    Box::new(Arriving {
        rest: Some(content),
        chunk: Bytes::new(),
        failed: None,
    })
}

/// What a stream holds: there with the values, or to come.
pub(super) enum Content {
    /// All of it.
    Whole(Bytes),
    /// On its channel.
    Channel(ByteStream),
}

/// The channel of a stream that a guest gives away.
pub(super) fn for_wire(stream: DynInputStream) -> ByteStream {
    encode_chunks(stream::unfold(Some(stream), |stream| async move {
        let mut stream = stream?;
        loop {
            stream.ready().await;
            match stream.read(READ_BYTES) {
                // Ready too early.
                Ok(bytes) if bytes.is_empty() => tokio::task::yield_now().await,
                Ok(bytes) => return Some((Ok(bytes), Some(stream))),
                Err(StreamError::Closed) => return None,
                Err(error) => {
                    let why = format!("a stream that was passed on broke off: {error}");
                    return Some((Err(CallError::Failed(why)), None));
                }
            }
        }
    }))
}

struct Arriving {
    /// None: it is at its end.
    rest: Option<ByteStream>,
    /// Arrived and not read.
    chunk: Bytes,
    failed: Option<CallError>,
}

#[async_trait]
impl Pollable for Arriving {
    async fn ready(&mut self) {
        while self.chunk.is_empty() && self.failed.is_none() {
            let Some(rest) = &mut self.rest else { return };
            match rest.next().await {
                Some(Ok(chunk)) => self.chunk = chunk,
                Some(Err(error)) => self.failed = Some(error),
                None => self.rest = None,
            }
        }
    }
}

#[async_trait]
impl InputStream for Arriving {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if self.chunk.is_empty() && self.failed.is_none() {
            self.look();
        }
        if !self.chunk.is_empty() {
            return Ok(self.chunk.split_to(size.min(self.chunk.len())));
        }
        if let Some(error) = self.failed.take() {
            self.rest = None;
            return Err(StreamError::LastOperationFailed(error.into()));
        }
        match self.rest {
            Some(_) => Ok(Bytes::new()),
            None => Err(StreamError::Closed),
        }
    }
}

impl Arriving {
    /// Takes what has arrived already: who only reads, and never waits, is to see it too.
    fn look(&mut self) {
        let Some(rest) = &mut self.rest else { return };
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match Pin::as_mut(rest).poll_next(&mut context) {
            std::task::Poll::Ready(Some(Ok(chunk))) => self.chunk = chunk,
            std::task::Poll::Ready(Some(Err(error))) => self.failed = Some(error),
            std::task::Poll::Ready(None) => self.rest = None,
            std::task::Poll::Pending => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Everything that a reader gets, and how it ends.
    async fn read_all(stream: &mut DynInputStream) -> (Vec<u8>, StreamError) {
        let mut got = Vec::new();
        loop {
            match stream.blocking_read(3).await {
                Ok(bytes) => got.extend_from_slice(&bytes),
                Err(end) => return (got, end),
            }
        }
    }

    fn chunks(items: Vec<Result<&'static [u8], CallError>>) -> ByteStream {
        Box::pin(stream::iter(
            items.into_iter().map(|item| item.map(Bytes::from_static)),
        ))
    }

    #[tokio::test]
    async fn what_goes_out_comes_in() {
        let given = for_guest(Content::Channel(encode_chunks(chunks(vec![
            Ok(b"some "),
            Ok(b""),
            Ok(b"bytes"),
        ]))));
        let mut taken = for_guest(Content::Channel(for_wire(given)));
        let (bytes, end) = read_all(&mut taken).await;
        assert_eq!(bytes, b"some bytes");
        assert!(matches!(end, StreamError::Closed), "{end}");
    }

    #[tokio::test]
    async fn what_is_there_with_the_values_needs_no_channel() {
        let mut whole = for_guest(Content::Whole(Bytes::from_static(b"whole")));
        assert_eq!(whole.read(2).unwrap(), "wh");
        let (rest, end) = read_all(&mut whole).await;
        assert_eq!(rest, b"ole");
        assert!(matches!(end, StreamError::Closed), "{end}");
    }

    #[tokio::test]
    async fn a_stream_that_breaks_off_is_told_from_one_that_ends() {
        let gone = Err(CallError::Transport("the provider went away".into()));
        let content = encode_chunks(chunks(vec![Ok(b"half"), gone]));
        let mut stream = for_guest(Content::Channel(content));
        let (bytes, end) = read_all(&mut stream).await;
        assert_eq!(bytes, b"half");
        let StreamError::LastOperationFailed(error) = end else {
            panic!("{end}");
        };
        assert!(format!("{error:#}").contains("went away"), "{error:#}");
        assert!(matches!(stream.read(1), Err(StreamError::Closed)));
    }

    #[tokio::test]
    async fn a_reader_that_never_waits_sees_what_comes() {
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let content = stream::unfold(receiver, |mut receiver| async move {
            let item: Result<Bytes, CallError> = receiver.recv().await?;
            Some((item, receiver))
        });
        let mut stream = for_guest(Content::Channel(encode_chunks(content)));
        assert!(stream.read(9).unwrap().is_empty());
        sender.send(Ok(Bytes::from_static(b"now"))).await.unwrap();
        let read = async {
            loop {
                let bytes = stream.read(9).unwrap();
                if !bytes.is_empty() {
                    return bytes;
                }
                tokio::task::yield_now().await;
            }
        };
        let read = tokio::time::timeout(Duration::from_secs(10), read).await;
        assert_eq!(read.unwrap(), "now");
    }

    #[test]
    fn only_input_streams_are_streams() {
        assert!(of_resource("wasi:io/streams@0.2.6.input-stream").is_some());
        assert!(of_resource("wasi:io/streams@0.2.6.output-stream").is_none());
        assert!(of_resource("acme:io/streams@0.2.6.input-stream").is_none());
        assert!(of_resource("wasi:io/poll@0.2.6.pollable").is_none());
    }

    #[test]
    fn a_spot_has_the_path_that_the_type_says() {
        let ty = Ty::Tuple(vec![
            Ty::U8,
            Ty::Record {
                fields: vec![
                    ("a".to_owned(), Ty::U8),
                    (
                        "b".to_owned(),
                        Ty::result(Some(Ty::stream(Ty::U8)), Some(Ty::String)),
                    ),
                ],
            },
        ]);
        let mut spot = Spot::at(2);
        spot.enter(1);
        spot.enter(1);
        let path = spot.path().unwrap();
        assert_eq!(path, [2, 1, 1]);
        assert_eq!(ty.channels()[0].0, path[1..]);
        spot.leave();
        assert_eq!(spot.path().unwrap(), [2, 1]);
    }
}

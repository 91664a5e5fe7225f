//! Objects that a guest writes: what it writes goes to the provider as it comes, as far as there is room on the way.

use bytes::Bytes;
use futures::stream;
use tokio::sync::{mpsc, oneshot};
use trellis_rpc::{ByteStream, CallError, interface::blobstore::Outcome};
use wasmtime::component::Resource;
use wasmtime_wasi::{
    async_trait,
    p2::{DynOutputStream, OutputStream, Pollable, StreamError, StreamResult},
};

use super::{Answer, told, types};
use crate::runtime::state::CallState;

/// How many writes may wait for the provider, and how many bytes each may have: what a value takes of host memory at most,
/// and how much a guest may write before it says where to.
const WRITES: usize = 16;
const WRITE_BYTES: usize = 64 << 10;

/// The content of an object that is to be written.
pub struct OutgoingValue {
    /// Until the guest takes its stream.
    writer: Option<mpsc::Sender<Bytes>>,
    /// Until it is said where to write it.
    content: Option<ByteStream>,
    /// Says that it is complete. Dropped without a word, it is not.
    finished: oneshot::Sender<()>,
    /// How the writing ends, once it began.
    pub(super) outcome: Option<Outcome>,
}

impl OutgoingValue {
    fn new() -> Self {
        let (writer, chunks) = mpsc::channel(WRITES);
        let (finished, is_finished) = oneshot::channel();
        Self {
            writer: Some(writer),
            content: Some(content(chunks, is_finished)),
            finished,
            outcome: None,
        }
    }

    /// Its content, which can be written once.
    pub(super) fn take_content(&mut self) -> Option<ByteStream> {
        self.content.take()
    }
}

/// What the guest wrote. It ends well only when the guest said that it is complete.
fn content(chunks: mpsc::Receiver<Bytes>, is_finished: oneshot::Receiver<()>) -> ByteStream {
    let state = Some((chunks, is_finished));
    Box::pin(stream::unfold(state, |state| async move {
        let (mut chunks, is_finished) = state?;
        if let Some(chunk) = chunks.recv().await {
            return Some((Ok(chunk), Some((chunks, is_finished))));
        }
        match is_finished.await {
            Ok(()) => None,
            Err(_) => {
                let why = "the actor dropped the value without finishing it";
                Some((Err(CallError::Failed(why.to_owned())), None))
            }
        }
    }))
}

impl types::HostOutgoingValue for CallState {
    async fn new_outgoing_value(&mut self) -> wasmtime::Result<Resource<OutgoingValue>> {
        Ok(self.table.push(OutgoingValue::new())?)
    }

    async fn outgoing_value_write_body(
        &mut self,
        value: Resource<OutgoingValue>,
    ) -> wasmtime::Result<Result<Resource<DynOutputStream>, ()>> {
        let Some(writer) = self.table.get_mut(&value)?.writer.take() else {
            return Ok(Err(()));
        };
        let stream: DynOutputStream = Box::new(Body { writer });
        Ok(Ok(self.table.push_child(stream, &value)?))
    }

    async fn finish(&mut self, value: Resource<OutgoingValue>) -> Answer<()> {
        let OutgoingValue {
            writer,
            finished,
            outcome,
            content,
        } = self.table.delete(value)?;
        // Nobody ever wrote to it: it is empty.
        drop(writer);
        // Nobody may read it.
        let _ = finished.send(());
        let Some(Outcome(outcome)) = outcome else {
            return Ok(match content {
                Some(_) => {
                    Err("the value was finished without being written to a container".into())
                }
                None => Err("the value could not be written".into()),
            });
        };
        Ok(told(outcome.await))
    }

    async fn drop(&mut self, value: Resource<OutgoingValue>) -> wasmtime::Result<()> {
        self.table.delete(value)?;
        Ok(())
    }
}

/// The stream that a guest writes to.
struct Body {
    writer: mpsc::Sender<Bytes>,
}

#[async_trait]
impl Pollable for Body {
    async fn ready(&mut self) {
        // Ready too when nobody reads any more: writing tells.
        let _ = self.writer.reserve().await;
    }
}

#[async_trait]
impl OutputStream for Body {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.writer.try_send(bytes).map_err(|error| match error {
            mpsc::error::TrySendError::Closed(_) => StreamError::Closed,
            mpsc::error::TrySendError::Full(_) => {
                StreamError::trap("more was written than there was room for")
            }
        })
    }

    fn flush(&mut self) -> StreamResult<()> {
        // What is written is on its way.
        match self.writer.is_closed() {
            true => Err(StreamError::Closed),
            false => Ok(()),
        }
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        if self.writer.is_closed() {
            return Err(StreamError::Closed);
        }
        Ok(match self.writer.capacity() {
            0 => 0,
            _ => WRITE_BYTES,
        })
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn what_is_written_and_finished_ends() {
        let mut value = OutgoingValue::new();
        let mut body = Body {
            writer: value.writer.take().unwrap(),
        };
        let content = value.take_content().unwrap();
        body.write(Bytes::from_static(b"ab")).unwrap();
        body.write(Bytes::from_static(b"c")).unwrap();
        drop(body);
        value.finished.send(()).unwrap();
        let chunks: Vec<Bytes> = content.map(Result::unwrap).collect().await;
        assert_eq!(chunks.concat(), b"abc");
    }

    #[tokio::test]
    async fn what_is_not_finished_breaks_off() {
        let mut value = OutgoingValue::new();
        let content = value.take_content().unwrap();
        drop(value);
        let items: Vec<_> = content.collect().await;
        assert!(
            matches!(items[..], [Err(CallError::Failed(_))]),
            "{items:?}"
        );
    }

    #[tokio::test]
    async fn a_guest_waits_for_room() {
        let mut value = OutgoingValue::new();
        let mut body = Body {
            writer: value.writer.take().unwrap(),
        };
        let mut written = 0;
        while body.check_write().unwrap() > 0 {
            body.write(Bytes::from_static(b"x")).unwrap();
            written += 1;
        }
        assert_eq!(written, WRITES);
        assert!(futures::FutureExt::now_or_never(body.ready()).is_none());
        let mut content = value.take_content().unwrap();
        content.next().await.unwrap().unwrap();
        body.ready().await;
        assert_eq!(body.check_write().unwrap(), WRITE_BYTES);
        drop(content);
        assert!(matches!(body.check_write(), Err(StreamError::Closed)));
    }
}

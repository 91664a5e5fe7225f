//! Content and listings as they stream, with their outcome.

use std::{fmt, pin::Pin};

use bytes::Bytes;
use futures::{
    Stream, StreamExt as _,
    future::{BoxFuture, FutureExt as _},
    stream,
};
use tokio::sync::oneshot;

use super::{ObjectId, encoded};
use crate::{
    call::{Incoming, Outgoing},
    channel::{ByteStream, Channels},
    codec::{
        Decode, Deferred, decode_chunks, decode_future, decode_items, encode_chunks, encode_future,
        encode_items, from_bytes,
    },
    error::CallError,
};

/// The most bytes of an outcome's words.
const MAX_OUTCOME_BYTES: usize = 64 << 10;

/// A callee's own error, in words, as the answer's result has it.
type Answer<T> = Result<T, String>;

/// Chunks of names, as they come.
type NameStream = Pin<Box<dyn Stream<Item = Result<Vec<String>, CallError>> + Send>>;

/// An object's content. An error in the stream means that it broke off.
pub struct Content(pub ByteStream);

/// The names of a container's objects, some at a time. An error in the stream means that it broke off.
pub struct Names(pub NameStream);

/// How the writing of an object ended.
pub struct Outcome(pub BoxFuture<'static, Result<Answer<()>, CallError>>);

/// An object to write.
pub struct Upload {
    /// Which.
    pub id: ObjectId,
    /// Its content. An error in it means that it broke off, and nothing is to be written.
    pub content: ByteStream,
}

impl Content {
    /// As the answer of [`super::GET_CONTAINER_DATA`].
    pub fn into_result(result: Answer<Self>) -> Outgoing {
        into_result(result.map(|content| content.0), encode_chunks)
    }

    /// From that answer; the inner error is the callee's own.
    ///
    /// # Errors
    /// [`CallError::Malformed`]; [`CallError::Failed`] when the callee ended without a result.
    pub fn from_result(result: Incoming) -> Result<Answer<Self>, CallError> {
        let whole = |bytes: Bytes| Box::pin(stream::iter([Ok(bytes)])) as ByteStream;
        let read = from_result(result, whole, decode_chunks)?;
        Ok(read.map(|content| Self(Box::pin(content))))
    }
}

impl Names {
    /// As the answer of [`super::LIST_CONTAINER_OBJECTS`].
    pub fn into_result(result: Answer<Self>) -> Outgoing {
        into_result(result.map(|names| names.0), encode_items)
    }

    /// From that answer; the inner error is the callee's own.
    ///
    /// # Errors
    /// As [`Content::from_result`].
    pub fn from_result(result: Incoming) -> Result<Answer<Self>, CallError> {
        let whole = |names: Vec<String>| Box::pin(stream::iter([Ok(names)])) as NameStream;
        let read = from_result(result, whole, |channel| {
            Box::pin(decode_items(channel)) as NameStream
        })?;
        Ok(read.map(|names| Self(Box::pin(names))))
    }
}

impl Upload {
    /// As the parameters of [`super::WRITE_CONTAINER_DATA`].
    pub fn into_params(self) -> Outgoing {
        Outgoing {
            root: encoded(&(self.id, Deferred::<Bytes>::Pending)),
            channels: vec![([1].into(), encode_chunks(self.content))],
        }
    }

    /// From those parameters.
    ///
    /// # Errors
    /// [`CallError::Malformed`].
    pub fn from_params(params: Incoming) -> Result<Self, CallError> {
        let Incoming { root, mut channels } = params;
        let (id, content) = from_bytes::<(ObjectId, Deferred<Bytes>)>(root)?;
        let content = match content {
            Deferred::Ready(bytes) => Box::pin(stream::iter([Ok(bytes)])) as ByteStream,
            Deferred::Pending => decode_chunks(take(&mut channels, &[1])?),
        };
        Ok(Self { id, content })
    }
}

impl Outcome {
    /// As the answer of [`super::WRITE_CONTAINER_DATA`]: the writing goes on while the caller waits for it.
    pub fn into_result(self) -> Outgoing {
        let begun: Answer<Deferred<Answer<()>>> = Ok(Deferred::Pending);
        Outgoing {
            root: encoded(&begun),
            channels: vec![([0].into(), encode_future(self.0))],
        }
    }

    /// From that answer; the inner error is the callee's own.
    ///
    /// # Errors
    /// As [`Content::from_result`].
    pub fn from_result(result: Incoming) -> Result<Answer<Self>, CallError> {
        let Incoming { root, mut channels } = result;
        if root.is_empty() {
            return Err(CallError::without_results());
        }
        Ok(match from_bytes::<Answer<Deferred<Answer<()>>>>(root)? {
            Err(error) => Err(error),
            Ok(Deferred::Ready(outcome)) => Ok(Self(async { Ok(outcome) }.boxed())),
            Ok(Deferred::Pending) => {
                let channel = take(&mut channels, &[0])?;
                Ok(Self(decode_future(channel, MAX_OUTCOME_BYTES).boxed()))
            }
        })
    }
}

/// A stream's answer: the stream, and a future that tells how it ended.
fn into_result<T: Send + 'static>(
    result: Answer<impl Stream<Item = Result<T, CallError>> + Send + Unpin + 'static>,
    encode: impl FnOnce(Told<T>) -> ByteStream,
) -> Outgoing {
    let content = match result {
        Ok(content) => content,
        Err(error) => return Outgoing::unary(encoded(&Err::<(), _>(error))),
    };
    let (tell, told) = oneshot::channel();
    let content = stream::unfold(
        (content, Some(tell)),
        |(mut content, mut tell)| async move {
            // Once how it ended is told, there is no more.
            tell.as_ref()?;
            let item = content.next().await;
            let outcome = match &item {
                Some(Ok(_)) => None,
                Some(Err(error)) => Some(Err(error.to_string())),
                None => Some(Ok(())),
            };
            if let Some(outcome) = outcome
                && let Some(tell) = tell.take()
            {
                // Nobody may wait for it.
                let _ = tell.send(outcome);
            }
            item.map(|item| (item, (content, tell)))
        },
    );
    let outcome = async move {
        let gone = || CallError::Failed("the stream was not read to its end".to_owned());
        told.await.map_err(|_| gone())
    };
    let pending: Answer<(Deferred<Bytes>, Deferred<Answer<()>>)> =
        Ok((Deferred::Pending, Deferred::Pending));
    Outgoing {
        root: encoded(&pending),
        channels: vec![
            ([0, 0].into(), encode(Box::pin(content))),
            ([0, 1].into(), encode_future(outcome)),
        ],
    }
}

/// A stream that tells how it ended.
type Told<T> = Pin<Box<dyn Stream<Item = Result<T, CallError>> + Send>>;

/// The stream of an answer, with what its future tells as its end.
fn from_result<W, T, S>(
    result: Incoming,
    whole: impl FnOnce(W) -> S,
    decode: impl FnOnce(ByteStream) -> S,
) -> Result<Answer<impl Stream<Item = Result<T, CallError>> + Send + 'static>, CallError>
where
    W: Decode + 'static,
    T: Send + 'static,
    S: Stream<Item = Result<T, CallError>> + Send + 'static,
{
    let Incoming { root, mut channels } = result;
    if root.is_empty() {
        return Err(CallError::without_results());
    }
    let (content, outcome) = match from_bytes::<Answer<(Deferred<W>, Deferred<Answer<()>>)>>(root)?
    {
        Err(error) => return Ok(Err(error)),
        Ok(streamed) => streamed,
    };
    let content = match content {
        Deferred::Ready(content) => whole(content),
        Deferred::Pending => decode(take(&mut channels, &[0, 0])?),
    };
    let outcome = match outcome {
        Deferred::Ready(outcome) => async { Ok(outcome) }.boxed(),
        Deferred::Pending => {
            let channel = take(&mut channels, &[0, 1])?;
            decode_future::<Answer<()>>(channel, MAX_OUTCOME_BYTES).boxed()
        }
    };
    let end = stream::once(outcome).filter_map(|outcome| async {
        match outcome {
            Ok(Ok(())) => None,
            Ok(Err(why)) => Some(Err(CallError::Failed(why))),
            Err(error) => Some(Err(error)),
        }
    });
    // What broke off is told once.
    let mut broken = false;
    let all = content.chain(end).take_while(move |item| {
        let go_on = !broken;
        broken |= item.is_err();
        async move { go_on }
    });
    Ok(Ok(all))
}

fn take(channels: &mut Channels, path: &[u32]) -> Result<ByteStream, CallError> {
    let missing =
        || CallError::Malformed("a stream is to come, and there is no channel for it".into());
    channels.take(path).ok_or_else(missing)
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Content")
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names")
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outcome")
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over_the_wire(sent: Outgoing) -> Incoming {
        Incoming {
            root: sent.root,
            channels: Channels::ready(sent.channels),
        }
    }

    fn chunks(items: Vec<Result<&'static [u8], CallError>>) -> ByteStream {
        Box::pin(stream::iter(
            items.into_iter().map(|item| item.map(Bytes::from_static)),
        ))
    }

    async fn read(content: Content) -> Vec<Result<Bytes, CallError>> {
        content.0.collect().await
    }

    #[tokio::test]
    async fn content_comes_whole_and_ends() {
        let sent = Content::into_result(Ok(Content(chunks(vec![Ok(b"ab"), Ok(b"c")]))));
        let got = Content::from_result(over_the_wire(sent)).unwrap().unwrap();
        let bytes: Vec<Bytes> = read(got).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(bytes.concat(), b"abc");
    }

    #[tokio::test]
    async fn what_breaks_off_is_told_once() {
        let broken = CallError::Failed("the disk is gone".to_owned());
        let sent = Content::into_result(Ok(Content(chunks(vec![Ok(b"ab"), Err(broken)]))));
        let got = Content::from_result(over_the_wire(sent)).unwrap().unwrap();
        let got = read(got).await;
        assert_eq!(got.len(), 2, "{got:?}");
        assert!(
            got[1]
                .as_ref()
                .unwrap_err()
                .to_string()
                .contains("the disk")
        );
    }

    #[tokio::test]
    async fn what_a_1_x_callee_says_in_its_future_is_an_error_too() {
        let values: Answer<(Deferred<Bytes>, Deferred<Answer<()>>)> = Ok((
            Deferred::Ready(Bytes::from_static(b"half")),
            Deferred::Ready(Err("no more".to_owned())),
        ));
        let sent = Outgoing::unary(encoded(&values));
        let got = Content::from_result(over_the_wire(sent)).unwrap().unwrap();
        let got = read(got).await;
        assert_eq!(got[0].as_ref().unwrap(), "half");
        assert!(got[1].as_ref().unwrap_err().to_string().contains("no more"));
    }

    #[tokio::test]
    async fn refusals_are_the_callee_s_own() {
        let sent = Names::into_result(Err("no such container".to_owned()));
        let refused = Names::from_result(over_the_wire(sent)).unwrap();
        assert_eq!(refused.unwrap_err(), "no such container");
    }

    #[tokio::test]
    async fn an_upload_and_its_outcome_cross() {
        let id = ObjectId {
            container: "c".to_owned(),
            object: "o".to_owned(),
        };
        let upload = Upload {
            id: id.clone(),
            content: chunks(vec![Ok(b"xyz")]),
        };
        let got = Upload::from_params(over_the_wire(upload.into_params())).unwrap();
        assert_eq!(got.id, id);
        let bytes: Vec<Bytes> = got.content.map(Result::unwrap).collect().await;
        assert_eq!(bytes.concat(), b"xyz");
        let outcome = Outcome(async { Ok(Err("full".to_owned())) }.boxed());
        let told = Outcome::from_result(over_the_wire(outcome.into_result()));
        assert_eq!(
            told.unwrap().unwrap().0.await.unwrap(),
            Err("full".to_owned())
        );
    }
}

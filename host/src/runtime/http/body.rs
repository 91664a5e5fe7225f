//! Bodies: streams on the wire, [`http_body::Body`] for guests. Nothing is collected on the way.

use bytes::{Bytes, BytesMut};
use futures::{FutureExt as _, StreamExt as _, stream};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use tokio::sync::oneshot;
use tokio_util::sync::DropGuard;
use trellis_rpc::{
    CallError,
    interface::http::{Body, fields_of, header_map},
};
use wasmtime_wasi_http::Error;

/// A body as guests read and write it.
pub(in crate::runtime) type GuestBody = UnsyncBoxBody<Bytes, Error>;

/// A body from the wire, for a guest to read.
pub(in crate::runtime) fn for_guest(body: Body) -> GuestBody {
    match body {
        Body::Full(bytes) => Full::new(bytes)
            .map_err(|never| match never {})
            .boxed_unsync(),
        Body::Stream { content, trailers } => {
            let content = content.map(|chunk| chunk.map(Frame::data).map_err(broken_off));
            let trailers = stream::iter(trailers).filter_map(|trailers| async {
                match trailers.await {
                    Ok(None) => None,
                    Ok(Some(fields)) => Some(match header_map(fields) {
                        Ok(headers) => Ok(Frame::trailers(headers)),
                        Err(error) => Err(Error::InternalError(Some(error.to_string()))),
                    }),
                    Err(error) => Some(Err(broken_off(error))),
                }
            });
            StreamBody::new(content.chain(trailers)).boxed_unsync()
        }
    }
}

fn broken_off(error: CallError) -> Error {
    match error {
        CallError::Transport(_) | CallError::Cancelled => Error::ConnectionTerminated,
        CallError::DeadlineExceeded { .. } => Error::ConnectionReadTimeout,
        other => Error::InternalError(Some(other.to_string())),
    }
}

/// A body that a guest has written to its end, for the wire: what is there now is all of it.
pub(in crate::runtime) fn whole(mut body: GuestBody) -> Result<Body, CallError> {
    let mut content = BytesMut::new();
    let mut first = None;
    let mut trailers = None;
    while let Some(Some(frame)) = body.frame().now_or_never() {
        match frame
            .map_err(|error| CallError::Failed(error.to_string()))?
            .into_data()
        {
            // The usual body is one chunk, which need not be copied.
            Ok(chunk) if first.is_none() && content.is_empty() => first = Some(chunk),
            Ok(chunk) => {
                content.extend(first.take());
                content.extend_from_slice(&chunk);
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    let content = first.unwrap_or_else(|| content.freeze());
    Ok(match trailers {
        None => Body::Full(content),
        Some(trailers) => {
            let fields = Some(fields_of(&trailers));
            Body::Stream {
                content: Box::pin(stream::iter([Ok(content)])),
                trailers: Some(Box::pin(async { Ok(fields) })),
            }
        }
    })
}

/// A body that a guest goes on writing, for the wire.
///
/// `failure` is asked when the body ends: a guest that failed ends its body like one that finished it.
/// `reader` is cancelled when nobody reads the body any more.
pub(in crate::runtime) fn for_wire(
    body: GuestBody,
    failure: impl FnMut() -> Option<CallError> + Send + 'static,
    reader: Option<DropGuard>,
) -> Body {
    let (sender, receiver) = oneshot::channel();
    let state = Reading {
        body,
        failure,
        reader,
        trailers: Some(sender),
        ended: false,
    };
    let content = stream::unfold(state, |mut state| async move {
        let chunk = state.next().await?;
        Some((chunk, state))
    });
    let trailers = async { Ok(receiver.await.ok().map(|headers| fields_of(&headers))) };
    Body::Stream {
        content: Box::pin(content),
        trailers: Some(Box::pin(trailers)),
    }
}

struct Reading<F> {
    body: GuestBody,
    failure: F,
    reader: Option<DropGuard>,
    trailers: Option<oneshot::Sender<http::HeaderMap>>,
    ended: bool,
}

impl<F: FnMut() -> Option<CallError>> Reading<F> {
    async fn next(&mut self) -> Option<Result<Bytes, CallError>> {
        if self.ended {
            return None;
        }
        loop {
            let end = match self.body.frame().await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(chunk) if chunk.is_empty() => continue,
                    Ok(chunk) => return Some(Ok(chunk)),
                    Err(frame) => {
                        if let (Ok(trailers), Some(sender)) =
                            (frame.into_trailers(), self.trailers.take())
                        {
                            // Nobody may wait for them.
                            let _ = sender.send(trailers);
                        }
                        continue;
                    }
                },
                Some(Err(error)) => {
                    let failure = (self.failure)();
                    Some(Err(failure.unwrap_or_else(|| {
                        CallError::Failed(format!("the body broke off: {error}"))
                    })))
                }
                None => (self.failure)().map(Err),
            };
            self.ended = true;
            self.trailers = None;
            // The reader was there to the end: what the guest does from now on is its own business.
            if let Some(guard) = self.reader.take() {
                guard.disarm();
            }
            return end;
        }
    }
}

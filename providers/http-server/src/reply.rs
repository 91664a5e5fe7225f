//! A component's response on its way to the client.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _};
use http::{HeaderMap, Method, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use trellis_provider::rpc::{
    ByteStream, CallError,
    interface::http::{Body as WireBody, Response as WireResponse, Trailers, header_map},
};

use crate::{refusal::Refusal, request::remove_hop_by_hop};

/// A response's body: there already, or as the component sends it.
pub struct ReplyBody(Content);

enum Content {
    Full(Bytes),
    Stream {
        content: ByteStream,
        trailers: Option<Trailers>,
    },
    Trailers(Trailers),
    Ended,
}

impl ReplyBody {
    /// A body that is there already.
    pub fn full(bytes: Bytes) -> Self {
        Self(if bytes.is_empty() {
            Content::Ended
        } else {
            Content::Full(bytes)
        })
    }
}

/// The component's response as HTTP's. `method` is the request's.
///
/// # Errors
/// [`Refusal::Response`] for what HTTP doesn't know.
pub fn response(wire: WireResponse, method: &Method) -> Result<Response<ReplyBody>, Refusal> {
    let status = StatusCode::from_u16(wire.status)
        .map_err(|_| Refusal::Response("its status is not a status code"))?;
    if status.is_informational() {
        return Err(Refusal::Response("its status is not a final one"));
    }
    let mut headers = header_map(wire.headers)
        .map_err(|_| Refusal::Response("a header's name or value is not allowed"))?;
    // They are about the connection between client and server, of which the component knows nothing.
    remove_hop_by_hop(&mut headers);
    let body = match wire.body {
        WireBody::Full(bytes) => {
            // hyper knows the length better; a HEAD's is about a body that isn't there.
            if method != Method::HEAD && !status.is_redirection() {
                headers.remove(header::CONTENT_LENGTH);
            }
            ReplyBody::full(bytes)
        }
        WireBody::Stream { content, trailers } => ReplyBody(Content::Stream { content, trailers }),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = CallError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        loop {
            match &mut self.0 {
                Content::Full(bytes) => {
                    let bytes = std::mem::take(bytes);
                    self.0 = Content::Ended;
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Content::Stream { content, trailers } => {
                    match ready!(content.poll_next_unpin(context)) {
                        Some(Ok(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                        Some(Err(error)) => {
                            self.0 = Content::Ended;
                            return Poll::Ready(Some(Err(broken(error))));
                        }
                        None => {
                            let trailers = trailers.take();
                            self.0 = trailers.map_or(Content::Ended, Content::Trailers);
                        }
                    }
                }
                Content::Trailers(trailers) => {
                    let outcome = ready!(trailers.poll_unpin(context));
                    self.0 = Content::Ended;
                    return Poll::Ready(match outcome.map(trailer_map) {
                        Ok(None) => None,
                        Ok(Some(trailers)) => Some(Ok(Frame::trailers(trailers))),
                        Err(error) => Some(Err(broken(error))),
                    });
                }
                Content::Ended => return Poll::Ready(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Content::Ended)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Content::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Ended => SizeHint::with_exact(0),
            Content::Stream { .. } | Content::Trailers(_) => SizeHint::default(),
        }
    }
}

/// The head is out already: all that is left is to cut the response, so that the client doesn't take it for whole.
fn broken(error: CallError) -> CallError {
    tracing::warn!(%error, "a response broke off");
    error
}

/// Trailers that HTTP doesn't allow are left out: the body is whole without them.
fn trailer_map(
    fields: Option<trellis_provider::rpc::interface::http::Fields>,
) -> Option<HeaderMap> {
    let fields =
        header_map(fields?).inspect_err(|error| tracing::warn!(%error, "trailers left out"));
    fields.ok().filter(|trailers| !trailers.is_empty())
}

impl fmt::Debug for ReplyBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Content::Full(bytes) => f.debug_tuple("Full").field(&bytes.len()).finish(),
            Content::Stream { .. } => f.write_str("Stream"),
            Content::Trailers(_) => f.write_str("Trailers"),
            Content::Ended => f.write_str("Ended"),
        }
    }
}

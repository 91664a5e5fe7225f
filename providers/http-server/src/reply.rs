//! A component's response on its way to the client.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _};
use http::{HeaderMap, Method, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use trellis_provider::rpc::{
    ByteStream, CallError,
    interface::http::{Body as WireBody, Response as WireResponse, Trailers, header_map},
};

use crate::{
    access::Entry, compression::Compressed, idle::Idle, refusal::Refusal,
    request::remove_hop_by_hop,
};

/// A response's body: there already, or as the component sends it.
pub struct ReplyBody(Source);

enum Source {
    Ready(Content),
    Watched(Watched),
    Compressed(Box<Compressed>),
    Logged(Box<Logged>),
}

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
        Self(Source::Ready(if bytes.is_empty() {
            Content::Ended
        } else {
            Content::Full(bytes)
        }))
    }

    /// The same, counted for the access log, which gets its line when the body is over or dropped.
    pub fn logged(self, mut entry: Entry) -> Self {
        if self.is_end_stream() {
            entry.complete();
        }
        Self(Source::Logged(Box::new(Logged { body: self, entry })))
    }
}

impl From<Compressed> for ReplyBody {
    fn from(compressed: Compressed) -> Self {
        Self(Source::Compressed(Box::new(compressed)))
    }
}

/// The component's response as HTTP's. `method` is the request's; `idle` cuts a streamed body that the client doesn't read.
///
/// # Errors
/// [`Refusal::Response`] for what HTTP doesn't know.
pub fn response(
    wire: WireResponse,
    method: &Method,
    idle: Idle,
) -> Result<Response<ReplyBody>, Refusal> {
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
            if method != Method::HEAD && status != StatusCode::NOT_MODIFIED {
                headers.remove(header::CONTENT_LENGTH);
            }
            ReplyBody::full(bytes)
        }
        WireBody::Stream { content, trailers } => ReplyBody(Source::Watched(Watched::begin(
            Content::Stream { content, trailers },
            idle,
        ))),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// Leaves the body out where HTTP has none (RFC 9110, sections 6.4.1 and 15.3.6). A component that still sends one is told
/// to stop: its stream is dropped.
pub fn without_body_where_none_belongs(
    mut response: Response<ReplyBody>,
    method: &Method,
) -> Response<ReplyBody> {
    let status = response.status();
    match status {
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT => {
            response.headers_mut().remove(header::CONTENT_LENGTH);
        }
        StatusCode::NOT_MODIFIED => {}
        _ if method == Method::HEAD => {
            // What a GET would bring. Nothing is said for an empty body: the component may have left it out.
            if let Some(length) = response
                .body()
                .size_hint()
                .exact()
                .filter(|length| *length > 0)
            {
                let headers = response.headers_mut();
                headers
                    .entry(header::CONTENT_LENGTH)
                    .or_insert_with(|| length.into());
            }
        }
        _ => return response,
    }
    *response.body_mut() = ReplyBody::full(Bytes::new());
    response
}

/// A body whose client must go on reading it. What holds the component lives here and not in hyper's hands, because hyper
/// doesn't ask a body while its client takes nothing.
struct Watched {
    shared: Arc<Mutex<Shared>>,
    idle: Idle,
    _watch: AbortOnDropHandle<()>,
}

struct Shared {
    /// `None`: cut.
    content: Option<Content>,
    /// When the client got a part and has not asked for the next one since.
    waits_since: Option<Instant>,
}

impl Watched {
    fn begin(content: Content, idle: Idle) -> Self {
        let shared = Arc::new(Mutex::new(Shared {
            content: Some(content),
            waits_since: Some(Instant::now()),
        }));
        let watch = tokio::spawn(watch(shared.clone(), idle.limit()));
        Self {
            shared,
            idle,
            _watch: AbortOnDropHandle::new(watch),
        }
    }

    fn poll_frame(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(content) = &mut shared.content else {
            return Poll::Ready(Some(Err(CallError::Cancelled)));
        };
        let polled = content.poll_frame(context);
        shared.waits_since = polled.is_ready().then(Instant::now);
        drop(shared);
        if polled.is_ready() {
            self.idle.moved();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(shared.content, Some(Content::Ended))
    }
}

/// Lets go of the content, and with it of the component, once the client took nothing for `limit`.
async fn watch(shared: Arc<Mutex<Shared>>, limit: Duration) {
    let mut until = Instant::now() + limit;
    loop {
        tokio::time::sleep_until(until).await;
        let now = Instant::now();
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        until = shared.waits_since.unwrap_or(now) + limit;
        if until <= now {
            let content = shared.content.take();
            drop(shared);
            drop(content);
            tracing::debug!("a client does not read its response, which is cut");
            return;
        }
    }
}

/// A body that the access log has an entry for.
struct Logged {
    body: ReplyBody,
    entry: Entry,
}

impl Logged {
    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        let polled = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &polled {
            self.entry.sent(frame.data_ref().map_or(0, Bytes::len));
        }
        if polled.is_none() || self.body.is_end_stream() {
            self.entry.complete();
        }
        Poll::Ready(polled)
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = CallError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        match &mut self.0 {
            Source::Ready(content) => content.poll_frame(context),
            Source::Watched(watched) => watched.poll_frame(context),
            Source::Compressed(compressed) => compressed.poll_frame(context),
            Source::Logged(logged) => logged.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Source::Ready(content) => content.is_end_stream(),
            Source::Watched(watched) => watched.is_end_stream(),
            Source::Compressed(compressed) => compressed.is_end_stream(),
            Source::Logged(logged) => logged.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Source::Ready(content) => content.size_hint(),
            Source::Watched(_) | Source::Compressed(_) => SizeHint::default(),
            Source::Logged(logged) => logged.body.size_hint(),
        }
    }
}

impl Content {
    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        loop {
            match self {
                Content::Full(bytes) => {
                    let bytes = std::mem::take(bytes);
                    *self = Content::Ended;
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Content::Stream { content, trailers } => {
                    match ready!(content.poll_next_unpin(context)) {
                        Some(Ok(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                        Some(Err(error)) => {
                            *self = Content::Ended;
                            return Poll::Ready(Some(Err(broken(error))));
                        }
                        None => {
                            let trailers = trailers.take();
                            *self = trailers.map_or(Content::Ended, Content::Trailers);
                        }
                    }
                }
                Content::Trailers(trailers) => {
                    let outcome = ready!(trailers.poll_unpin(context));
                    *self = Content::Ended;
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
        matches!(self, Content::Ended)
    }

    fn size_hint(&self) -> SizeHint {
        match self {
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
        f.write_str(match &self.0 {
            Source::Ready(_) => "ReplyBody(ready)",
            Source::Watched(_) => "ReplyBody(streamed)",
            Source::Compressed(_) => "ReplyBody(compressed)",
            Source::Logged(_) => "ReplyBody(logged)",
        })
    }
}

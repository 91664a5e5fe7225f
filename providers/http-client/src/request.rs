//! A component's request on its way out.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header, uri::Authority};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;
use trellis_provider::rpc::{
    ByteStream, CallError,
    interface::http::{
        Body as WireBody, ErrorCode, Fields, Request as WireRequest, Scheme, Trailers, header_map,
    },
};

use crate::hosts::Destination;

/// How long a body's first piece, or its end, is waited for before the request is sent without knowing how long its body
/// is. A body that turns out to be empty is none, and a short one has a length, which some servers want.
const FIRST_PIECE: Duration = Duration::from_millis(100);

/// Headers about the connection between client and server (RFC 9110, section 7.6.1), and those that the client says
/// itself. The host's name among them: what is allowed is the host that is asked, not what it is told that it is.
const NOT_PASSED_ON: [HeaderName; 9] = [
    header::CONNECTION,
    header::HOST,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What `TE` may say nevertheless: that trailers are taken, and they are. gRPC's servers want to hear it.
const TRAILERS: &str = "trailers";

/// Removes the headers of `names`, and those that `Connection` names.
pub fn remove(headers: &mut HeaderMap, names: &[HeaderName]) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(names) {
        headers.remove(name);
    }
}

/// A request without its body, and where it goes.
///
/// # Errors
/// What the component is told about a request that is none.
pub fn head(wire: &mut WireRequest) -> Result<(Request<()>, Destination), ErrorCode> {
    let method = Method::from_bytes(wire.method.as_str().as_bytes())
        .map_err(|_| ErrorCode::HttpRequestMethodInvalid)?;
    if method == Method::CONNECT {
        // A tunnel would lead wherever its other end leads.
        return Err(ErrorCode::HttpRequestDenied);
    }
    let scheme = match &wire.scheme {
        Some(Scheme::Http) => "http",
        None | Some(Scheme::Https) => "https",
        Some(Scheme::Other(_)) => return Err(ErrorCode::HttpProtocolError),
    };
    let authority = authority(wire.authority.as_deref())?;
    let destination = Destination::of(&authority, scheme == "https");
    let path = wire.path_with_query.take().unwrap_or_default();
    let uri = Uri::builder().scheme(scheme).authority(authority);
    let uri = uri.path_and_query(if path.is_empty() { "/" } else { &path });
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = uri.build().map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
    let headers = header_map(std::mem::take(&mut wire.headers));
    *request.headers_mut() =
        headers.map_err(|error| ErrorCode::InternalError(Some(error.to_string())))?;
    let headers = request.headers_mut();
    let trailers = headers.get(header::TE).is_some_and(|te| te == TRAILERS);
    remove(headers, &NOT_PASSED_ON);
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static(TRAILERS));
    }
    Ok((request, destination))
}

/// A host with or without a port, and nothing else, such as a user.
fn authority(text: Option<&str>) -> Result<Authority, ErrorCode> {
    let authority: Authority = text
        .and_then(|text| text.parse().ok())
        .ok_or(ErrorCode::HttpRequestUriInvalid)?;
    let (host, whole) = (authority.host(), authority.as_str());
    let port = whole.strip_prefix(host);
    let good = port.is_some_and(|port| {
        port.is_empty() || port == ":" || authority.port_u16().is_some_and(|port| port > 0)
    });
    if host.is_empty() || !good {
        return Err(ErrorCode::HttpRequestUriInvalid);
    }
    Ok(authority)
}

/// The body for a request, whose `Content-Length` must be that of what is known of it.
///
/// # Errors
/// [`ErrorCode::HttpRequestBodySize`].
pub async fn body(
    method: &Method,
    headers: &mut HeaderMap,
    wire: WireBody,
    progress: Arc<Progress>,
) -> Result<RequestBody, ErrorCode> {
    let announced = announced(headers)?;
    let content = match wire {
        WireBody::Full(bytes) => Content::Full(bytes),
        WireBody::Stream { content, trailers } if announced.is_some() => Content::Stream {
            first: None,
            content,
            trailers,
        },
        WireBody::Stream { content, trailers } => begun(content, trailers).await?,
    };
    if let (Content::Full(bytes), Some(announced)) = (&content, announced) {
        let length = bytes.len() as u64;
        if length != announced {
            return Err(ErrorCode::HttpRequestBodySize(Some(length)));
        }
    }
    let content = match content {
        Content::Full(bytes) if bytes.is_empty() => Content::Ended,
        content => content,
    };
    if matches!(content, Content::Ended) && usually_has_a_body(method) {
        // That there is none is worth saying (RFC 9110, section 8.6).
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    Ok(RequestBody { content, progress })
}

fn usually_has_a_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

fn announced(headers: &HeaderMap) -> Result<Option<u64>, ErrorCode> {
    let mut values = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let length = value.to_str().ok().and_then(|text| text.parse().ok());
    match length {
        Some(length) if values.next().is_none() => Ok(Some(length)),
        _ => Err(ErrorCode::HttpRequestBodySize(None)),
    }
}

/// A body that may turn out to be there already, whole.
async fn begun(mut content: ByteStream, trailers: Option<Trailers>) -> Result<Content, ErrorCode> {
    let first = match tokio::time::timeout(FIRST_PIECE, content.next()).await {
        Ok(first) => first.transpose().map_err(broken)?,
        Err(_) => {
            return Ok(Content::Stream {
                first: None,
                content,
                trailers,
            });
        }
    };
    // What ends with its first piece has its end beside it.
    let second = match &first {
        Some(_) => content.next().now_or_never(),
        None => Some(None),
    };
    let whole = matches!(second, Some(None));
    if !whole {
        let content: ByteStream = match second.flatten() {
            Some(second) => Box::pin(futures::stream::iter([second]).chain(content)),
            None => content,
        };
        return Ok(Content::Stream {
            first,
            content,
            trailers,
        });
    }
    let fields = match trailers {
        Some(trailers) => trailers.await.map_err(broken)?,
        None => None,
    };
    Ok(match fields.filter(|fields| !fields.is_empty()) {
        None => Content::Full(first.unwrap_or_default()),
        fields => Content::Stream {
            first,
            content: Box::pin(futures::stream::empty()),
            trailers: Some(Box::pin(async { Ok(fields) })),
        },
    })
}

/// What a component is told whose own body broke off: it knows why.
fn broken(error: CallError) -> ErrorCode {
    ErrorCode::InternalError(Some(format!("the request's body: {error}")))
}

/// A request's body, and when it was last asked for.
pub struct RequestBody {
    content: Content,
    progress: Arc<Progress>,
}

enum Content {
    Full(Bytes),
    Stream {
        first: Option<Bytes>,
        content: ByteStream,
        trailers: Option<Trailers>,
    },
    Trailers(Trailers),
    Ended,
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = CallError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        let polled = self.content.poll_frame(context);
        match polled.is_ready() {
            true => self.progress.moved(),
            false => self.progress.waits_for_component(),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.content, Content::Ended)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Ended => SizeHint::with_exact(0),
            _ => SizeHint::default(),
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        // Sent, or not wanted any more.
        self.progress.moved();
    }
}

impl Content {
    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        loop {
            match self {
                Self::Full(bytes) => {
                    let bytes = std::mem::take(bytes);
                    *self = Self::Ended;
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Self::Stream {
                    first,
                    content,
                    trailers,
                } => {
                    if let Some(first) = first.take() {
                        return Poll::Ready(Some(Ok(Frame::data(first))));
                    }
                    match ready!(content.poll_next_unpin(context)) {
                        Some(Ok(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                        Some(Err(error)) => {
                            *self = Self::Ended;
                            return Poll::Ready(Some(Err(error)));
                        }
                        None => *self = trailers.take().map_or(Self::Ended, Self::Trailers),
                    }
                }
                Self::Trailers(trailers) => {
                    let fields = ready!(trailers.poll_unpin(context));
                    *self = Self::Ended;
                    return Poll::Ready(match fields.map(trailer_map) {
                        Ok(None) => None,
                        Ok(Some(map)) => Some(Ok(Frame::trailers(map))),
                        Err(error) => Some(Err(error)),
                    });
                }
                Self::Ended => return Poll::Ready(None),
            }
        }
    }
}

/// Trailers that HTTP doesn't allow are left out: the body is whole without them.
fn trailer_map(fields: Option<Fields>) -> Option<HeaderMap> {
    let fields = header_map(fields?);
    let fields = fields.inspect_err(|error| tracing::debug!(%error, "trailers left out"));
    fields.ok().filter(|trailers| !trailers.is_empty())
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestBody")
    }
}

/// When a request last moved on.
#[derive(Debug)]
pub struct Progress {
    begun: Instant,
    /// In milliseconds since it began, or [`WAITS_FOR_COMPONENT`].
    last: AtomicU64,
}

/// The server takes more, and the component has none: nobody waits for the server.
const WAITS_FOR_COMPONENT: u64 = u64::MAX;

impl Default for Progress {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            last: AtomicU64::new(0),
        }
    }
}

impl Progress {
    /// It moves on.
    fn moved(&self) {
        let since = u64::try_from(self.begun.elapsed().as_millis());
        self.last
            .store(since.unwrap_or(WAITS_FOR_COMPONENT - 1), Relaxed);
    }

    fn waits_for_component(&self) {
        self.last.store(WAITS_FOR_COMPONENT, Relaxed);
    }

    /// Waits until the server has let nothing move for so long.
    pub async fn stood_still(&self, limit: Duration) {
        loop {
            let until = match self.last.load(Relaxed) {
                WAITS_FOR_COMPONENT => Instant::now() + limit,
                last => self.begun + Duration::from_millis(last) + limit,
            };
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use trellis_provider::rpc::interface::http::Method as WireMethod;

    use super::*;

    fn request(method: &str, scheme: Option<Scheme>, authority: Option<&str>) -> WireRequest {
        WireRequest {
            method: WireMethod::of(method),
            path_with_query: Some("/a?b=c".to_owned()),
            scheme,
            authority: authority.map(str::to_owned),
            headers: Vec::new(),
            body: WireBody::empty(),
        }
    }

    fn stream(parts: &[&'static str]) -> WireBody {
        let parts: Vec<_> = parts
            .iter()
            .map(|part| Ok(Bytes::from_static(part.as_bytes())))
            .collect();
        WireBody::stream(Box::pin(futures::stream::iter(parts)))
    }

    async fn made(length: Option<&str>, wire: WireBody) -> Result<RequestBody, ErrorCode> {
        let mut headers = HeaderMap::new();
        if let Some(length) = length {
            headers.insert(header::CONTENT_LENGTH, length.parse().unwrap());
        }
        body(&Method::GET, &mut headers, wire, Arc::default()).await
    }

    #[test]
    fn a_head_says_where_it_goes() {
        let mut wire = request("PUT", Some(Scheme::Http), Some("Example.org:81"));
        let (head, to) = head(&mut wire).unwrap();
        assert_eq!(head.uri().to_string(), "http://Example.org:81/a?b=c");
        assert_eq!(
            (head.method().as_str(), to.to_string()),
            ("PUT", "example.org:81".into())
        );
        let mut wire = request("GET", None, Some("example.org"));
        wire.path_with_query = None;
        let (head, to) = super::head(&mut wire).unwrap();
        assert_eq!(head.uri().to_string(), "https://example.org/");
        assert_eq!(to.port, 443);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for (method, scheme, authority, code) in [
            ("CONNECT", None, Some("h"), ErrorCode::HttpRequestDenied),
            ("G T", None, Some("h"), ErrorCode::HttpRequestMethodInvalid),
            (
                "GET",
                Some(Scheme::Other("ftp".into())),
                Some("h"),
                ErrorCode::HttpProtocolError,
            ),
            ("GET", None, None, ErrorCode::HttpRequestUriInvalid),
            ("GET", None, Some(""), ErrorCode::HttpRequestUriInvalid),
            ("GET", None, Some("me@h"), ErrorCode::HttpRequestUriInvalid),
            (
                "GET",
                None,
                Some("h:99999"),
                ErrorCode::HttpRequestUriInvalid,
            ),
            ("GET", None, Some("h:0"), ErrorCode::HttpRequestUriInvalid),
            (
                "GET",
                None,
                Some("h/path"),
                ErrorCode::HttpRequestUriInvalid,
            ),
        ] {
            let mut wire = request(method, scheme, authority);
            assert_eq!(head(&mut wire).unwrap_err(), code, "{method} {authority:?}");
        }
    }

    #[test]
    fn what_is_about_the_connection_is_not_passed_on() {
        let mut wire = request("GET", None, Some("h"));
        let fields = [
            ("connection", "x-mine, close"),
            ("x-mine", "1"),
            ("host", "other.example"),
            ("te", "trailers"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("proxy-authorization", "secret"),
            ("accept", "text/plain"),
        ];
        wire.headers = fields
            .iter()
            .map(|(name, value)| {
                (
                    (*name).to_owned(),
                    vec![Bytes::from_static(value.as_bytes())],
                )
            })
            .collect();
        let (head, _) = head(&mut wire).unwrap();
        let names: Vec<_> = head.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["accept", "te"]);
    }

    #[tokio::test]
    async fn a_body_that_is_there_has_a_length() {
        for (wire, length) in [
            (stream(&[]), 0),
            (stream(&["hello"]), 5),
            (WireBody::Full("hello".into()), 5),
            (WireBody::empty(), 0),
        ] {
            let body = made(None, wire).await.unwrap();
            assert_eq!(body.size_hint().exact(), Some(length));
            assert_eq!(body.is_end_stream(), length == 0);
        }
        let body = made(None, stream(&["a", "b"])).await.unwrap();
        assert_eq!(body.size_hint().exact(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let silent = WireBody::stream(Box::pin(futures::stream::pending()));
        let body = made(None, silent).await.unwrap();
        assert_eq!(body.size_hint().exact(), None);
        assert!(!body.is_end_stream());
    }

    #[tokio::test]
    async fn that_there_is_no_body_is_said_where_one_is_usual() {
        for (method, said) in [(Method::POST, Some("0")), (Method::GET, None)] {
            let mut headers = HeaderMap::new();
            let made = body(&method, &mut headers, stream(&[]), Arc::default());
            assert!(made.await.unwrap().is_end_stream());
            let length = headers.get(header::CONTENT_LENGTH);
            assert_eq!(length.map(|length| length.to_str().unwrap()), said);
        }
    }

    #[tokio::test]
    async fn a_body_is_as_long_as_it_says() {
        assert!(
            made(Some("5"), WireBody::Full("hello".into()))
                .await
                .is_ok()
        );
        assert_eq!(
            made(Some("6"), WireBody::Full("hello".into()))
                .await
                .unwrap_err(),
            ErrorCode::HttpRequestBodySize(Some(5))
        );
        assert_eq!(
            made(Some("much"), WireBody::empty()).await.unwrap_err(),
            ErrorCode::HttpRequestBodySize(None)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn standing_still_is_counted_from_the_last_move() {
        let progress = Progress::default();
        let limit = Duration::from_secs(10);
        let begun = Instant::now();
        tokio::join!(progress.stood_still(limit), async {
            tokio::time::sleep(Duration::from_secs(6)).await;
            progress.waits_for_component();
            tokio::time::sleep(Duration::from_secs(60)).await;
            progress.moved();
        });
        let stood_still = begun.elapsed() - Duration::from_secs(66);
        assert!(
            stood_still >= limit && stood_still < limit * 2,
            "{stood_still:?}"
        );
    }
}

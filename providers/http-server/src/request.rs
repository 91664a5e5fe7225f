//! A client's request on its way to a component.

use std::{pin::Pin, task::Context};

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, stream};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Version, header, request::Parts, uri::Authority,
};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::{sync::oneshot, time::Instant};
use tokio_util::sync::CancellationToken;
use trellis_provider::rpc::{
    ByteStream, CallError,
    interface::http::{
        Body as WireBody, Method as WireMethod, Request as WireRequest, Scheme, Trailers, fields_of,
    },
};

use crate::{
    config::Settings,
    forwarded::{self, Origin},
    idle::Idle,
    refusal::Refusal,
};

/// A body announced to be at most this large is read whole and goes with its request: one message instead of four.
const SMALL_BODY_BYTES: u64 = 64 * 1024;

/// Headers about the connection between client and server (RFC 9110, section 7.6.1), not for the component.
const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Removes the headers that are about the connection, those that `Connection` names included.
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Checks what is asked of every request, whomever it is for.
///
/// # Errors
/// The refusal that the client gets.
pub fn check(parts: &Parts) -> Result<(), Refusal> {
    if parts.method == Method::CONNECT {
        return Err(Refusal::NotAProxy);
    }
    check_host(parts)?;
    // Another protocol may be left alone, but without an answer to its handshake nothing works.
    let upgrade = parts.headers.get(header::UPGRADE);
    if upgrade.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket")) {
        return Err(Refusal::WebSocket);
    }
    Ok(())
}

/// The host, without its port, and the path that a request asks for: what routes are found by.
pub fn asked(parts: &Parts) -> (&str, &str) {
    let host = parts.uri.host().or_else(|| {
        let host = parts.headers.get(header::HOST)?.to_str().ok()?;
        Some(without_port(host))
    });
    (host.unwrap_or_default(), parts.uri.path())
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // The last colon may be one of an address of IP version 6.
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Checks a request's head against the link's bounds.
///
/// # Errors
/// The refusal that the client gets.
pub fn check_bounds(parts: &Parts, body: &Incoming, settings: &Settings) -> Result<(), Refusal> {
    // As HTTP/1.1 writes it, so that the bound means the same for HTTP/2.
    let line = parts.method.as_str().len()
        + parts.uri.path().len()
        + parts.uri.query().map_or(0, str::len);
    let fields = parts
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4);
    if line + fields.sum::<usize>() > settings.max_header_bytes {
        return Err(Refusal::HeadTooLarge);
    }
    if body.size_hint().lower() > settings.max_body_bytes {
        return Err(Refusal::BodyTooLarge);
    }
    Ok(())
}

/// What RFC 9112, section 3.2, asks of `Host`. An empty one is as good as none: it names nobody for the component.
fn check_host(parts: &Parts) -> Result<(), Refusal> {
    let mut values = parts.headers.get_all(header::HOST).iter();
    let (host, more) = (values.next(), values.next());
    let needed = parts.version == Version::HTTP_11;
    match host.filter(|host| !host.is_empty()) {
        _ if more.is_some() => Err(Refusal::BadHost),
        None if needed => Err(Refusal::BadHost),
        Some(host) if !is_host(host) => Err(Refusal::BadHost),
        _ => Ok(()),
    }
}

/// Whether it is a host with or without a port, and nothing else, such as a user.
fn is_host(value: &HeaderValue) -> bool {
    let Ok(authority) = Authority::try_from(value.as_bytes()) else {
        return false;
    };
    let port = authority.as_str().strip_prefix(authority.host());
    port.is_some_and(|port| {
        port.is_empty()
            || port
                .strip_prefix(':')
                .is_some_and(|port| port.bytes().all(|digit| digit.is_ascii_digit()))
    })
}

/// The client's side of one exchange, as a request's body meets it.
#[derive(Debug)]
pub struct Reading<'a> {
    /// Within which bounds.
    pub settings: &'a Settings,
    /// When a small body must have come.
    pub deadline: Instant,
    /// Cancelled when a body without an announced length passes its bound.
    pub too_large: &'a CancellationToken,
    /// Gives the client up when its body stands still.
    pub idle: &'a Idle,
}

/// The request for the component. `origin` is whom it comes from, where the component is to be told; `encrypted` whether
/// the connection is.
///
/// # Errors
/// The refusal that the client gets: a small body that doesn't come whole or in time.
pub async fn wire(
    mut parts: Parts,
    body: Incoming,
    reading: Reading<'_>,
    origin: Option<&Origin>,
    encrypted: bool,
) -> Result<WireRequest, Refusal> {
    let route = reading.settings.stripped_route();
    let body = wire_body(&parts, body, reading).await?;
    remove_hop_by_hop(&mut parts.headers);
    match origin {
        Some(origin) => origin.write(&mut parts.headers),
        None => forwarded::remove(&mut parts.headers),
    }
    if parts
        .headers
        .get(header::HOST)
        .is_some_and(HeaderValue::is_empty)
    {
        parts.headers.remove(header::HOST);
    }
    let authority = forwarded::asked_host(&parts).map(str::to_owned);
    let path_with_query = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let path_with_query = match route {
        Some(route) => route.stripped(path_with_query),
        None => path_with_query.to_owned(),
    };
    let encrypted = origin.map_or(encrypted, |origin| origin.encrypted);
    Ok(WireRequest {
        method: WireMethod::of(parts.method.as_str()),
        path_with_query: Some(path_with_query),
        scheme: Some(if encrypted {
            Scheme::Https
        } else {
            Scheme::Http
        }),
        authority,
        headers: fields_of(&parts.headers),
        body,
    })
}

async fn wire_body(
    parts: &Parts,
    body: Incoming,
    reading: Reading<'_>,
) -> Result<WireBody, Refusal> {
    if body.is_end_stream() {
        return Ok(WireBody::empty());
    }
    let small = body
        .size_hint()
        .exact()
        .is_some_and(|length| length <= SMALL_BODY_BYTES);
    if small {
        // Its length was announced, and hyper reads no more than that.
        let whole = tokio::time::timeout_at(reading.deadline, body.collect()).await;
        let whole = whole
            .map_err(|_| Refusal::BodyTooSlow)?
            .map_err(|_| Refusal::BodyBroken)?;
        return Ok(WireBody::Full(whole.to_bytes()));
    }
    // Only who announces trailers in HTTP/1.1 has any; in HTTP/2 they need no announcement.
    let may_have_trailers =
        parts.headers.contains_key(header::TRAILER) || parts.version >= Version::HTTP_2;
    Ok(streamed(
        body,
        reading.settings.max_body_bytes,
        may_have_trailers,
        reading.too_large.clone(),
        reading.idle.clone(),
    ))
}

/// A body that goes on as it comes, at the component's pace.
fn streamed(
    body: Incoming,
    limit: u64,
    may_have_trailers: bool,
    too_large: CancellationToken,
    idle: Idle,
) -> WireBody {
    struct Left {
        body: Incoming,
        left: u64,
        trailers: Option<oneshot::Sender<HeaderMap>>,
    }
    let (sender, receiver) = oneshot::channel();
    let reading = Left {
        body,
        left: limit,
        trailers: Some(sender),
    };
    let content = stream::unfold(reading, move |mut reading| {
        let (too_large, idle) = (too_large.clone(), idle.clone());
        async move {
            loop {
                let step =
                    |context: &mut Context<'_>| Pin::new(&mut reading.body).poll_frame(context);
                let came = idle.wait(step).await;
                let Some(came) = came else {
                    let error = "the client's body stood still for too long".to_owned();
                    return Some((Err(CallError::Transport(error)), reading));
                };
                let frame = match came? {
                    Ok(frame) => frame,
                    Err(error) => {
                        let error =
                            CallError::Transport(format!("the client's body broke off: {error}"));
                        return Some((Err(error), reading));
                    }
                };
                match frame.into_data() {
                    Ok(bytes) => {
                        let left = reading.left.checked_sub(bytes.len() as u64);
                        let Some(left) = left else {
                            too_large.cancel();
                            return Some((Err(CallError::Cancelled), reading));
                        };
                        reading.left = left;
                        return Some((Ok(bytes), reading));
                    }
                    Err(frame) => {
                        if let (Ok(trailers), Some(sender)) =
                            (frame.into_trailers(), reading.trailers.take())
                        {
                            // Nobody waits for them when there may be none.
                            let _ = sender.send(trailers);
                        }
                    }
                }
            }
        }
    });
    // An error is the end; what follows it would be nonsense.
    let content: ByteStream = Box::pin(content.scan(
        false,
        |failed, item: Result<Bytes, CallError>| {
            let item = (!*failed).then_some(item);
            *failed = item.as_ref().is_some_and(Result::is_err);
            futures::future::ready(item)
        },
    ));
    let trailers = may_have_trailers.then(|| -> Trailers {
        // The sender goes with the body's stream: none sent means none there.
        receiver
            .map(|trailers| Ok(trailers.ok().as_ref().map(fields_of)))
            .boxed()
    });
    WireBody::Stream { content, trailers }
}

/// The client's name for the request, for the response and the log.
pub fn request_id(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get("x-request-id").cloned()
}

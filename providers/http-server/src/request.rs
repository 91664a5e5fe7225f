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

use crate::{config::Settings, idle::Idle, refusal::Refusal};

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

/// Checks a request's head against the link's bounds.
///
/// # Errors
/// The refusal that the client gets.
pub fn check(parts: &Parts, body: &Incoming, settings: &Settings) -> Result<(), Refusal> {
    if parts.method == Method::CONNECT {
        return Err(Refusal::NotAProxy);
    }
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
    check_host(parts)?;
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

/// The request for the component. `too_large` is cancelled when a body without an announced length passes its bound;
/// `idle` gives the client up when one stands still.
///
/// # Errors
/// The refusal that the client gets: a small body that doesn't come whole or in time.
pub async fn wire(
    mut parts: Parts,
    body: Incoming,
    settings: &Settings,
    deadline: Instant,
    too_large: &CancellationToken,
    idle: &Idle,
) -> Result<WireRequest, Refusal> {
    let body = wire_body(&parts, body, settings, deadline, too_large, idle).await?;
    remove_hop_by_hop(&mut parts.headers);
    if parts
        .headers
        .get(header::HOST)
        .is_some_and(HeaderValue::is_empty)
    {
        parts.headers.remove(header::HOST);
    }
    let host = || parts.headers.get(header::HOST)?.to_str().ok();
    let authority = parts
        .uri
        .authority()
        .map(|authority| authority.as_str())
        .or_else(host);
    let authority = authority.map(str::to_owned);
    let path_with_query = parts
        .uri
        .path_and_query()
        .map_or_else(|| "/".to_owned(), |path| path.as_str().to_owned());
    Ok(WireRequest {
        method: WireMethod::of(parts.method.as_str()),
        path_with_query: Some(path_with_query),
        scheme: Some(Scheme::Http),
        authority,
        headers: fields_of(&parts.headers),
        body,
    })
}

async fn wire_body(
    parts: &Parts,
    body: Incoming,
    settings: &Settings,
    deadline: Instant,
    too_large: &CancellationToken,
    idle: &Idle,
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
        let whole = tokio::time::timeout_at(deadline, body.collect()).await;
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
        settings.max_body_bytes,
        may_have_trailers,
        too_large.clone(),
        idle.clone(),
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
    struct Reading {
        body: Incoming,
        left: u64,
        trailers: Option<oneshot::Sender<HeaderMap>>,
    }
    let (sender, receiver) = oneshot::channel();
    let reading = Reading {
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

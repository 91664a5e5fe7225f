//! A server's response on its way to the component.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{FutureExt as _, stream};
use http::{HeaderMap, HeaderName, Response, StatusCode, Version, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::oneshot;
use trellis_provider::rpc::{
    ByteStream, CallError,
    interface::http::{Body as WireBody, ErrorCode, Response as WireResponse, Trailers, fields_of},
};

use crate::{failure, request};

/// A body that is there in so short a time travels with its response: one message instead of four.
const SMALL_BODY_BYTES: usize = 64 << 10;
const SMALL_BODY_WAIT: Duration = Duration::from_millis(20);

/// What each header costs besides its letters, as HTTP/2 counts.
const HEADER_EXTRA_BYTES: usize = 32;

/// Headers about the connection between server and client (RFC 9110, section 7.6.1).
const NOT_PASSED_ON: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The response for the component. `held` goes with the body's last byte.
///
/// # Errors
/// What the component is told about a response that it can't have.
pub async fn wire<H: Send + 'static>(
    response: Response<Incoming>,
    max_header_bytes: usize,
    between_bytes: Duration,
    held: H,
) -> Result<WireResponse, ErrorCode> {
    let (mut parts, body) = response.into_parts();
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(ErrorCode::HttpUpgradeFailed);
    }
    check(&parts.headers, max_header_bytes)?;
    // Only who announces trailers in HTTP/1.1 has any; in HTTP/2 they need no announcement.
    let trailers = parts.headers.contains_key(header::TRAILER) || parts.version >= Version::HTTP_2;
    request::remove(&mut parts.headers, &NOT_PASSED_ON);
    Ok(WireResponse {
        status: parts.status.as_u16(),
        headers: fields_of(&parts.headers),
        body: Reading::new(body, between_bytes, held)
            .into_wire(trailers)
            .await?,
    })
}

fn check(headers: &HeaderMap, limit: usize) -> Result<(), ErrorCode> {
    let each = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + HEADER_EXTRA_BYTES);
    let size: usize = each.sum();
    if size <= limit {
        return Ok(());
    }
    Err(ErrorCode::HttpResponseHeaderSectionSize(
        u32::try_from(size).ok(),
    ))
}

/// A body that is being read.
struct Reading<H> {
    body: Incoming,
    between_bytes: Duration,
    /// Read and not passed on.
    ready: BytesMut,
    ended: bool,
    trailers: Option<HeaderMap>,
    /// Whoever waits for the trailers.
    announce: Option<oneshot::Sender<HeaderMap>>,
    _held: H,
}

impl<H: Send + 'static> Reading<H> {
    fn new(body: Incoming, between_bytes: Duration, held: H) -> Self {
        Self {
            ended: body.is_end_stream(),
            body,
            between_bytes,
            ready: BytesMut::new(),
            trailers: None,
            announce: None,
            _held: held,
        }
    }

    async fn into_wire(mut self, may_have_trailers: bool) -> Result<WireBody, ErrorCode> {
        let small = self.body.size_hint().lower() <= SMALL_BODY_BYTES as u64;
        if !self.ended && small {
            let gathered = tokio::time::timeout(SMALL_BODY_WAIT, self.gather()).await;
            gathered.unwrap_or(Ok(())).map_err(|error| match error {
                Broken::Silent(_) => ErrorCode::ConnectionReadTimeout,
                Broken::Off(_) => ErrorCode::HttpResponseIncomplete,
            })?;
        }
        if self.ended && self.trailers.is_none() {
            return Ok(WireBody::Full(self.ready.freeze()));
        }
        let (announce, announced) = oneshot::channel();
        match self.trailers.take() {
            // Nobody can have gone yet.
            Some(trailers) => drop(announce.send(trailers)),
            None => self.announce = Some(announce),
        }
        let trailers = may_have_trailers.then(|| -> Trailers {
            // The sender goes with the body: none sent means none there.
            announced
                .map(|trailers| Ok(trailers.ok().as_ref().map(fields_of)))
                .boxed()
        });
        Ok(WireBody::Stream {
            content: self.into_stream(),
            trailers,
        })
    }

    /// Reads what is there, up to what a small body has. Nothing is lost when it is given up.
    async fn gather(&mut self) -> Result<(), Broken> {
        while !self.ended && self.ready.len() <= SMALL_BODY_BYTES {
            if let Some(bytes) = self.read().await? {
                self.ready.extend_from_slice(&bytes);
            }
        }
        Ok(())
    }

    /// The next piece; none for the end, or for trailers.
    async fn read(&mut self) -> Result<Option<Bytes>, Broken> {
        let frame = tokio::time::timeout(self.between_bytes, self.body.frame()).await;
        let frame = frame.map_err(|_| Broken::Silent(self.between_bytes))?;
        let Some(frame) = frame.transpose().map_err(Broken::Off)? else {
            self.ended = true;
            return Ok(None);
        };
        match frame.into_data() {
            Ok(bytes) => {
                self.ended = self.body.is_end_stream();
                Ok(Some(bytes))
            }
            Err(frame) => {
                let Ok(trailers) = frame.into_trailers() else {
                    return Ok(None);
                };
                match self.announce.take() {
                    // Nobody waits for them when there may be none.
                    Some(announce) => drop(announce.send(trailers)),
                    None => self.trailers = Some(trailers),
                }
                Ok(None)
            }
        }
    }

    fn into_stream(self) -> ByteStream {
        let content = stream::unfold(Some(self), |reading: Option<Self>| async move {
            let mut reading = reading?;
            loop {
                if !reading.ready.is_empty() {
                    let bytes = reading.ready.split().freeze();
                    return Some((Ok(bytes), Some(reading)));
                }
                if reading.ended {
                    return None;
                }
                match reading.read().await {
                    Ok(Some(bytes)) if bytes.is_empty() => {}
                    Ok(Some(bytes)) => return Some((Ok(bytes), Some(reading))),
                    Ok(None) => {}
                    // What follows an error would be nonsense.
                    Err(error) => return Some((Err(error.into()), None)),
                }
            }
        });
        Box::pin(content)
    }
}

/// A body that did not come whole.
enum Broken {
    /// Nothing came for so long.
    Silent(Duration),
    /// It ended too early.
    Off(hyper::Error),
}

impl From<Broken> for CallError {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Silent(limit) => Self::DeadlineExceeded {
                after_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
            },
            Broken::Off(error) => Self::Transport(format!(
                "the server's response broke off: {}",
                failure::words(&error)
            )),
        }
    }
}

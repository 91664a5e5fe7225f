//! Requests that get no response of a component: the status and the few words they get instead. What went wrong inside
//! is for the log, not for the client.

use std::time::Duration;

use http::{HeaderValue, Response, StatusCode, header};
use trellis_provider::rpc::{CallError, interface::http::ErrorCode};

use crate::reply::ReplyBody;

/// Why a request gets no response of a component.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The address has no link.
    #[error("no component is linked here")]
    NoLink,
    /// No link has the request's host and path.
    #[error("nothing is here")]
    NoRoute,
    /// The client asked too often; how long it should wait.
    #[error("too many requests: ask again later")]
    TooOften(Duration),
    /// A protocol that components don't speak.
    #[error(
        "WebSocket is not spoken here: a response may stream instead, as server-sent events do"
    )]
    WebSocket,
    /// A method for proxies.
    #[error("this is not a proxy")]
    NotAProxy,
    /// No `Host`, more than one, or one that is none (RFC 9112, section 3.2).
    #[error("the request needs one valid Host")]
    BadHost,
    /// The request's head is beyond the link's bound.
    #[error("the request's headers are larger than this server takes")]
    HeadTooLarge,
    /// The request's body is beyond the link's bound.
    #[error("the request's body is larger than this server takes")]
    BodyTooLarge,
    /// The request's body did not come in time.
    #[error("the request's body did not come in time")]
    BodyTooSlow,
    /// The request's body broke off.
    #[error("the request's body broke off")]
    BodyBroken,
    /// The call to the component failed.
    #[error("{}", call_text(.0))]
    Call(CallError),
    /// The component answered with an error code instead of a response.
    #[error("the component could not answer")]
    Component(ErrorCode),
    /// The component's response is none that HTTP knows.
    #[error("the component's response is not valid HTTP")]
    Response(&'static str),
}

fn call_text(error: &CallError) -> &'static str {
    match error {
        CallError::NoResponder { .. }
        | CallError::OutOfBounds(_)
        | CallError::MissingLink { .. } => "no component answers here now",
        CallError::Overloaded(_) => "the component is at its limit",
        CallError::DeadlineExceeded { .. } => "the component did not answer in time",
        _ => "the component failed",
    }
}

impl Refusal {
    /// The status for the client.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoLink => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::TooOften(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::NotAProxy | Self::WebSocket => StatusCode::NOT_IMPLEMENTED,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::BadHost | Self::BodyBroken => StatusCode::BAD_REQUEST,
            Self::Response(_) => StatusCode::BAD_GATEWAY,
            Self::Call(error) => match error {
                CallError::NoResponder { .. }
                | CallError::OutOfBounds(_)
                | CallError::MissingLink { .. }
                | CallError::Overloaded(_) => StatusCode::SERVICE_UNAVAILABLE,
                CallError::DeadlineExceeded { .. } => StatusCode::GATEWAY_TIMEOUT,
                _ => StatusCode::BAD_GATEWAY,
            },
            Self::Component(code) => match code {
                ErrorCode::HttpRequestBodySize(_) => StatusCode::PAYLOAD_TOO_LARGE,
                ErrorCode::HttpRequestDenied => StatusCode::FORBIDDEN,
                ErrorCode::HttpResponseTimeout
                | ErrorCode::ConnectionTimeout
                | ErrorCode::ConnectionReadTimeout
                | ErrorCode::ConnectionWriteTimeout
                | ErrorCode::DnsTimeout => StatusCode::GATEWAY_TIMEOUT,
                _ => StatusCode::BAD_GATEWAY,
            },
        }
    }

    /// The response for the client.
    pub fn response(&self) -> Response<ReplyBody> {
        let status = self.status();
        let reason = status.canonical_reason().unwrap_or("Error");
        let text = format!("{} {reason}: {self}\n", status.as_str());
        let mut response = Response::new(ReplyBody::full(text.into()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        if let Some(wait) = self.retry_after() {
            // In whole seconds; a wait of less is none that can be said.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }

    /// When the same request may be answered.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooOften(wait) => Some(*wait),
            _ if self.status() == StatusCode::SERVICE_UNAVAILABLE => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// Tells the log: in full, with the request's own id.
    pub fn log(&self, request_id: Option<&HeaderValue>, link: Option<&dyn std::fmt::Display>) {
        let cause = match self {
            Self::Call(error) => Some(error.to_string()),
            Self::Component(code) => Some(format!("{code:?}")),
            Self::Response(what) => Some((*what).to_owned()),
            _ => None,
        };
        let (status, link) = (self.status().as_u16(), link.map(tracing::field::display));
        match self.status() {
            // Bugs and slowness of a component: somebody should look.
            StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => {
                tracing::warn!(status, link, cause, ?request_id, "no response");
            }
            // What the client did, or what load does: under load these come by the thousand.
            _ => tracing::debug!(status, link, cause, ?request_id, refusal = %self, "no response"),
        }
    }
}

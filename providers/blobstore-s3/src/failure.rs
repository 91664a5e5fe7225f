//! What goes wrong with a server, and what a component is told: which container, which bucket, which server, and what helps.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use http::StatusCode;
use trellis_provider::config::SettingsError;

use crate::{
    answer::{Refusal, Unreadable},
    config::Settings,
    names::Container,
};

/// From here on a clock counts as wrong: well before servers refuse what is signed by it.
const SKEW: Duration = Duration::from_secs(120);

/// Why a server didn't do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It can't be reached, or the connection broke.
    #[error("the server can't be reached: {problem}")]
    Connection {
        /// What happened.
        problem: String,
        /// Whether the request may have arrived.
        sent: bool,
    },
    /// It didn't answer in time.
    #[error("no answer within {} ms (`request_timeout_ms`)", .0.as_millis())]
    Timeout(Duration),
    /// It refuses.
    #[error("{}", refused(*status, refusal, *skew))]
    Refused {
        /// With which status.
        status: StatusCode,
        /// And why, where it says.
        refusal: Refusal,
        /// How far its clock is from ours.
        skew: Option<Duration>,
    },
    /// Its answer can't be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// Its answer is too long.
    #[error("its answer has more than {0} bytes")]
    TooLong(usize),
    /// The bucket has no URL there.
    #[error("the bucket has no URL there: {0}; `path_style: true` may help")]
    NoUrl(String),
}

impl Failure {
    /// The word that the server has for it.
    pub fn code(&self) -> &str {
        match self {
            Self::Refused { refusal, .. } => &refusal.code,
            _ => "",
        }
    }

    /// The status of a refusal.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether there is no such thing: an object, an upload, or the bucket.
    pub fn is_absent(&self) -> bool {
        self.status() == Some(StatusCode::NOT_FOUND)
    }

    /// Whether the clocks are to blame.
    pub fn is_skewed(&self) -> bool {
        matches!(self, Self::Refused { skew: Some(_), .. })
    }

    /// Whether it is the bucket that is not there.
    pub fn is_no_bucket(&self) -> bool {
        self.code() == "NoSuchBucket"
    }

    /// Whether it can pass by itself.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Connection { .. } | Self::Timeout(_) => true,
            Self::Refused {
                status, refusal, ..
            } => {
                matches!(status.as_u16(), 429 | 500 | 502 | 503 | 504)
                    || matches!(
                        &*refusal.code,
                        "SlowDown"
                            | "RequestTimeout"
                            | "InternalError"
                            | "ServiceUnavailable"
                            | "Throttling"
                            | "ThrottlingException"
                            | "OperationAborted"
                    )
            }
            Self::Unreadable(_) | Self::TooLong(_) | Self::NoUrl(_) => false,
        }
    }

    /// Whether the server may have done it nevertheless.
    pub fn is_ambiguous(&self) -> bool {
        match self {
            Self::Connection { sent, .. } => *sent,
            Self::Timeout(_) => true,
            _ => false,
        }
    }

    /// The link's field that is likely wrong.
    pub fn field(&self) -> Option<&'static str> {
        match self.code() {
            "InvalidAccessKeyId" => Some("access_key_id"),
            "SignatureDoesNotMatch" => Some("secret_access_key"),
            "InvalidToken" | "ExpiredToken" | "TokenRefreshRequired" => Some("session_token"),
            "NoSuchBucket" => Some("bucket"),
            "AuthorizationHeaderMalformed"
            | "AuthorizationQueryParametersError"
            | "PermanentRedirect"
            | "IllegalLocationConstraintException" => Some("region"),
            _ => None,
        }
    }

    /// For a component that asked for a container.
    pub fn of_container(&self, container: &Container, settings: &Settings) -> String {
        let Container {
            name,
            bucket,
            is_bucket,
            ..
        } = container;
        let endpoint = shown(settings);
        if self.is_no_bucket() || (*is_bucket && self.is_absent()) {
            return match is_bucket {
                true => format!("there is no container {name:?} (bucket {bucket:?} at {endpoint})"),
                false => format!(
                    "container {name:?}: there is no bucket {bucket:?} at {endpoint}: make it, or correct the link's `bucket`"
                ),
            };
        }
        format!("container {name:?} (bucket {bucket:?} at {endpoint}): {self}")
    }

    /// For a component that asked for an object.
    pub fn of_object(&self, container: &Container, object: &str, settings: &Settings) -> String {
        if self.is_absent() && !self.is_no_bucket() {
            return absent(container, object);
        }
        format!(
            "object {object:?}: {}",
            self.of_container(container, settings)
        )
    }

    /// What is wrong with a link's settings, if it is they that are wrong.
    pub fn of_settings(&self, settings: &Settings) -> Option<SettingsError> {
        self.field().map(|field| SettingsError {
            field,
            problem: format!("{} says: {self}", shown(settings)),
        })
    }
}

/// The words for an object that is not there.
pub fn absent(container: &Container, object: &str) -> String {
    let name = &container.name;
    format!("there is no object {object:?} in container {name:?}")
}

/// The server, fit to be shown.
pub fn shown(settings: &Settings) -> &str {
    settings.endpoint.as_str().trim_end_matches('/')
}

/// How far a server's clock is from ours, if it is too far.
pub fn skew(date: Option<SystemTime>) -> Option<Duration> {
    let (theirs, ours) = (date?, SystemTime::now());
    let apart = theirs
        .duration_since(ours)
        .or_else(|_| ours.duration_since(theirs));
    apart.ok().filter(|apart| *apart >= SKEW)
}

fn refused(status: StatusCode, refusal: &Refusal, skew: Option<Duration>) -> String {
    let Refusal {
        code,
        message,
        region,
    } = refusal;
    let said = match (&**code, &**message) {
        ("", _) => format!("refused with status {}", status.as_u16()),
        (code, "") => code.to_owned(),
        (code, message) if code == message => code.to_owned(),
        (code, message) => format!("{code}: {}", cut(message)),
    };
    let by_clock = skew.filter(|_| status == StatusCode::FORBIDDEN);
    let help: Option<String> = match (&**code, by_clock) {
        (_, Some(apart)) => Some(format!(
            "its clock and this machine's are {} s apart: set the one that is wrong",
            apart.as_secs()
        )),
        ("RequestTimeTooSkewed", None) => {
            Some("its clock and this machine's are too far apart".to_owned())
        }
        ("InvalidAccessKeyId", _) => {
            Some("it doesn't know the link's `access_key_id`".to_owned())
        }
        ("SignatureDoesNotMatch", _) => Some(
            "the link's `secret_access_key` is not the one of its `access_key_id`, or `region` is wrong".to_owned(),
        ),
        ("AccessDenied" | "AllAccessDisabled" | "AccountProblem", _) => Some(
            "give the link's `access_key_id` the right to do this, or use another one".to_owned(),
        ),
        ("", None) if matches!(status.as_u16(), 401 | 403) => Some(
            "the link's `access_key_id` and `secret_access_key` are wrong, or may not do this".to_owned(),
        ),
        ("NoSuchBucket", _) => Some("make it, or correct the link's `bucket`".to_owned()),
        ("BucketNotEmpty", _) => {
            Some("objects were written meanwhile, or it keeps old versions of objects".to_owned())
        }
        _ if status.is_redirection() || region.is_some() => Some(match region {
            Some(region) => format!("it wants `region: {}`", cut(region)),
            None => "the bucket is elsewhere: correct the link's `endpoint` and `region`".to_owned(),
        }),
        _ => None,
    };
    match help {
        Some(help) => format!("{said} ({help})"),
        None => said,
    }
}

/// A server's words, at most some of them.
fn cut(text: &str) -> impl fmt::Display + '_ {
    let end = text
        .char_indices()
        .nth(300)
        .map_or(text.len(), |(at, _)| at);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, code: &str, skew: Option<Duration>) -> Failure {
        Failure::Refused {
            status: StatusCode::from_u16(status).unwrap(),
            refusal: Refusal {
                code: code.to_owned(),
                ..Refusal::default()
            },
            skew,
        }
    }

    #[test]
    fn a_refusal_says_what_helps() {
        for (code, word) in [
            ("InvalidAccessKeyId", "access_key_id"),
            ("SignatureDoesNotMatch", "secret_access_key"),
            ("AccessDenied", "right"),
            ("", "secret_access_key"),
        ] {
            let said = refusal(403, code, None).to_string();
            assert!(said.contains(word) && said.contains(code), "{said}");
        }
        let late = refusal(403, "AccessDenied", Some(Duration::from_secs(3600))).to_string();
        assert!(late.contains("3600 s apart"), "{late}");
        let odd = refusal(418, "", None).to_string();
        assert_eq!(odd, "refused with status 418");
    }

    #[test]
    fn what_can_pass_is_known() {
        assert!(refusal(503, "SlowDown", None).may_pass());
        assert!(refusal(400, "RequestTimeout", None).may_pass());
        assert!(!refusal(403, "AccessDenied", None).may_pass());
        assert!(!refusal(404, "NoSuchKey", None).may_pass());
        let broken = |sent| Failure::Connection {
            problem: "reset".into(),
            sent,
        };
        assert!(broken(true).is_ambiguous() && !broken(false).is_ambiguous());
        assert!(!refusal(503, "SlowDown", None).is_ambiguous());
    }

    #[test]
    fn a_clock_is_wrong_when_it_is_far_off() {
        let ago = |seconds| Some(SystemTime::now() - Duration::from_secs(seconds));
        assert_eq!(skew(ago(5)), None);
        assert!(skew(ago(500)).is_some());
        assert!(skew(Some(SystemTime::now() + Duration::from_secs(500))).is_some());
        assert_eq!(skew(None), None);
    }
}

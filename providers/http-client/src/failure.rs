//! Why a request has no response, in `wasi:http`'s words.

use std::{error::Error, io};

use rustls::Error as TlsError;
use trellis_provider::rpc::{
    CallError,
    interface::http::{DnsErrorPayload, ErrorCode, TlsAlertPayload},
};

use crate::{addresses::Prohibited, connector::Unresolved};

/// The code for what a client failed with: the first of its causes that says something.
pub fn code(error: &(dyn Error + 'static)) -> ErrorCode {
    let causes = std::iter::successors(Some(error), |error| cause(*error));
    let code = causes.filter_map(known).last();
    code.unwrap_or_else(|| ErrorCode::InternalError(Some(words(error))))
}

/// An error and its causes in one line.
pub fn words(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| cause(*error));
    let mut words: Vec<String> = causes.map(ToString::to_string).collect();
    words.dedup();
    words.join(": ")
}

/// What is behind an error. An `io::Error` made of another error hides that one and shows what is behind it.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>() {
        Some(error) => Some(error.get_ref()? as &(dyn Error + 'static)),
        None => error.source(),
    }
}

/// What one error by itself says.
fn known(error: &(dyn Error + 'static)) -> Option<ErrorCode> {
    if error.is::<Prohibited>() {
        return Some(ErrorCode::DestinationIpProhibited);
    }
    if error.is::<Unresolved>() {
        return Some(ErrorCode::DnsError(DnsErrorPayload {
            rcode: Some("no address".to_owned()),
            info_code: None,
        }));
    }
    if let Some(error) = error.downcast_ref::<CallError>() {
        return Some(ErrorCode::InternalError(Some(format!(
            "the request's body: {error}"
        ))));
    }
    if let Some(error) = error.downcast_ref::<TlsError>() {
        return Some(tls(error));
    }
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return by_kind(error.kind());
    }
    error.downcast_ref::<hyper::Error>().and_then(http)
}

fn tls(error: &TlsError) -> ErrorCode {
    match error {
        TlsError::InvalidCertificate(_) | TlsError::NoCertificatesPresented => {
            ErrorCode::TlsCertificateError
        }
        TlsError::AlertReceived(alert) => ErrorCode::TlsAlertReceived(TlsAlertPayload {
            alert_id: Some(u8::from(*alert)),
            alert_message: Some(format!("{alert:?}")),
        }),
        _ => ErrorCode::TlsProtocolError,
    }
}

fn by_kind(kind: io::ErrorKind) -> Option<ErrorCode> {
    use io::ErrorKind as Kind;
    Some(match kind {
        Kind::ConnectionRefused => ErrorCode::ConnectionRefused,
        Kind::TimedOut => ErrorCode::ConnectionTimeout,
        Kind::HostUnreachable | Kind::NetworkUnreachable => ErrorCode::DestinationIpUnroutable,
        Kind::AddrNotAvailable | Kind::NetworkDown => ErrorCode::DestinationUnavailable,
        Kind::ConnectionReset
        | Kind::ConnectionAborted
        | Kind::BrokenPipe
        | Kind::NotConnected
        | Kind::UnexpectedEof => ErrorCode::ConnectionTerminated,
        _ => return None,
    })
}

fn http(error: &hyper::Error) -> Option<ErrorCode> {
    Some(if error.is_parse_too_large() {
        ErrorCode::HttpResponseHeaderSectionSize(None)
    } else if error.is_parse() {
        ErrorCode::HttpProtocolError
    } else if error.is_incomplete_message() {
        ErrorCode::HttpResponseIncomplete
    } else if error.is_timeout() {
        ErrorCode::ConnectionTimeout
    } else if error.is_closed() || error.is_canceled() {
        ErrorCode::ConnectionTerminated
    } else if error.is_user() {
        return None;
    } else {
        ErrorCode::HttpProtocolError
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_cause_that_says_something_counts() {
        let tls = TlsError::InvalidCertificate(rustls::CertificateError::Expired);
        let wrapped = io::Error::other(tls);
        assert_eq!(code(&wrapped), ErrorCode::TlsCertificateError);
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(
            code(&io::Error::other(refused)),
            ErrorCode::ConnectionRefused
        );
        let prohibited = Prohibited {
            address: "127.0.0.1".parse().unwrap(),
            what: "a loopback address",
        };
        assert_eq!(
            code(&io::Error::other(prohibited)),
            ErrorCode::DestinationIpProhibited
        );
    }

    #[test]
    fn what_says_nothing_is_told_in_words() {
        let inner = io::Error::other("odd");
        let code = code(&io::Error::other(inner));
        assert_eq!(code, ErrorCode::InternalError(Some("odd".to_owned())));
    }

    #[test]
    fn an_alert_has_its_number() {
        let alert = TlsError::AlertReceived(rustls::AlertDescription::HandshakeFailure);
        let ErrorCode::TlsAlertReceived(alert) = code(&alert) else {
            panic!("not an alert")
        };
        assert_eq!(alert.alert_id, Some(40));
    }
}

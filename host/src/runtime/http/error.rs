//! HTTP error codes: the same list three times, for the wire, for guests' functions and for guests' bodies.

use trellis_rpc::interface::http::{
    DnsErrorPayload, ErrorCode as Wire, FieldSizePayload, TlsAlertPayload,
};
use wasmtime_wasi_http::{Error, p2::bindings::http::types::ErrorCode as Guest};

/// For the wire, what a guest answered instead of a response.
pub(in crate::runtime) fn to_wire(error: Guest) -> Wire {
    let field =
        |field: wasmtime_wasi_http::p2::bindings::http::types::FieldSizePayload| FieldSizePayload {
            field_name: field.field_name,
            field_size: field.field_size,
        };
    match error {
        Guest::DnsTimeout => Wire::DnsTimeout,
        Guest::DnsError(dns) => Wire::DnsError(DnsErrorPayload {
            rcode: dns.rcode,
            info_code: dns.info_code,
        }),
        Guest::DestinationNotFound => Wire::DestinationNotFound,
        Guest::DestinationUnavailable => Wire::DestinationUnavailable,
        Guest::DestinationIpProhibited => Wire::DestinationIpProhibited,
        Guest::DestinationIpUnroutable => Wire::DestinationIpUnroutable,
        Guest::ConnectionRefused => Wire::ConnectionRefused,
        Guest::ConnectionTerminated => Wire::ConnectionTerminated,
        Guest::ConnectionTimeout => Wire::ConnectionTimeout,
        Guest::ConnectionReadTimeout => Wire::ConnectionReadTimeout,
        Guest::ConnectionWriteTimeout => Wire::ConnectionWriteTimeout,
        Guest::ConnectionLimitReached => Wire::ConnectionLimitReached,
        Guest::TlsProtocolError => Wire::TlsProtocolError,
        Guest::TlsCertificateError => Wire::TlsCertificateError,
        Guest::TlsAlertReceived(tls) => Wire::TlsAlertReceived(TlsAlertPayload {
            alert_id: tls.alert_id,
            alert_message: tls.alert_message,
        }),
        Guest::HttpRequestDenied => Wire::HttpRequestDenied,
        Guest::HttpRequestLengthRequired => Wire::HttpRequestLengthRequired,
        Guest::HttpRequestBodySize(size) => Wire::HttpRequestBodySize(size),
        Guest::HttpRequestMethodInvalid => Wire::HttpRequestMethodInvalid,
        Guest::HttpRequestUriInvalid => Wire::HttpRequestUriInvalid,
        Guest::HttpRequestUriTooLong => Wire::HttpRequestUriTooLong,
        Guest::HttpRequestHeaderSectionSize(size) => Wire::HttpRequestHeaderSectionSize(size),
        Guest::HttpRequestHeaderSize(size) => Wire::HttpRequestHeaderSize(size.map(field)),
        Guest::HttpRequestTrailerSectionSize(size) => Wire::HttpRequestTrailerSectionSize(size),
        Guest::HttpRequestTrailerSize(size) => Wire::HttpRequestTrailerSize(field(size)),
        Guest::HttpResponseIncomplete => Wire::HttpResponseIncomplete,
        Guest::HttpResponseHeaderSectionSize(size) => Wire::HttpResponseHeaderSectionSize(size),
        Guest::HttpResponseHeaderSize(size) => Wire::HttpResponseHeaderSize(field(size)),
        Guest::HttpResponseBodySize(size) => Wire::HttpResponseBodySize(size),
        Guest::HttpResponseTrailerSectionSize(size) => Wire::HttpResponseTrailerSectionSize(size),
        Guest::HttpResponseTrailerSize(size) => Wire::HttpResponseTrailerSize(field(size)),
        Guest::HttpResponseTransferCoding(coding) => Wire::HttpResponseTransferCoding(coding),
        Guest::HttpResponseContentCoding(coding) => Wire::HttpResponseContentCoding(coding),
        Guest::HttpResponseTimeout => Wire::HttpResponseTimeout,
        Guest::HttpUpgradeFailed => Wire::HttpUpgradeFailed,
        Guest::HttpProtocolError => Wire::HttpProtocolError,
        Guest::LoopDetected => Wire::LoopDetected,
        Guest::ConfigurationError => Wire::ConfigurationError,
        Guest::InternalError(why) => Wire::InternalError(why),
    }
}

/// For a guest, what a provider answered instead of a response.
pub(in crate::runtime) fn for_guest(error: Wire) -> Error {
    match error {
        Wire::DnsTimeout => Error::DnsTimeout,
        Wire::DnsError(DnsErrorPayload { rcode, info_code }) => {
            Error::DnsError { rcode, info_code }
        }
        Wire::DestinationNotFound => Error::DestinationNotFound,
        Wire::DestinationUnavailable => Error::DestinationUnavailable,
        Wire::DestinationIpProhibited => Error::DestinationIpProhibited,
        Wire::DestinationIpUnroutable => Error::DestinationIpUnroutable,
        Wire::ConnectionRefused => Error::ConnectionRefused,
        Wire::ConnectionTerminated => Error::ConnectionTerminated,
        Wire::ConnectionTimeout => Error::ConnectionTimeout,
        Wire::ConnectionReadTimeout => Error::ConnectionReadTimeout,
        Wire::ConnectionWriteTimeout => Error::ConnectionWriteTimeout,
        Wire::ConnectionLimitReached => Error::ConnectionLimitReached,
        Wire::TlsProtocolError => Error::TlsProtocolError,
        Wire::TlsCertificateError => Error::TlsCertificateError,
        Wire::TlsAlertReceived(TlsAlertPayload {
            alert_id,
            alert_message,
        }) => Error::TlsAlertReceived {
            alert_id,
            alert_message,
        },
        Wire::HttpRequestDenied => Error::HttpRequestDenied,
        Wire::HttpRequestLengthRequired => Error::HttpRequestLengthRequired,
        Wire::HttpRequestBodySize(size) => Error::HttpRequestBodySize(size),
        Wire::HttpRequestMethodInvalid => Error::HttpRequestMethodInvalid,
        Wire::HttpRequestUriInvalid => Error::HttpRequestUriInvalid,
        Wire::HttpRequestUriTooLong => Error::HttpRequestUriTooLong,
        Wire::HttpRequestHeaderSectionSize(size) => Error::HttpRequestHeaderSectionSize(size),
        Wire::HttpRequestHeaderSize(size) => {
            let FieldSizePayload {
                field_name,
                field_size,
            } = size.unwrap_or_default();
            Error::HttpRequestHeaderSize {
                field_name,
                field_size,
            }
        }
        Wire::HttpRequestTrailerSectionSize(size) => Error::HttpRequestTrailerSectionSize(size),
        Wire::HttpRequestTrailerSize(FieldSizePayload {
            field_name,
            field_size,
        }) => Error::HttpRequestTrailerSize {
            field_name,
            field_size,
        },
        Wire::HttpResponseIncomplete => Error::HttpResponseIncomplete,
        Wire::HttpResponseHeaderSectionSize(size) => Error::HttpResponseHeaderSectionSize(size),
        Wire::HttpResponseHeaderSize(FieldSizePayload {
            field_name,
            field_size,
        }) => Error::HttpResponseHeaderSize {
            field_name,
            field_size,
        },
        Wire::HttpResponseBodySize(size) => Error::HttpResponseBodySize(size),
        Wire::HttpResponseTrailerSectionSize(size) => Error::HttpResponseTrailerSectionSize(size),
        Wire::HttpResponseTrailerSize(FieldSizePayload {
            field_name,
            field_size,
        }) => Error::HttpResponseTrailerSize {
            field_name,
            field_size,
        },
        Wire::HttpResponseTransferCoding(coding) => Error::HttpResponseTransferCoding(coding),
        Wire::HttpResponseContentCoding(coding) => Error::HttpResponseContentCoding(coding),
        Wire::HttpResponseTimeout => Error::HttpResponseTimeout,
        Wire::HttpUpgradeFailed => Error::HttpUpgradeFailed,
        Wire::HttpProtocolError => Error::HttpProtocolError,
        Wire::LoopDetected => Error::LoopDetected,
        Wire::ConfigurationError => Error::ConfigurationError,
        Wire::InternalError(why) => Error::InternalError(why),
    }
}

//! Why a request failed: `wasi:http/types@0.2` `error-code`, whose cases are numbered in this order.

use crate::{wire_record, wire_variant};

wire_record! {
    /// What DNS said.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct DnsErrorPayload {
        /// Its response code.
        pub rcode: Option<String>,
        /// Its extended code.
        pub info_code: Option<u16>,
    }
}

wire_record! {
    /// What the other side's TLS said.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct TlsAlertPayload {
        /// The alert's number.
        pub alert_id: Option<u8>,
        /// The alert's text.
        pub alert_message: Option<String>,
    }
}

wire_record! {
    /// A field that is too large.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct FieldSizePayload {
        /// The field.
        pub field_name: Option<String>,
        /// Its size in bytes.
        pub field_size: Option<u32>,
    }
}

wire_variant! {
    /// Why a request failed.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum ErrorCode {
        /// DNS took too long.
        DnsTimeout,
        /// DNS failed.
        DnsError(DnsErrorPayload),
        /// There is no such place.
        DestinationNotFound,
        /// The place does not answer.
        DestinationUnavailable,
        /// The address is not allowed.
        DestinationIpProhibited,
        /// The address can't be reached.
        DestinationIpUnroutable,
        /// The connection was refused.
        ConnectionRefused,
        /// The connection was cut.
        ConnectionTerminated,
        /// Connecting took too long.
        ConnectionTimeout,
        /// Reading took too long.
        ConnectionReadTimeout,
        /// Writing took too long.
        ConnectionWriteTimeout,
        /// There are too many connections.
        ConnectionLimitReached,
        /// TLS failed.
        TlsProtocolError,
        /// The certificate was not accepted.
        TlsCertificateError,
        /// The other side raised a TLS alert.
        TlsAlertReceived(TlsAlertPayload),
        /// The request is not allowed.
        HttpRequestDenied,
        /// The request needs a length.
        HttpRequestLengthRequired,
        /// The request's body has another size than it should.
        HttpRequestBodySize(Option<u64>),
        /// The method is none.
        HttpRequestMethodInvalid,
        /// The URI is none.
        HttpRequestUriInvalid,
        /// The URI is too long.
        HttpRequestUriTooLong,
        /// The request's headers are too large.
        HttpRequestHeaderSectionSize(Option<u32>),
        /// A header of the request is too large.
        HttpRequestHeaderSize(Option<FieldSizePayload>),
        /// The request's trailers are too large.
        HttpRequestTrailerSectionSize(Option<u32>),
        /// A trailer of the request is too large.
        HttpRequestTrailerSize(FieldSizePayload),
        /// The response broke off.
        HttpResponseIncomplete,
        /// The response's headers are too large.
        HttpResponseHeaderSectionSize(Option<u32>),
        /// A header of the response is too large.
        HttpResponseHeaderSize(FieldSizePayload),
        /// The response's body has another size than it should.
        HttpResponseBodySize(Option<u64>),
        /// The response's trailers are too large.
        HttpResponseTrailerSectionSize(Option<u32>),
        /// A trailer of the response is too large.
        HttpResponseTrailerSize(FieldSizePayload),
        /// The transfer coding is not understood.
        HttpResponseTransferCoding(Option<String>),
        /// The content coding is not understood.
        HttpResponseContentCoding(Option<String>),
        /// The response took too long.
        HttpResponseTimeout,
        /// The upgrade failed.
        HttpUpgradeFailed,
        /// The other side does not speak HTTP.
        HttpProtocolError,
        /// The request came round in a circle.
        LoopDetected,
        /// The settings are wrong.
        ConfigurationError,
        /// Anything else.
        InternalError(Option<String>),
    }
}

//! `wrpc:http@0.1.0`: an HTTP request and its response, with bodies that stream.
//!
//! On the wire a request is one record: body, trailers, method, path with query, scheme, authority, headers; a response
//! is `result<record {body, trailers, status, headers}, error-code>` (`wasmcloud-v1.md`, HTTP). Body and trailers are a
//! `stream<u8>` and a `future<option<fields>>`: in place when they are known beforehand, else on the paths `0.0` and `0.1`.

mod body;
mod error_code;
mod fields;

use std::sync::LazyLock;

use bytes::{Bytes, BytesMut};

pub use self::{
    body::{Body, Trailers},
    error_code::{DnsErrorPayload, ErrorCode, FieldSizePayload, TlsAlertPayload},
    fields::{Fields, InvalidFields, fields_of, header_map},
};
use crate::{
    call::{Incoming, Operation, Outgoing},
    codec::{Decode, Decoder, Deferred, Encode, WireError},
    error::CallError,
    wire_record, wire_variant,
};

/// The instance of [`handle`], on the actor's side.
pub const INCOMING_HANDLER: &str = "wrpc:http/incoming-handler@0.1.0";
/// The instance of [`outgoing_handle`], on the provider's side.
pub const OUTGOING_HANDLER: &str = "wrpc:http/outgoing-handler@0.1.0";

/// Handles a request: what a server calls on an actor.
pub fn handle() -> &'static Operation {
    static OPERATION: LazyLock<Operation> =
        LazyLock::new(|| Operation::new(INCOMING_HANDLER, "handle"));
    &OPERATION
}

/// Makes a request: what an actor calls on a client. Its parameters are a request and `option<`[`RequestOptions`]`>`.
pub fn outgoing_handle() -> &'static Operation {
    static OPERATION: LazyLock<Operation> =
        LazyLock::new(|| Operation::new(OUTGOING_HANDLER, "handle"));
    &OPERATION
}

wire_variant! {
    /// A request's method.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum Method {
        /// GET
        Get,
        /// HEAD
        Head,
        /// POST
        Post,
        /// PUT
        Put,
        /// DELETE
        Delete,
        /// CONNECT
        Connect,
        /// OPTIONS
        Options,
        /// TRACE
        Trace,
        /// PATCH
        Patch,
        /// Any other, by its name.
        Other(String),
    }
}

impl Method {
    /// The method of that name.
    pub fn of(name: &str) -> Self {
        match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            "CONNECT" => Self::Connect,
            "OPTIONS" => Self::Options,
            "TRACE" => Self::Trace,
            "PATCH" => Self::Patch,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
            Self::Options => "OPTIONS",
            Self::Trace => "TRACE",
            Self::Patch => "PATCH",
            Self::Other(name) => name,
        }
    }
}

wire_variant! {
    /// A URL's scheme.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum Scheme {
        /// `http`
        Http,
        /// `https`
        Https,
        /// Any other.
        Other(String),
    }
}

wire_record! {
    /// Limits on a request that an actor makes; durations in nanoseconds.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct RequestOptions {
        /// For connecting.
        pub connect_timeout: Option<u64>,
        /// From the request to the first byte of the response.
        pub first_byte_timeout: Option<u64>,
        /// Between two bytes of the body.
        pub between_bytes_timeout: Option<u64>,
    }
}

/// A request.
#[derive(Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Path and query; `None` for what has none, such as CONNECT.
    pub path_with_query: Option<String>,
    /// The scheme, when known.
    pub scheme: Option<Scheme>,
    /// Host and port, when known.
    pub authority: Option<String>,
    /// The headers.
    pub headers: Fields,
    /// The body with its trailers.
    pub body: Body,
}

/// A response.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: Fields,
    /// The body with its trailers.
    pub body: Body,
}

/// Body and trailers as they stand in the records.
type WireBody = (Deferred<Bytes>, Deferred<Option<Fields>>);

impl Request {
    /// As the parameters of [`handle`].
    pub fn into_params(self) -> Outgoing {
        self.encode(BytesMut::new())
    }

    /// As the parameters of [`outgoing_handle`].
    pub fn into_outgoing_params(self, options: Option<RequestOptions>) -> Outgoing {
        let mut outgoing = self.encode(BytesMut::new());
        let mut root = BytesMut::from(outgoing.root);
        options.encode(&mut root);
        outgoing.root = root.freeze();
        outgoing
    }

    /// From the parameters of [`handle`].
    ///
    /// # Errors
    /// [`CallError::Malformed`].
    pub fn from_params(params: Incoming) -> Result<Self, CallError> {
        let mut decoder = Decoder::new(params.root);
        let (wire, request) = Self::decode(&mut decoder)?;
        decoder.finish()?;
        request.with_body(wire, params.channels)
    }

    /// From the parameters of [`outgoing_handle`].
    ///
    /// # Errors
    /// [`CallError::Malformed`].
    pub fn from_outgoing_params(
        params: Incoming,
    ) -> Result<(Self, Option<RequestOptions>), CallError> {
        let mut decoder = Decoder::new(params.root);
        let (wire, request) = Self::decode(&mut decoder)?;
        let options = Option::decode(&mut decoder)?;
        decoder.finish()?;
        Ok((request.with_body(wire, params.channels)?, options))
    }

    fn encode(self, mut out: BytesMut) -> Outgoing {
        let (wire, channels) = self.body.into_wire();
        wire.encode(&mut out);
        self.method.encode(&mut out);
        self.path_with_query.encode(&mut out);
        self.scheme.encode(&mut out);
        self.authority.encode(&mut out);
        self.headers.encode(&mut out);
        Outgoing {
            root: out.freeze(),
            channels,
        }
    }

    /// All but the body, which its channels are needed for.
    fn decode(decoder: &mut Decoder) -> Result<(WireBody, Self), WireError> {
        let wire = WireBody::decode(decoder)?;
        let request = Self {
            method: Method::decode(decoder)?,
            path_with_query: Option::decode(decoder)?,
            scheme: Option::decode(decoder)?,
            authority: Option::decode(decoder)?,
            headers: Fields::decode(decoder)?,
            body: Body::empty(),
        };
        Ok((wire, request))
    }

    fn with_body(self, wire: WireBody, channels: crate::Channels) -> Result<Self, CallError> {
        Ok(Self {
            body: Body::from_wire(wire, channels)?,
            ..self
        })
    }
}

impl Response {
    /// As the result of either function.
    pub fn into_result(result: Result<Self, ErrorCode>) -> Outgoing {
        let mut out = BytesMut::new();
        let response = match result {
            Ok(response) => response,
            Err(error) => {
                Err::<(), _>(error).encode(&mut out);
                return Outgoing::unary(out);
            }
        };
        let (wire, channels) = response.body.into_wire();
        Ok::<_, ErrorCode>((wire.0, wire.1, response.status, response.headers)).encode(&mut out);
        Outgoing {
            root: out.freeze(),
            channels,
        }
    }

    /// From the result of either function; the inner error is the callee's own.
    ///
    /// # Errors
    /// [`CallError::Malformed`]; [`CallError::Failed`] when the callee ended without a result.
    pub fn from_result(result: Incoming) -> Result<Result<Self, ErrorCode>, CallError> {
        if result.root.is_empty() {
            return Err(CallError::without_results());
        }
        let mut decoder = Decoder::new(result.root);
        let decoded = Result::<(WireBody, u16, Fields), ErrorCode>::decode(&mut decoder)?;
        decoder.finish()?;
        Ok(match decoded {
            Err(error) => Err(error),
            Ok((wire, status, headers)) => Ok(Self {
                status,
                headers,
                body: Body::from_wire(wire, result.channels)?,
            }),
        })
    }
}

#[cfg(test)]
mod tests;

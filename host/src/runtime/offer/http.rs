//! `wasi:http/outgoing-handler`: requests that an actor makes go over its link to a client's provider. Without a link there
//! is no way out.

use std::{sync::Arc, time::Duration};

use http_body_util::combinators::UnsyncBoxBody;
use trellis_rpc::{
    Call, CallContext, CallError,
    interface::http::{
        Method, Request, RequestOptions, Response, Scheme, fields_of, header_map, outgoing_handle,
    },
};
use wasmtime_wasi_http::{Error, WasiBody, WasiHttpHooks};

use crate::{
    links::Filled,
    runtime::{
        http::{body, error},
        interface::Typed,
        scope::Scope,
    },
};

/// How many writes of a guest to a body may wait for its reader, and how many bytes each may have: what a body takes of
/// host memory at most.
const BODY_WRITES: usize = 16;
const BODY_WRITE_BYTES: usize = 64 << 10;

type Sent = (http::Response<WasiBody>, Io);
type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for Scope {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<wasmtime_wasi_http::RequestOptions>,
        _: Io,
    ) -> Box<dyn Future<Output = Result<Sent, Error>> + Send> {
        let way = self.call_out(Typed::HttpOutgoing as usize);
        Box::new(async move {
            let (link, context) = way.map_err(failed)?;
            let response = send(&link, context, request, options)
                .await
                .map_err(failed)?;
            let response = response.map_err(error::for_guest)?;
            Ok((guest_response(response)?, Box::new(async { Ok(()) }) as Io))
        })
    }

    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        BODY_WRITES
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_WRITE_BYTES
    }
}

async fn send(
    link: &Arc<Filled>,
    context: CallContext,
    request: http::Request<WasiBody>,
    options: Option<wasmtime_wasi_http::RequestOptions>,
) -> Result<Result<Response, trellis_rpc::interface::http::ErrorCode>, CallError> {
    let (parts, body) = request.into_parts();
    let request = Request {
        method: Method::of(parts.method.as_str()),
        path_with_query: parts.uri.path_and_query().map(ToString::to_string),
        scheme: parts.uri.scheme_str().map(|scheme| match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            other => Scheme::Other(other.to_owned()),
        }),
        authority: parts.uri.authority().map(ToString::to_string),
        headers: fields_of(&parts.headers),
        body: body::for_wire(body, || None, None),
    };
    let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let options = options.map(|options| RequestOptions {
        connect_timeout: options.connect_timeout.map(nanos),
        first_byte_timeout: options.first_byte_timeout.map(nanos),
        between_bytes_timeout: options.between_bytes_timeout.map(nanos),
    });
    let params = request.into_outgoing_params(options);
    let call = Call {
        operation: outgoing_handle().clone(),
        context,
        params,
    };
    Response::from_result(link.route.call(call).await?)
}

fn guest_response(
    response: Response,
) -> Result<http::Response<UnsyncBoxBody<bytes::Bytes, Error>>, Error> {
    let headers = header_map(response.headers)
        .map_err(|error| Error::InternalError(Some(error.to_string())))?;
    let mut guest = http::Response::new(body::for_guest(response.body));
    *guest.status_mut() = http::StatusCode::from_u16(response.status)
        .map_err(|error| Error::InternalError(Some(error.to_string())))?;
    *guest.headers_mut() = headers;
    Ok(guest)
}

/// What the guest is told when the call itself fails.
fn failed(error: CallError) -> Error {
    match error {
        CallError::DeadlineExceeded { .. } => Error::HttpResponseTimeout,
        CallError::NoResponder { .. } | CallError::OutOfBounds(_) => Error::DestinationUnavailable,
        other => Error::InternalError(Some(other.to_string())),
    }
}

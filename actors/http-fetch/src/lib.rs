//! Fetches another server's page: `/?url=https://example.org/` answers what is there, as it comes. Which hosts it may
//! ask is its link's business, not its own.

use std::io::{Error, Result as IoResult, Write as _};

use web::{BodyWriter, Handler, Request, Response};

use crate::bindings::wasi::http::outgoing_handler;
use crate::bindings::wasi::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingResponse, OutgoingRequest, Scheme,
};
use crate::bindings::wasi::io::streams::StreamError;

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package trellis:http-fetch;
            world fetch {
                import wasi:http/outgoing-handler@0.2.12;
            }
        ",
        path: [
            "../../wit/wasi-io",
            "../../wit/wasi-clocks",
            "../../wit/wasi-random",
            "../../wit/wasi-filesystem",
            "../../wit/wasi-sockets",
            "../../wit/wasi-cli",
            "../../wit/wasi-http",
        ],
        world: "trellis:http-fetch/fetch",
        generate_all,
    });
}

/// As much of a page as is passed on at once.
const PIECE: u64 = 64 * 1024;

struct Fetch;

impl Handler for Fetch {
    fn handle(request: Request) -> Response {
        let Some(url) = request.query("url") else {
            return Response::text(400, "say which page: /?url=https://example.org/\n");
        };
        match fetch(&url) {
            Ok(page) => pass_on(page),
            Err(ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited) => {
                Response::text(403, format!("{url} is not allowed here\n"))
            }
            Err(error) => Response::text(502, format!("{url}: {error:?}\n")),
        }
    }
}

fn fetch(url: &str) -> Result<IncomingResponse, ErrorCode> {
    let invalid = |()| ErrorCode::HttpRequestUriInvalid;
    let (scheme, rest) = match url.split_once("://") {
        Some(("http", rest)) => (Scheme::Http, rest),
        Some(("https", rest)) => (Scheme::Https, rest),
        _ => return Err(ErrorCode::HttpRequestUriInvalid),
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&scheme)).map_err(invalid)?;
    request.set_authority(Some(authority)).map_err(invalid)?;
    let path = if path.is_empty() { "/" } else { path };
    request.set_path_with_query(Some(path)).map_err(invalid)?;
    let response = outgoing_handler::handle(request, None)?;
    response.subscribe().block();
    match response.get() {
        Some(Ok(page)) => page,
        _ => Err(ErrorCode::HttpResponseIncomplete),
    }
}

/// The page as this actor's own answer: its status, its type, and its content while it comes.
fn pass_on(page: IncomingResponse) -> Response {
    let status = page.status();
    let kind = page.headers().get("content-type").into_iter().next();
    let Ok(body) = page.consume() else {
        return Response::text(502, "the page has no body\n");
    };
    let response = Response::stream(status, move |out| copy(&body, out));
    match kind {
        Some(kind) => response.with_header("content-type", kind),
        None => response,
    }
}

fn copy(body: &IncomingBody, out: &mut BodyWriter) -> IoResult<()> {
    let Ok(stream) = body.stream() else {
        return Err(Error::other("the page's body was taken before"));
    };
    loop {
        match stream.blocking_read(PIECE) {
            Ok(piece) => out.write_all(&piece)?,
            Err(StreamError::Closed) => return Ok(()),
            Err(StreamError::LastOperationFailed(error)) => {
                return Err(Error::other(error.to_debug_string()));
            }
        }
    }
}

web::serve!(Fetch);

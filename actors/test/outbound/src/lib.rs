//! Calls out in the ways that other actors here do not: `/fetch?authority=A&path=P` makes an HTTP request through
//! `wasi:http/outgoing-handler`, with the request's method and body, and answers what came back; `/greet?link=L`
//! greets over the link of that name, chosen by `wasmcloud:bus/lattice`.

use std::io::Read;

use web::{Handler, Request, Response};

use crate::bindings::trellis::example::greeter;
use crate::bindings::wasi::http::outgoing_handler;
use crate::bindings::wasi::http::types::{
    ErrorCode, Fields, IncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme,
};
use crate::bindings::wasi::io::streams::StreamError;
use crate::bindings::wasmcloud::bus::lattice::{self, CallTargetInterface};

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package trellis:outbound;
            world outbound {
                import wasi:http/outgoing-handler@0.2.12;
                import wasmcloud:bus/lattice@1.0.0;
                import trellis:example/greeter@0.1.0;
            }
        ",
        path: [
            "../../../wit/wasi-io",
            "../../../wit/wasi-clocks",
            "../../../wit/wasi-random",
            "../../../wit/wasi-filesystem",
            "../../../wit/wasi-sockets",
            "../../../wit/wasi-cli",
            "../../../wit/wasi-http",
            "../../../wit/wasmcloud-bus",
            "../../../wit/trellis-example",
        ],
        world: "trellis:outbound/outbound",
        generate_all,
    });
}

struct Outbound;

impl Handler for Outbound {
    fn handle(request: Request) -> Response {
        match request.path() {
            "/fetch" => {
                fetch(&request).unwrap_or_else(|error| Response::text(502, format!("{error:?}\n")))
            }
            "/greet" => greet(&request),
            path => Response::text(404, format!("no deed at {path}\n")),
        }
    }
}

fn greet(request: &Request) -> Response {
    if let Some(link) = request.query("link") {
        let greeter = CallTargetInterface::new("trellis", "example", "greeter");
        lattice::set_link_name(&link, vec![greeter]);
    }
    match greeter::greet("Ada") {
        Ok(greeting) => Response::text(200, greeting),
        Err(reason) => Response::text(400, reason),
    }
}

fn fetch(request: &Request) -> Result<Response, ErrorCode> {
    let headers = Fields::new();
    let _ = headers.append("x-from", b"outbound");
    let out = OutgoingRequest::new(headers);
    let _ = out.set_scheme(Some(&Scheme::Http));
    let _ = out.set_authority(request.query("authority").as_deref());
    let _ = out.set_path_with_query(request.query("path").as_deref());
    let mut body = Vec::new();
    if let Some(mut given) = request.body() {
        // An actor of this kind is only sent what can be read.
        let _ = given.read_to_end(&mut body);
    }
    let _ = out.set_method(if body.is_empty() {
        &Method::Get
    } else {
        &Method::Post
    });
    let sending = out.body().map_err(|()| ErrorCode::InternalError(None))?;
    let response = outgoing_handler::handle(out, None)?;
    write(&sending, &body);
    OutgoingBody::finish(sending, None)?;
    response.subscribe().block();
    match response.get() {
        Some(Ok(response)) => read(response?),
        _ => Err(ErrorCode::InternalError(Some("not ready".into()))),
    }
}

fn write(body: &OutgoingBody, content: &[u8]) {
    if let Ok(stream) = body.write() {
        for chunk in content.chunks(4096) {
            if stream.blocking_write_and_flush(chunk).is_err() {
                return;
            }
        }
    }
}

fn read(response: IncomingResponse) -> Result<Response, ErrorCode> {
    let incomplete = |()| ErrorCode::HttpResponseIncomplete;
    let body = response.consume().map_err(incomplete)?;
    let stream = body.stream().map_err(incomplete)?;
    let mut content = Vec::new();
    loop {
        match stream.blocking_read(65_536) {
            Ok(chunk) => content.extend(chunk),
            Err(StreamError::Closed) => return Ok(Response::bytes(response.status(), content)),
            Err(_) => return Err(ErrorCode::HttpResponseIncomplete),
        }
    }
}

web::serve!(Outbound);

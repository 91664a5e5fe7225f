//! Sends messages on request by HTTP: `/publish?subject=S` (`reply-to=`) publishes
//! the request's body, `/request?subject=S` (`timeout-ms=`, else 1000) waits for
//! the answer and gives its body. Errors of the broker answer 502 with their text.

use std::io::Read;

use web::{Handler, Request, Response};

use crate::bindings::wasmcloud::messaging::consumer;
use crate::bindings::wasmcloud::messaging::types::BrokerMessage;

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package trellis:messenger;
            world messenger {
                import wasmcloud:messaging/consumer@0.2.0;
            }
        ",
        path: ["../../../wit/wasmcloud-messaging"],
        world: "trellis:messenger/messenger",
        generate_all,
    });
}

struct Messenger;

impl Handler for Messenger {
    fn handle(request: Request) -> Response {
        let Some(subject) = request.query("subject") else {
            return Response::text(400, "the query needs subject=\n");
        };
        let mut body = Vec::new();
        if let Some(mut reader) = request.body()
            && let Err(error) = reader.read_to_end(&mut body)
        {
            return Response::text(400, format!("reading the body: {error}\n"));
        }
        match request.path() {
            "/publish" => publish(subject, body, request.query("reply-to")),
            "/request" => ask(&subject, &body, request.query("timeout-ms")),
            path => Response::text(404, format!("no deed at {path}\n")),
        }
    }
}

fn publish(subject: String, body: Vec<u8>, reply_to: Option<String>) -> Response {
    let message = BrokerMessage {
        subject,
        body,
        reply_to,
    };
    match consumer::publish(&message) {
        Ok(()) => Response::text(200, "published\n"),
        Err(reason) => Response::text(502, reason + "\n"),
    }
}

fn ask(subject: &str, body: &[u8], timeout: Option<String>) -> Response {
    let timeout_ms = match timeout.as_deref().map(str::parse).transpose() {
        Ok(timeout) => timeout.unwrap_or(1_000),
        Err(_) => return Response::text(400, "timeout-ms is no number\n"),
    };
    match consumer::request(subject, body, timeout_ms) {
        Ok(answer) => Response::bytes(200, answer.body),
        Err(reason) => Response::text(502, reason + "\n"),
    }
}

web::serve!(Messenger);

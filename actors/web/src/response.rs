//! The response as the actor makes it.

use std::io::{Result, Write};

use crate::bindings::wasi::http::types::{
    ErrorCode, Fields, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use crate::body::BodyWriter;

/// Status, headers and a body: bytes at hand, or a function that writes them.
pub struct Response {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    body: Body,
}

type WriteBody = Box<dyn FnOnce(&mut BodyWriter) -> Result<()>>;

enum Body {
    Bytes(Vec<u8>),
    Stream(WriteBody),
}

impl Response {
    /// A text answer.
    pub fn text(status: u16, text: impl Into<String>) -> Self {
        Self::bytes(status, text.into()).with_header("content-type", "text/plain; charset=utf-8")
    }

    /// An answer of bytes that are at hand.
    pub fn bytes(status: u16, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Body::Bytes(bytes.into()),
        }
    }

    /// An answer that `write` writes while the client reads. When it fails the
    /// body ends broken, so the client can tell.
    pub fn stream(
        status: u16,
        write: impl FnOnce(&mut BodyWriter) -> Result<()> + 'static,
    ) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Body::Stream(Box::new(write)),
        }
    }

    /// With one more header. The host drops the connection's own (`connection`, …).
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn send(self, out: ResponseOutparam) {
        let fields = match Fields::from_list(&self.headers) {
            Ok(fields) => fields,
            Err(error) => return refuse(out, &format!("a response header: {error}")),
        };
        let response = OutgoingResponse::new(fields);
        if response.set_status_code(self.status).is_err() {
            return refuse(out, &format!("{} is no HTTP status", self.status));
        }
        let Ok(body) = response.body() else {
            return refuse(out, "the response's body was taken before");
        };
        // Headers first: the client sees them while the body is written.
        ResponseOutparam::set(out, Ok(response));
        let written = body.write().and_then(|stream| {
            let mut writer = BodyWriter::new(stream);
            match self.body {
                Body::Bytes(bytes) => writer.write_all(&bytes),
                Body::Stream(write) => write(&mut writer),
            }
            .map_err(|_| ())
        });
        if written.is_ok() {
            // An error here means that the client is gone; there is nobody to tell.
            let _ = OutgoingBody::finish(body, None);
        }
        // Not finished, the body is dropped, which ends it broken.
    }
}

fn refuse(out: ResponseOutparam, reason: &str) {
    ResponseOutparam::set(out, Err(ErrorCode::InternalError(Some(reason.into()))));
}

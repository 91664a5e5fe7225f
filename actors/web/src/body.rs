//! The two ends of a body, as `std::io` readers and writers.

use std::io::{Error, ErrorKind, Read, Result, Write};

use crate::bindings::wasi::http::types::IncomingBody;
use crate::bindings::wasi::io::poll::Pollable;
use crate::bindings::wasi::io::streams::{InputStream, OutputStream, StreamError};

/// A request's body, or another stream. Reading waits for the sender.
pub struct BodyReader {
    // Dropped before the body it belongs to: the host refuses the other order.
    stream: InputStream,
    _body: Option<IncomingBody>,
}

impl BodyReader {
    pub(crate) fn new(stream: InputStream, body: IncomingBody) -> Self {
        Self {
            stream,
            _body: Some(body),
        }
    }

    /// Of a stream that belongs to nothing.
    pub fn of(stream: InputStream) -> Self {
        Self {
            stream,
            _body: None,
        }
    }
}

impl Read for BodyReader {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        match self.stream.blocking_read(into.len() as u64) {
            Ok(bytes) => {
                into[..bytes.len()].copy_from_slice(&bytes);
                Ok(bytes.len())
            }
            Err(StreamError::Closed) => Ok(0),
            Err(error) => Err(io_error(error)),
        }
    }
}

/// A response's body, or another stream. Writing waits while the reader is slower than the actor.
pub struct BodyWriter {
    // Likewise dropped before the stream.
    ready: Option<Pollable>,
    stream: OutputStream,
}

impl BodyWriter {
    /// Writes to that stream.
    pub fn new(stream: OutputStream) -> Self {
        Self {
            ready: None,
            stream,
        }
    }
}

impl Write for BodyWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        loop {
            let room = self.stream.check_write().map_err(io_error)?;
            if room == 0 {
                self.ready
                    .get_or_insert_with(|| self.stream.subscribe())
                    .block();
                continue;
            }
            let count = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
            self.stream.write(&bytes[..count]).map_err(io_error)?;
            return Ok(count);
        }
    }

    fn flush(&mut self) -> Result<()> {
        self.stream.blocking_flush().map_err(io_error)
    }
}

fn io_error(error: StreamError) -> Error {
    match error {
        StreamError::Closed => Error::new(ErrorKind::BrokenPipe, "the other side closed the body"),
        StreamError::LastOperationFailed(cause) => Error::other(cause.to_debug_string()),
    }
}

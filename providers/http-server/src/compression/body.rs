//! A body that is compressed as it comes. What is there goes out before the next part is waited for: a stream of events
//! stays one.

use std::{
    fmt,
    io::{self, Write as _},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use flate2::write::GzEncoder;
use http::HeaderMap;
use http_body::{Body as _, Frame};
use trellis_provider::rpc::CallError;

use super::Encoding;
use crate::reply::ReplyBody;

/// How much is compressed at once, and how much of it is collected before it goes out.
const PART_BYTES: usize = 16 << 10;
/// How much is compressed before other requests have their turn.
const TURN_BYTES: usize = 128 << 10;
/// Fast rather than small: the actor's answer waits for it.
const ZSTD_LEVEL: i32 = 3;
const BROTLI_LEVEL: u32 = 4;
const GZIP_LEVEL: u32 = 5;
/// How far back is looked, as a power of two: it is memory for each response.
const WINDOW_LOG: u32 = 18;

/// A compressed body.
pub struct Compressed {
    body: ReplyBody,
    /// None: all went out.
    encoder: Option<Encoder>,
    /// What came and isn't compressed yet.
    input: Bytes,
    /// Whether something is compressed that would wait for more.
    held: bool,
    trailers: Option<HeaderMap>,
}

/// What compresses.
pub(super) enum Encoder {
    Gzip(GzEncoder<Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Compressed {
    /// The compressed form of a body.
    pub(super) fn new(body: ReplyBody, encoder: Encoder) -> Self {
        Self {
            body,
            encoder: Some(encoder),
            input: Bytes::new(),
            held: false,
            trailers: None,
        }
    }

    /// Whether everything went out.
    pub fn is_end_stream(&self) -> bool {
        self.encoder.is_none() && self.trailers.is_none()
    }

    /// The next part.
    pub fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        let polled = ready!(self.poll_part(context));
        if matches!(polled, Some(Err(_))) {
            self.encoder = None;
        }
        Poll::Ready(polled)
    }

    fn poll_part(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        let mut worked = 0;
        loop {
            let Some(encoder) = &mut self.encoder else {
                return Poll::Ready(
                    self.trailers
                        .take()
                        .map(|trailers| Ok(Frame::trailers(trailers))),
                );
            };
            if !self.input.is_empty() {
                let part = self.input.split_to(self.input.len().min(PART_BYTES));
                encoder.write(&part).map_err(failed)?;
                (self.held, worked) = (true, worked + part.len());
                let output = encoder.output();
                if output.len() >= PART_BYTES {
                    return Poll::Ready(Some(Ok(Frame::data(std::mem::take(output).into()))));
                }
                if worked >= TURN_BYTES {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                continue;
            }
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(frame)) => match frame?.into_data() {
                    Ok(bytes) => self.input = bytes,
                    Err(frame) => {
                        self.trailers = frame.into_trailers().ok();
                        if let Some(rest) = self.finish()? {
                            return Poll::Ready(Some(Ok(Frame::data(rest))));
                        }
                    }
                },
                Poll::Ready(None) => {
                    if let Some(rest) = self.finish()? {
                        return Poll::Ready(Some(Ok(Frame::data(rest))));
                    }
                }
                Poll::Pending => {
                    if !std::mem::take(&mut self.held) {
                        return Poll::Pending;
                    }
                    encoder.flush().map_err(failed)?;
                    let output = encoder.output();
                    if output.is_empty() {
                        return Poll::Pending;
                    }
                    return Poll::Ready(Some(Ok(Frame::data(std::mem::take(output).into()))));
                }
            }
        }
    }

    /// The end of the compressed form, if there is any that did not go out.
    fn finish(&mut self) -> Result<Option<Bytes>, CallError> {
        let rest = self.encoder.take().map(Encoder::finish).transpose();
        let rest = rest.map_err(failed)?.unwrap_or_default();
        Ok((!rest.is_empty()).then(|| rest.into()))
    }
}

fn failed(error: io::Error) -> CallError {
    CallError::Failed(format!("a response could not be compressed: {error}"))
}

impl Encoder {
    /// One that has got nothing yet.
    ///
    /// # Errors
    /// There is no memory for it.
    pub(super) fn new(encoding: Encoding) -> io::Result<Self> {
        Ok(match encoding {
            Encoding::Gzip => Self::Gzip(GzEncoder::new(
                Vec::new(),
                flate2::Compression::new(GZIP_LEVEL),
            )),
            Encoding::Brotli => Self::Brotli(Box::new(brotli::CompressorWriter::new(
                Vec::new(),
                4096,
                BROTLI_LEVEL,
                WINDOW_LOG,
            ))),
            Encoding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.window_log(WINDOW_LOG)?;
                Self::Zstd(encoder)
            }
        })
    }

    fn write(&mut self, part: &[u8]) -> io::Result<()> {
        match self {
            Self::Gzip(encoder) => encoder.write_all(part),
            Self::Brotli(encoder) => encoder.write_all(part),
            Self::Zstd(encoder) => encoder.write_all(part),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Gzip(encoder) => encoder.flush(),
            Self::Brotli(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }

    /// What is compressed, as far as it doesn't wait for more.
    fn output(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Brotli(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
        }
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(encoder) => encoder.finish(),
            Self::Brotli(encoder) => Ok(encoder.into_inner()),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl fmt::Debug for Compressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressed").finish_non_exhaustive()
    }
}

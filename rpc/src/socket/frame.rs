//! The frames of a connection, as bytes and back.
//!
//! A frame is a length (of what follows it), a kind, its fields and, to its end, a payload. Numbers are little-endian.
//! Anything that is not exactly a frame ends the connection: both ends are ours.

mod fields;

use std::{borrow::Cow, sync::Arc};

use bytes::{Buf as _, BufMut as _, BytesMut};

use self::fields::{
    put_head, put_paths, put_text, put_trace, take_head, take_paths, take_text, take_trace,
};
use crate::{channel::Path, trace::TraceContext};

/// What both ends speak; another number is refused.
pub(super) const VERSION: u16 = 1;
/// The largest payload of a frame: others get their turn between two of them.
pub(super) const MAX_PART: usize = 256 << 10;
/// The most that may follow a frame's length.
pub(super) const MAX_FRAME: usize = MAX_PART + 16 * 1024;
/// The most that may follow the length of the first frame, when it is not known yet who sends it.
pub(super) const MAX_HELLO: usize = 4 * 1024;
/// The longest name of anything.
pub(super) const MAX_NAME: usize = 1024;

/// Which values of a call something is about. Also says whose number the call's is: the caller of a call sends its
/// parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Values {
    Params,
    Results,
}

/// What calls have in common, said once and numbered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Head {
    pub(super) instance: Arc<str>,
    pub(super) function: Arc<str>,
    /// Who is to answer.
    pub(super) target: Arc<str>,
    pub(super) source_id: Option<Arc<str>>,
    /// As the caller's context has it.
    pub(super) target_id: Option<Arc<str>>,
    pub(super) link_name: Option<Arc<str>>,
}

/// A frame without its payload.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Frame {
    /// The first of who connects; the payload is its token. `window`: what it takes on each channel.
    Hello { version: u16, window: u64 },
    /// The answer.
    Welcome { version: u16, window: u64 },
    /// The other answer, the last frame; the payload says why.
    Refused,
    /// All that was served when the connection was made has been told.
    Ready,
    /// The sender serves the target that the payload names.
    Here,
    /// It does so no more.
    Gone,
    /// What calls refer to by that number from now on.
    Head { number: u32, head: Head },
    /// A call. The payload is the beginning of the parameters, which have `total` bytes.
    Call {
        id: u64,
        head: u32,
        deadline_ms: u64,
        trace: Option<TraceContext>,
        total: u64,
        channels: Vec<Path>,
    },
    /// More of the parameters.
    Params { id: u64 },
    /// The beginning of the results. Without channels it is the callee's last word but for their rest.
    Results {
        id: u64,
        total: u64,
        channels: Vec<Path>,
    },
    /// More of the results.
    MoreResults { id: u64 },
    /// The call failed; the payload has the words.
    Failed { id: u64, kind: Cow<'static, str> },
    /// The caller gave up.
    Cancel { id: u64 },
    /// A chunk of a channel, which is named by its place among those announced.
    Data {
        values: Values,
        id: u64,
        channel: u8,
    },
    /// The channel's end.
    End {
        values: Values,
        id: u64,
        channel: u8,
    },
    /// The channel breaks off; the payload has the words.
    Broken {
        values: Values,
        id: u64,
        channel: u8,
        kind: Cow<'static, str>,
    },
    /// The channel's reader takes so many bytes in all.
    Grant {
        values: Values,
        id: u64,
        channel: u8,
        total: u64,
    },
    /// The channel's reader wants no more.
    Stop {
        values: Values,
        id: u64,
        channel: u8,
    },
}

/// Bytes that are no frame, or a frame that may not come here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Violation(pub(super) Cow<'static, str>);

impl Violation {
    pub(super) fn of(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl From<bytes::TryGetError> for Violation {
    fn from(_: bytes::TryGetError) -> Self {
        Self::of("a frame is shorter than its fields")
    }
}

impl Frame {
    /// Appends the frame but for its payload, which has so many bytes.
    pub(super) fn put(&self, payload: usize, out: &mut BytesMut) {
        let start = out.len();
        out.put_u32_le(0);
        self.put_fields(out);
        let length = out.len() - start - 4 + payload;
        // Fields are a few KiB at most, and payloads at most a part.
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    }

    fn put_fields(&self, out: &mut BytesMut) {
        match self {
            Self::Hello { version, window } => {
                out.put_u8(kind::HELLO);
                out.put_u16_le(*version);
                out.put_u64_le(*window);
            }
            Self::Welcome { version, window } => {
                out.put_u8(kind::WELCOME);
                out.put_u16_le(*version);
                out.put_u64_le(*window);
            }
            Self::Refused => out.put_u8(kind::REFUSED),
            Self::Ready => out.put_u8(kind::READY),
            Self::Here => out.put_u8(kind::HERE),
            Self::Gone => out.put_u8(kind::GONE),
            Self::Head { number, head } => {
                out.put_u8(kind::HEAD);
                out.put_u32_le(*number);
                put_head(head, out);
            }
            Self::Call {
                id,
                head,
                deadline_ms,
                trace,
                total,
                channels,
            } => {
                out.reserve(64);
                out.put_u8(kind::CALL);
                out.put_u64_le(*id);
                out.put_u32_le(*head);
                out.put_u64_le(*deadline_ms);
                out.put_u64_le(*total);
                put_paths(channels, out);
                put_trace(trace.as_ref(), out);
            }
            Self::Params { id } => put_id(kind::PARAMS, *id, out),
            Self::Results {
                id,
                total,
                channels,
            } => {
                put_id(kind::RESULTS, *id, out);
                out.put_u64_le(*total);
                put_paths(channels, out);
            }
            Self::MoreResults { id } => put_id(kind::MORE_RESULTS, *id, out),
            Self::Failed { id, kind } => {
                put_id(kind::FAILED, *id, out);
                put_text(kind, out);
            }
            Self::Cancel { id } => put_id(kind::CANCEL, *id, out),
            Self::Data {
                values,
                id,
                channel,
            } => put_channel(kind::DATA, *values, *id, *channel, out),
            Self::End {
                values,
                id,
                channel,
            } => put_channel(kind::END, *values, *id, *channel, out),
            Self::Broken {
                values,
                id,
                channel,
                kind,
            } => {
                put_channel(kind::BROKEN, *values, *id, *channel, out);
                put_text(kind, out);
            }
            Self::Grant {
                values,
                id,
                channel,
                total,
            } => {
                put_channel(kind::GRANT, *values, *id, *channel, out);
                out.put_u64_le(*total);
            }
            Self::Stop {
                values,
                id,
                channel,
            } => put_channel(kind::STOP, *values, *id, *channel, out),
        }
    }

    /// Reads what follows a frame's length. What is left in `bytes` then is the payload.
    ///
    /// # Errors
    /// [`Violation`] when it is no frame, or has a payload where none belongs.
    pub(super) fn take(bytes: &mut &[u8]) -> Result<Self, Violation> {
        let frame = match bytes.try_get_u8()? {
            kind::HELLO => Self::Hello {
                version: bytes.try_get_u16_le()?,
                window: bytes.try_get_u64_le()?,
            },
            kind::WELCOME => Self::Welcome {
                version: bytes.try_get_u16_le()?,
                window: bytes.try_get_u64_le()?,
            },
            kind::REFUSED => Self::Refused,
            kind::READY => Self::Ready,
            kind::HERE => Self::Here,
            kind::GONE => Self::Gone,
            kind::HEAD => Self::Head {
                number: bytes.try_get_u32_le()?,
                head: take_head(bytes)?,
            },
            kind::CALL => Self::Call {
                id: bytes.try_get_u64_le()?,
                head: bytes.try_get_u32_le()?,
                deadline_ms: bytes.try_get_u64_le()?,
                total: bytes.try_get_u64_le()?,
                channels: take_paths(bytes)?,
                trace: take_trace(bytes)?,
            },
            kind::PARAMS => Self::Params {
                id: bytes.try_get_u64_le()?,
            },
            kind::RESULTS => Self::Results {
                id: bytes.try_get_u64_le()?,
                total: bytes.try_get_u64_le()?,
                channels: take_paths(bytes)?,
            },
            kind::MORE_RESULTS => Self::MoreResults {
                id: bytes.try_get_u64_le()?,
            },
            kind::FAILED => Self::Failed {
                id: bytes.try_get_u64_le()?,
                kind: take_text(bytes)?.to_owned().into(),
            },
            kind::CANCEL => Self::Cancel {
                id: bytes.try_get_u64_le()?,
            },
            about @ (kind::DATA | kind::END | kind::BROKEN | kind::GRANT | kind::STOP) => {
                take_channel(about, bytes)?
            }
            _ => return Err(Violation::of("a frame is of no kind that is known")),
        };
        if !bytes.is_empty() && !frame.has_payload() {
            return Err(Violation::of("a frame goes on after its fields"));
        }
        Ok(frame)
    }

    /// Whether bytes of somebody's own may follow the fields.
    pub(super) fn has_payload(&self) -> bool {
        match self {
            Self::Hello { .. }
            | Self::Refused
            | Self::Here
            | Self::Gone
            | Self::Call { .. }
            | Self::Params { .. }
            | Self::Results { .. }
            | Self::MoreResults { .. }
            | Self::Failed { .. }
            | Self::Data { .. }
            | Self::Broken { .. } => true,
            Self::Welcome { .. }
            | Self::Ready
            | Self::Head { .. }
            | Self::Cancel { .. }
            | Self::End { .. }
            | Self::Grant { .. }
            | Self::Stop { .. } => false,
        }
    }
}

mod kind {
    pub(super) const HELLO: u8 = 1;
    pub(super) const WELCOME: u8 = 2;
    pub(super) const REFUSED: u8 = 3;
    pub(super) const READY: u8 = 4;
    pub(super) const HERE: u8 = 5;
    pub(super) const GONE: u8 = 6;
    pub(super) const HEAD: u8 = 7;
    pub(super) const CALL: u8 = 8;
    pub(super) const PARAMS: u8 = 9;
    pub(super) const RESULTS: u8 = 10;
    pub(super) const MORE_RESULTS: u8 = 11;
    pub(super) const FAILED: u8 = 12;
    pub(super) const CANCEL: u8 = 13;
    pub(super) const DATA: u8 = 14;
    pub(super) const END: u8 = 15;
    pub(super) const BROKEN: u8 = 16;
    pub(super) const GRANT: u8 = 17;
    pub(super) const STOP: u8 = 18;
}

fn put_id(kind: u8, id: u64, out: &mut BytesMut) {
    out.put_u8(kind);
    out.put_u64_le(id);
}

fn put_channel(kind: u8, values: Values, id: u64, channel: u8, out: &mut BytesMut) {
    out.put_u8(kind);
    out.put_u8(match values {
        Values::Params => 0,
        Values::Results => 1,
    });
    out.put_u64_le(id);
    out.put_u8(channel);
}

fn take_channel(about: u8, bytes: &mut &[u8]) -> Result<Frame, Violation> {
    let values = match bytes.try_get_u8()? {
        0 => Values::Params,
        1 => Values::Results,
        _ => {
            return Err(Violation::of(
                "a channel belongs to neither parameters nor results",
            ));
        }
    };
    let id = bytes.try_get_u64_le()?;
    let channel = bytes.try_get_u8()?;
    Ok(match about {
        kind::DATA => Frame::Data {
            values,
            id,
            channel,
        },
        kind::END => Frame::End {
            values,
            id,
            channel,
        },
        kind::BROKEN => Frame::Broken {
            values,
            id,
            channel,
            kind: take_text(bytes)?.to_owned().into(),
        },
        kind::GRANT => Frame::Grant {
            values,
            id,
            channel,
            total: bytes.try_get_u64_le()?,
        },
        _ => Frame::Stop {
            values,
            id,
            channel,
        },
    })
}

#[cfg(test)]
mod tests;

//! Frames out of a stream of bytes.

use std::{borrow::Cow, io};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::frame::{Frame, MAX_FRAME, Violation};

/// What is read at once, if there is so much.
const READ_BYTES: usize = 64 * 1024;
/// A payload up to here is copied out of what was read, which then can be used again; a larger one stays where it is.
const COPY_UP_TO: usize = 8 * 1024;
/// Frames from a socket.
pub(super) struct Frames<R> {
    socket: R,
    read: BytesMut,
    /// The most that may follow a frame's length.
    most: usize,
}

/// Why no frame came.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Violation(#[from] Violation),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the other side closed the connection")]
    Closed,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    pub(super) fn new(socket: R, most: usize) -> Self {
        Self {
            socket,
            read: BytesMut::new(),
            most,
        }
    }

    /// Lets frames have their full size, once it is known who sends them.
    pub(super) fn trust(&mut self) {
        self.most = MAX_FRAME;
    }

    /// The next frame and its payload.
    pub(super) async fn next(&mut self) -> Result<(Frame, Bytes), ReadError> {
        loop {
            if let Some(frame) = self.take()? {
                return Ok(frame);
            }
            let wanted = self.length().map_or(0, |length| length + 4);
            let room = wanted.saturating_sub(self.read.len());
            self.read.reserve(room.max(if self.read.capacity() == 0 {
                READ_BYTES
            } else {
                READ_BYTES / 4
            }));
            if self.socket.read_buf(&mut self.read).await? == 0 {
                return Err(ReadError::Closed);
            }
        }
    }

    /// How much follows the length at the beginning of what was read.
    fn length(&self) -> Option<usize> {
        let length = self.read.first_chunk::<4>()?;
        Some(u32::from_le_bytes(*length) as usize)
    }

    /// A frame out of what was read, if it is there whole.
    fn take(&mut self) -> Result<Option<(Frame, Bytes)>, Violation> {
        let Some(length) = self.length() else {
            return Ok(None);
        };
        if length > self.most {
            let most = self.most;
            return Err(Violation(Cow::Owned(format!(
                "a frame has {length} bytes, more than the {most} allowed"
            ))));
        }
        let Some(mut bytes) = self.read.get(4..4 + length) else {
            return Ok(None);
        };
        let frame = Frame::take(&mut bytes)?;
        let payload = bytes.len();
        if payload <= COPY_UP_TO {
            let payload = Bytes::copy_from_slice(bytes);
            self.read.advance(4 + length);
            return Ok(Some((frame, payload)));
        }
        self.read.advance(4 + length - payload);
        Ok(Some((frame, self.read.split_to(payload).freeze())))
    }
}

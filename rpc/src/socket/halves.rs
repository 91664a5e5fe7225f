//! A socket's two halves, each woken only for what it waits for.
//!
//! tokio's own `UnixStream` waits for both at once, and the kernel tells a Unix socket's writer that it may write each time
//! its peer has read something (`unix_write_space`): one wake-up for nothing with every message. So the reading half is
//! registered for reading alone, and the writing half only while there is no room to write.

use std::{
    io::{self, IoSlice},
    net::Shutdown,
    os::fd::OwnedFd,
};

use socket2::Socket;
use tokio::net::{UnixStream, unix::pipe};

/// A peer that is gone is an error, not a signal.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
const NO_SIGNAL: i32 = nix::libc::MSG_NOSIGNAL;
/// Elsewhere it is set on the socket itself, by the standard library.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
const NO_SIGNAL: i32 = 0;

/// The half that is read. Of tokio's kinds only a pipe's end is registered for one direction alone; it reads a socket as
/// it would a pipe.
pub(super) type Reads = pipe::Receiver;

/// The half that is written.
#[derive(Debug)]
pub(super) struct Writes {
    socket: Socket,
}

/// Parts a socket.
///
/// # Errors
/// The system has no descriptor left.
pub(super) fn split(socket: UnixStream) -> io::Result<(Reads, Writes)> {
    let socket = socket.into_std()?;
    let reads = OwnedFd::from(socket.try_clone()?);
    let writes = Writes {
        socket: OwnedFd::from(socket).into(),
    };
    Ok((pipe::Receiver::from_owned_fd_unchecked(reads)?, writes))
}

impl Writes {
    /// Writes as much as there is room for.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when there is none, or the connection is broken.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        again(|| self.socket.send_with_flags(bytes, NO_SIGNAL))
    }

    /// As [`Self::try_write`], of several pieces.
    ///
    /// # Errors
    /// As [`Self::try_write`].
    pub(super) fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        again(|| self.socket.send_vectored_with_flags(pieces, NO_SIGNAL))
    }

    /// Waits until there is room.
    ///
    /// # Errors
    /// The system has no descriptor left.
    pub(super) async fn writable(&self) -> io::Result<()> {
        // Another descriptor of the same socket: the reading half's is registered already.
        let waiting = OwnedFd::from(self.socket.try_clone()?);
        pipe::Sender::from_owned_fd_unchecked(waiting)?
            .writable()
            .await
    }

    /// Ends it in both directions, for the reading half too.
    ///
    /// # Errors
    /// The peer was first.
    pub(super) fn shutdown(&self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Both)
    }
}

/// What a signal interrupted is done again.
fn again(mut write: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match write() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{io::AsyncReadExt as _, time::timeout};

    use super::*;

    #[tokio::test]
    async fn who_finds_no_room_waits_for_it_and_what_is_read_is_what_was_written() {
        let (near, far) = UnixStream::pair().unwrap();
        let ((_, writes), (mut reads, _far)) = (split(near).unwrap(), split(far).unwrap());
        let bytes = vec![7; 64 * 1024];
        let mut written = 0;
        while let Ok(more) = writes.try_write(&bytes) {
            written += more;
        }
        let soon = Duration::from_millis(50);
        assert!(timeout(soon, writes.writable()).await.is_err());
        let mut got = vec![0; written];
        reads.read_exact(&mut got).await.unwrap();
        assert!(got.iter().all(|byte| *byte == 7));
        writes.writable().await.unwrap();
        assert_eq!(
            writes
                .try_write_vectored(&[IoSlice::new(b"a"), IoSlice::new(b"b")])
                .unwrap(),
            2
        );
    }

    #[tokio::test]
    async fn a_peer_that_is_gone_is_an_end_to_one_half_and_an_error_to_the_other() {
        let (near, far) = UnixStream::pair().unwrap();
        let (mut reads, writes) = split(near).unwrap();
        drop(far);
        assert_eq!(reads.read(&mut [0]).await.unwrap(), 0);
        let error = writes.try_write(b"a").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        // And who waits is told, rather than left waiting.
        writes.writable().await.unwrap();
    }

    #[tokio::test]
    async fn ending_it_ends_both_halves() {
        let (near, far) = UnixStream::pair().unwrap();
        let (mut reads, writes) = split(near).unwrap();
        let (mut theirs, _far) = split(far).unwrap();
        writes.shutdown().unwrap();
        assert_eq!(reads.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(theirs.read(&mut [0]).await.unwrap(), 0);
    }
}

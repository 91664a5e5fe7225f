//! What actors write to their standard streams goes to the host's log, line by line, within bounds.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use trellis_lattice::ComponentId;
use wasmtime_wasi::{
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamResult},
};

/// Longer lines are cut.
const MAX_LINE_BYTES: usize = 4096;
/// What one call may write; what comes after is counted and dropped.
const MAX_LINES: u32 = 1000;
/// How many lines make up the last words: a panic has a place and a message.
const LAST_LINES: usize = 2;
/// What a guest may write at once.
const WRITE_BYTES: usize = 64 << 10;

/// Which of the two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Stdout,
    Stderr,
}

/// One standard stream of one call. Clones share it.
#[derive(Clone)]
pub(super) struct Output(Arc<Mutex<Lines>>);

struct Lines {
    actor: ComponentId,
    kind: Kind,
    /// The line that is not at its end yet.
    partial: Vec<u8>,
    /// The end of the line is to be dropped: it was too long.
    skipping: bool,
    written: u32,
    dropped: u32,
    /// The last whole lines: with standard error, why a guest panicked.
    last: VecDeque<String>,
}

impl Output {
    pub(super) fn new(actor: &ComponentId, kind: Kind) -> Self {
        Self(Arc::new(Mutex::new(Lines {
            actor: actor.clone(),
            kind,
            partial: Vec::new(),
            skipping: false,
            written: 0,
            dropped: 0,
            last: VecDeque::new(),
        })))
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins anew, for another call of the same instance.
    pub(super) fn renew(&self) {
        let mut lines = self.lines();
        lines.end();
        (lines.skipping, lines.written, lines.dropped) = (false, 0, 0);
        lines.last.clear();
    }

    /// The last lines that were written, if any, as one.
    pub(super) fn last_words(&self) -> Option<String> {
        let mut lines = self.lines();
        lines.end_line();
        let words: Vec<_> = lines.last.drain(..).collect();
        (!words.is_empty()).then(|| words.join(" "))
    }
}

impl Lines {
    fn write(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.extend(&bytes[..end]);
            self.end_line();
            self.skipping = false;
            bytes = &bytes[end + 1..];
        }
        self.extend(bytes);
    }

    fn extend(&mut self, bytes: &[u8]) {
        if self.skipping {
            return;
        }
        let room = MAX_LINE_BYTES - self.partial.len();
        self.partial
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() > room {
            self.end_line();
            self.skipping = true;
        }
    }

    /// The call's end.
    fn end(&mut self) {
        self.end_line();
        if self.dropped > 0 {
            tracing::warn!(target: "trellis::actor", actor = %self.actor, dropped = self.dropped, "more lines than a call may log");
        }
    }

    fn end_line(&mut self) {
        if self.partial.is_empty() {
            return;
        }
        if self.written >= MAX_LINES {
            self.partial.clear();
            self.dropped += 1;
            return;
        }
        self.written += 1;
        let line = String::from_utf8_lossy(&self.partial).into_owned();
        self.partial.clear();
        match self.kind {
            Kind::Stdout => {
                tracing::info!(target: "trellis::actor", actor = %self.actor, stream = "stdout", "{line}")
            }
            Kind::Stderr => {
                tracing::info!(target: "trellis::actor", actor = %self.actor, stream = "stderr", "{line}")
            }
        }
        // What Rust says after every panic is no news to who cannot set the variable.
        if !line.starts_with("note: run with `RUST_BACKTRACE=") {
            if self.last.len() == LAST_LINES {
                self.last.pop_front();
            }
            self.last.push_back(line);
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.end();
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.lines().write(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

impl AsyncWrite for Output {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.lines().write(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output() -> Output {
        Output::new(&ComponentId::new("a").unwrap(), Kind::Stderr)
    }

    #[test]
    fn lines_come_whole_however_they_are_written() {
        let mut output = output();
        output.write(Bytes::from_static(b"one\ntw")).unwrap();
        output.write(Bytes::from_static(b"o")).unwrap();
        assert_eq!(output.last_words().as_deref(), Some("one two"));
        assert_eq!(output.last_words(), None);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let mut output = output();
        output.write(vec![b'x'; 3 * MAX_LINE_BYTES].into()).unwrap();
        output.write(Bytes::from_static(b"xxx")).unwrap();
        assert_eq!(output.last_words().unwrap().len(), MAX_LINE_BYTES);
        assert_eq!(output.last_words(), None);
    }

    #[test]
    fn a_flood_of_lines_is_dropped() {
        let mut output = output();
        output
            .write("line\n".repeat(MAX_LINES as usize + 5).into())
            .unwrap();
        assert_eq!(output.lines().written, MAX_LINES);
        assert_eq!(output.lines().dropped, 5);
    }
}

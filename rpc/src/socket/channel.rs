//! A stream or future on its way in: what has come of it, and that no more comes than was granted.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::frame::Violation;
use crate::{channel::Path, credit::cost, error::CallError, mailbox::Mailbox};

/// A stream or future on its way in.
#[derive(Debug)]
pub(super) struct Channel {
    path: Path,
    /// Its chunks.
    pub(super) chunks: Mailbox<Bytes>,
    progress: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    granted: u64,
    received: u64,
    taken: bool,
    ended: bool,
}

impl Channel {
    /// One that the other side may send so many bytes on before it is granted more.
    pub(super) fn new(path: Path, granted: u64) -> Self {
        let progress = Progress {
            granted,
            ..Progress::default()
        };
        Self {
            path,
            chunks: Mailbox::default(),
            progress: Mutex::new(progress),
        }
    }

    /// Whether it stands there among the values.
    pub(super) fn is_at(&self, path: &[u32]) -> bool {
        *self.path == *path
    }

    /// Takes it for its one reader; false if it has one.
    pub(super) fn take(&self) -> bool {
        !std::mem::replace(&mut self.lock().taken, true)
    }

    /// Lets the other side send so many bytes in all; to be said before it is told.
    pub(super) fn granted(&self, total: u64) {
        let mut progress = self.lock();
        progress.granted = progress.granted.max(total);
    }

    /// Takes in a chunk.
    pub(super) fn data(&self, chunk: Bytes) -> Result<(), Violation> {
        let cost = cost(&chunk);
        let mut progress = self.lock();
        if progress.ended {
            return Err(Violation::of("a channel goes on after its end"));
        }
        progress.received += cost as u64;
        if progress.received > progress.granted {
            return Err(Violation::of("more came on a channel than was granted"));
        }
        drop(progress);
        // What was granted is the bound.
        _ = self.chunks.push(chunk, cost, usize::MAX);
        Ok(())
    }

    /// Takes in the end.
    pub(super) fn end(&self, end: Result<(), CallError>) -> Result<(), Violation> {
        if std::mem::replace(&mut self.lock().ended, true) {
            return Err(Violation::of("a channel ends twice"));
        }
        self.chunks.end(end);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        // Nothing panics while holding it.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The objects of a container, folder by folder, each in the order of its names.

use std::{ffi::OsString, io};

use cap_std::fs::Dir;
use futures::stream;
use tokio::sync::mpsc;
use trellis_provider::{blobstore::Names, rpc::CallError};

use crate::names::OWN;

/// How many names go in one chunk.
const CHUNK: usize = 1000;
/// How many chunks may wait for their reader.
const AHEAD: usize = 2;
/// How deep folders may lie in each other: as deep as the longest name has slashes.
const MAX_DEPTH: usize = 512;

/// The names of a container's objects, without the first `offset`, at most `limit`. The folders are read while somebody
/// reads the names.
pub fn names(container: Dir, offset: u64, limit: Option<u64>) -> Names {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let work = tokio::task::spawn_blocking(move || {
        let mut walk = Walk {
            sender,
            chunk: Vec::new(),
            skip: offset,
            left: limit.unwrap_or(u64::MAX),
        };
        match walk.folder(&container, "", 0).and_then(|()| walk.send()) {
            Ok(()) | Err(Ended::Enough) => {}
            Err(Ended::Failed(error)) => {
                let error = CallError::Failed(format!("can't list: {}", error.kind()));
                // Nobody may read on.
                let _ = walk.sender.blocking_send(Err(error));
            }
        }
    });
    // It ends by itself when nobody reads any more: it can't send then.
    drop(work);
    Names(Box::pin(stream::unfold(receiver, |mut receiver| async {
        Some((receiver.recv().await?, receiver))
    })))
}

/// Why a walk ends early.
enum Ended {
    /// All that was asked for is sent, or nobody reads on.
    Enough,
    Failed(io::Error),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

struct Walk {
    sender: mpsc::Sender<Result<Vec<String>, CallError>>,
    chunk: Vec<String>,
    skip: u64,
    left: u64,
}

impl Walk {
    fn folder(&mut self, dir: &Dir, prefix: &str, depth: usize) -> Result<(), Ended> {
        let mut entries = Vec::new();
        for entry in dir.entries()? {
            let entry = entry?;
            entries.push((entry.file_name(), entry.file_type()?));
        }
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (file_name, kind) in entries {
            // What isn't UTF-8 no component could name; what is the provider's own is no object.
            let Some(name) = plain_name(&file_name) else {
                continue;
            };
            if kind.is_file() {
                self.found(format!("{prefix}{name}"))?;
            } else if kind.is_dir() && depth < MAX_DEPTH {
                let inside = match dir.open_dir(&file_name) {
                    // Deleted meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    opened => opened?,
                };
                self.folder(&inside, &format!("{prefix}{name}/"), depth + 1)?;
            }
        }
        Ok(())
    }

    fn found(&mut self, name: String) -> Result<(), Ended> {
        if self.skip > 0 {
            self.skip -= 1;
            return Ok(());
        }
        if self.left == 0 {
            self.send()?;
            return Err(Ended::Enough);
        }
        self.left -= 1;
        self.chunk.push(name);
        match self.chunk.len() {
            CHUNK.. => self.send(),
            _ => Ok(()),
        }
    }

    fn send(&mut self) -> Result<(), Ended> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::take(&mut self.chunk);
        self.sender
            .blocking_send(Ok(chunk))
            .map_err(|_| Ended::Enough)
    }
}

fn plain_name(name: &OsString) -> Option<&str> {
    name.to_str().filter(|name| !name.starts_with(OWN))
}

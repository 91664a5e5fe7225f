//! That one `trellis up` runs in a state's folder, and where: so that a second one says so, and other commands
//! find its NATS.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    time::Duration,
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::State;

/// How often to look whether the state's folder is still there.
const LOOK: Duration = Duration::from_secs(1);

/// What a running one says of itself.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Its process id.
    pub process: u32,
    /// Where its NATS is.
    pub nats_url: String,
    /// Its lattice.
    pub lattice: String,
    /// The seed of the NATS user that commands are to be, where its NATS wants one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed_file: Option<PathBuf>,
}

/// Held while a lattice is up; the system lets go of it when the process ends, however it ends.
pub struct Lock {
    file: File,
    path: PathBuf,
    note: PathBuf,
}

fn lock_path(state: &State) -> PathBuf {
    state.root().join("up.lock")
}

fn note_path(state: &State) -> PathBuf {
    state.root().join("up.json")
}

impl Lock {
    /// Takes it.
    ///
    /// # Errors
    /// Another one holds it.
    pub fn take(state: &State) -> anyhow::Result<Self> {
        // It makes the state's folder too.
        state.folder("logs")?;
        let path = lock_path(state);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path);
        let file = file.with_context(|| format!("file {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let who = match read(state) {
                    Some(running) => format!(
                        " (process {}, NATS at {})",
                        running.process, running.nats_url
                    ),
                    None => String::new(),
                };
                anyhow::bail!(
                    "a `trellis up` runs already in {}{who}: use it, end it, or name another folder with --state-dir",
                    state.root().display()
                );
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("file {}", path.display()));
            }
        }
        let lock = Self {
            file,
            path,
            note: note_path(state),
        };
        // What one left that crashed.
        lock.clear();
        Ok(lock)
    }

    /// Says where it runs.
    ///
    /// # Errors
    /// The note can't be written.
    pub fn tell(&self, running: &Running) -> anyhow::Result<()> {
        let text = serde_json::to_vec(running)?;
        fs::write(&self.note, text).with_context(|| format!("file {}", self.note.display()))
    }

    /// Says that it runs no more.
    pub fn clear(&self) {
        // In a folder made anew the note is another one's.
        if self.is_there() {
            let _ = fs::remove_file(&self.note);
        }
    }

    /// Waits until the state's folder is removed from under the lattice that keeps its state there; why it can't go
    /// on.
    pub async fn lost(&self) -> anyhow::Error {
        while self.is_there() {
            tokio::time::sleep(LOOK).await;
        }
        anyhow::anyhow!(
            "{} was removed while the lattice ran, and with it what NATS kept: start it again (`--fresh` forgets without removing keys)",
            self.path.parent().unwrap_or(&self.path).display()
        )
    }

    /// Whether the file that is held is still the one of that path.
    fn is_there(&self) -> bool {
        match (self.file.metadata(), fs::metadata(&self.path)) {
            (Ok(held), Ok(found)) => (held.dev(), held.ino()) == (found.dev(), found.ino()),
            (_, Err(error)) => error.kind() != io::ErrorKind::NotFound,
            _ => true,
        }
    }
}

fn read(state: &State) -> Option<Running> {
    serde_json::from_slice(&fs::read(note_path(state)).ok()?).ok()
}

/// The one that runs in this state's folder, if any.
pub fn find(state: &State) -> Option<Running> {
    let running = read(state)?;
    let file = File::open(lock_path(state)).ok()?;
    // Nobody holds it: the note is of one that crashed.
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Some(running),
        _ => None,
    }
}

/// Removes what an earlier one kept, but for keys.
///
/// # Errors
/// Something can't be removed.
pub fn forget(state: &State) -> anyhow::Result<()> {
    for name in ["nats", "host", "pops", "logs"] {
        let path = state.root().join(name);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("folder {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_runs_at_a_time_and_is_found_while_it_does() {
        let folder = tempfile::TempDir::new().unwrap();
        let state = State::at(&folder.path().join("state"));
        assert_eq!(find(&state), None);
        let lock = Lock::take(&state).unwrap();
        let running = Running {
            process: 7,
            nats_url: "nats://h:1".into(),
            lattice: "default".into(),
            seed_file: None,
        };
        lock.tell(&running).unwrap();
        let refused = Lock::take(&state).err().unwrap().to_string();
        assert!(
            refused.contains("process 7") && refused.contains("nats://h:1"),
            "{refused}"
        );
        assert_eq!(find(&state), Some(running));
        drop(lock);
        assert_eq!(find(&state), None, "its note alone is not enough");
        assert!(Lock::take(&state).is_ok());
    }

    #[tokio::test]
    async fn a_folder_that_is_removed_is_noticed() {
        let folder = tempfile::TempDir::new().unwrap();
        let state = State::at(&folder.path().join("state"));
        let lock = Lock::take(&state).unwrap();
        assert!(lock.is_there());
        fs::remove_dir_all(state.root()).unwrap();
        let next = Lock::take(&state).unwrap();
        let running = Running {
            process: 8,
            nats_url: "nats://h:2".into(),
            lattice: "default".into(),
            seed_file: None,
        };
        next.tell(&running).unwrap();
        let why = lock.lost().await.to_string();
        assert!(why.contains("state was removed"), "{why}");
        lock.clear();
        assert_eq!(find(&state), Some(running), "the next one's note stays");
    }
}

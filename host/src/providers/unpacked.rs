//! Programs of provider archives, unpacked for as long as they are wanted.
//!
//! Each run of a host has a folder of its own among `providers`, which goes when the run ends. One that was killed left its
//! own behind; the next run removes it. That it is nobody's any more is known by its lock, which ends with the process.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use uuid::Uuid;

/// Held while folders are looked through and made.
const LOOKING: &str = "lock";
/// In each run's folder: held while the run lasts.
const RUNNING: &str = "lock";

/// The folder of this run.
#[derive(Debug)]
pub(crate) struct Unpacking {
    folder: PathBuf,
    _running: File,
}

/// An unpacked program. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Unpacked {
    path: PathBuf,
    /// Goes after what is in it.
    _unpacking: Arc<Unpacking>,
}

impl Unpacking {
    /// Makes a folder below that one, and removes those of runs that have ended. Absolute, as a provider may be started from
    /// elsewhere.
    ///
    /// # Errors
    /// The folder can't be made or written to.
    pub(crate) fn within(folder: &Path) -> io::Result<Arc<Self>> {
        private(folder, true)?;
        let folder = folder.canonicalize()?;
        let looking = open(&folder.join(LOOKING))?;
        looking.lock()?;
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() && is_left(&path) {
                // Another host's of this user, perhaps with other rights; it takes room and does no harm.
                if let Err(error) = fs::remove_dir_all(&path) {
                    tracing::warn!(folder = %path.display(), %error, "programs of a host that was killed can't be removed");
                }
            }
        }
        let folder = folder.join(Uuid::new_v4().simple().to_string());
        private(&folder, false)?;
        let running = open(&folder.join(RUNNING))?;
        running.lock()?;
        Ok(Arc::new(Self {
            folder,
            _running: running,
        }))
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }

    /// Writes a program where only this user can read or run it, under a name of its own: one that lay there before could have
    /// been changed since it was verified.
    ///
    /// # Errors
    /// It can't be written; nothing of it is left.
    pub(crate) fn write(self: &Arc<Self>, program: &[u8]) -> io::Result<Arc<Unpacked>> {
        let unpacked = Unpacked {
            path: self.folder.join(Uuid::new_v4().simple().to_string()),
            _unpacking: self.clone(),
        };
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o700)
            .open(&unpacked.path)?
            .write_all(program)?;
        Ok(Arc::new(unpacked))
    }
}

impl Unpacked {
    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Unpacking {
    fn drop(&mut self) {
        // Else the next run does it.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn private(folder: &Path, with_parents: bool) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(with_parents)
        .mode(0o700)
        .create(folder)
}

fn open(lock: &Path) -> io::Result<File> {
    fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(lock)
}

/// Whether the run that made a folder has ended. To be asked while nobody makes one.
fn is_left(folder: &Path) -> bool {
    match File::open(folder.join(RUNNING)) {
        Ok(lock) => !matches!(lock.try_lock(), Err(TryLockError::WouldBlock)),
        // It was killed while it made it.
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn folders(of: &Path) -> usize {
        let entries = fs::read_dir(of).unwrap();
        entries
            .filter(|entry| entry.as_ref().unwrap().path().is_dir())
            .count()
    }

    #[test]
    fn a_program_is_there_as_long_as_it_is_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let unpacking = Unpacking::within(&folder.path().join("providers")).unwrap();
        let (one, same) = (
            unpacking.write(b"a").unwrap(),
            unpacking.write(b"a").unwrap(),
        );
        let path = one.path().to_owned();
        assert!(path.is_absolute() && path != same.path());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        drop(one);
        assert!(!path.exists() && same.path().exists());
        drop(unpacking);
        assert!(same.path().exists());
        drop(same);
        assert_eq!(folders(&folder.path().join("providers")), 0);
    }

    #[test]
    fn what_a_killed_host_left_goes_and_what_another_uses_stays() {
        let folder = tempfile::tempdir().unwrap();
        let other = Unpacking::within(folder.path()).unwrap();
        let theirs = other.write(b"theirs").unwrap();
        let killed = folder.path().join("killed");
        fs::create_dir(&killed).unwrap();
        fs::write(killed.join(RUNNING), "").unwrap();
        fs::write(killed.join("program"), "left").unwrap();
        fs::create_dir(folder.path().join("half-made")).unwrap();
        let ours = Unpacking::within(folder.path()).unwrap();
        assert_eq!(folders(folder.path()), 2);
        assert!(theirs.path().exists() && ours.path().exists());
    }
}

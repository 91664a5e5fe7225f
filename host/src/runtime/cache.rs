//! Compiled actors on disk, so that a host starts them without compiling again.
//!
//! A compiled actor is native code that runs with the host's rights, so an entry is used only when this host (or another
//! of the same user with the same folder) wrote it: every entry carries an HMAC-SHA-256 under a key that lies beside it,
//! readable by its owner alone. What fails the check is compiled again and overwritten, never run.

mod entry;
mod folder;

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use wasmtime::{Engine, component::Component};

use super::{
    error::{LoadError, RuntimeError},
    machine::remedy,
};
use entry::Refused;

/// SHA-256 of a component's bytes.
pub(super) type ContentHash = [u8; 32];

/// The cache of one engine.
pub(super) struct Cache {
    folder: PathBuf,
    key: [u8; 32],
    limit_bytes: u64,
    /// What the folder holds, as far as this host knows; others may share it.
    held_bytes: AtomicU64,
    /// What the compiled code depends on beside the component: wasmtime's version, settings, CPU features.
    engine_hash: u64,
}

impl Cache {
    /// Opens the folder, making it when it is not there.
    ///
    /// # Errors
    /// When it is open to other users or cannot be written; the error says what to do.
    pub(super) fn open(
        folder: &Path,
        limit_bytes: u64,
        engine: &Engine,
    ) -> Result<Self, RuntimeError> {
        folder::prepare(folder)?;
        let key = folder::key(folder)?;
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let cache = Self {
            folder: folder.to_owned(),
            key,
            limit_bytes,
            held_bytes: AtomicU64::new(0),
            engine_hash: hasher.finish(),
        };
        cache.evict();
        Ok(cache)
    }

    /// The compiled component, if it is there and ours: mapped, so that of its code only what runs takes memory, and that can
    /// be had from the file again.
    ///
    /// # Errors
    /// [`LoadError::NoRoom`]: the kernel grants no mapping or file for it.
    pub(super) fn get(
        &self,
        engine: &Engine,
        hash: &ContentHash,
    ) -> Result<Option<Component>, LoadError> {
        let path = self.path(hash);
        let entry = match entry::open(&path, &self.key, &self.bound_to(hash)) {
            Ok(entry) => entry,
            Err(Refused::NotThere) => return Ok(None),
            Err(Refused::Untrusted(why)) => {
                tracing::warn!(file = %path.display(), why, "ignoring a compiled actor that this host did not write, compiling again");
                return Ok(None);
            }
            Err(Refused::Io(error)) => {
                if let Some(remedy) = remedy(&error.to_string()) {
                    return Err(LoadError::NoRoom(remedy));
                }
                tracing::warn!(file = %path.display(), %error, "cannot read a compiled actor, compiling again");
                return Ok(None);
            }
        };
        // SAFETY: the file holds exactly what `Component::serialize` gave an engine with this compatibility hash in a process
        // that holds our key: its MAC, which covers its bytes and that hash, was just checked, and the path leads to the very
        // file that was checked, which nobody but this user can write to and nobody of us does (see `Verified`).
        match unsafe { Component::deserialize_file(engine, entry.path()) } {
            Ok(component) => {
                if let Err(error) = entry.touch() {
                    tracing::debug!(file = %path.display(), %error, "cannot mark a compiled actor as used");
                }
                Ok(Some(component))
            }
            Err(error) => {
                let error = format!("{error:#}");
                if let Some(remedy) = remedy(&error) {
                    return Err(LoadError::NoRoom(remedy));
                }
                tracing::warn!(file = %path.display(), error, "a compiled actor cannot be mapped, compiling again");
                Ok(None)
            }
        }
    }

    /// Keeps a compiled component. Failing to is no error for who wants to run it: it is logged.
    pub(super) fn put(&self, hash: &ContentHash, component: &Component) {
        let path = self.path(hash);
        let written = component
            .serialize()
            .map_err(|error| std::io::Error::other(error.to_string()))
            .and_then(|code| entry::write(&path, &self.key, &self.bound_to(hash), &code));
        match written {
            Ok(bytes) => {
                // Looking through the folder takes longer the more it holds.
                if self.held_bytes.fetch_add(bytes, Relaxed) + bytes > self.limit_bytes {
                    self.evict();
                }
            }
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "cannot keep a compiled actor")
            }
        }
    }

    fn path(&self, hash: &ContentHash) -> PathBuf {
        let name = data_encoding::HEXLOWER.encode(hash);
        self.folder.join(format!(
            "{name}-{:016x}.{}",
            self.engine_hash,
            entry::EXTENSION
        ))
    }

    /// What an entry's MAC covers beside its content, so that one cannot stand in for another.
    fn bound_to(&self, hash: &ContentHash) -> [u8; 40] {
        let mut bound = [0; 40];
        bound[..32].copy_from_slice(hash);
        bound[32..].copy_from_slice(&self.engine_hash.to_le_bytes());
        bound
    }

    fn evict(&self) {
        match folder::evict(&self.folder, self.limit_bytes) {
            Ok(left) => self.held_bytes.store(left, Relaxed),
            Err(error) => {
                tracing::warn!(folder = %self.folder.display(), %error, "cannot tidy the cache of compiled actors");
            }
        }
    }
}

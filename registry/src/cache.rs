//! Pulled content on disk: known by its digest, bound in bytes. What was not used for longest goes first, what is in use
//! stays.
//!
//! A folder of its own for each host: files named `sha256-…`, those that are on their way with `.partial` behind it, and in
//! `references` what references meant when their registry was last asked.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use crate::{Digest, Reference, Resolved};

const PREFIX: &str = "sha256-";
const PARTIAL: &str = ".partial";
const REFERENCES: &str = "references";
/// How many references are remembered.
const MAX_REFERENCES: usize = 1000;

/// A folder of content.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    limit_bytes: u64,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    by_digest: HashMap<Digest, Entry>,
    /// Grows with every use.
    uses: u64,
}

#[derive(Debug)]
struct Entry {
    /// What it takes on the disk; while it is held, what it may come to take.
    size: u64,
    /// When it was used last, in uses.
    used: u64,
    /// How many hold it.
    held: usize,
}

/// A cache that can't take something.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// Its folder can't be used.
    #[error("the image cache {}: {source}", path.display())]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is in use leaves no room.
    #[error(
        "its {size} bytes don't fit into the image cache: {held} of its {limit} bytes are of what runs (for a host: --registry-cache-bytes)"
    )]
    Full {
        /// How much is asked for.
        size: u64,
        /// How much can't be removed.
        held: u64,
        /// The bound.
        limit: u64,
    },
}

impl Cache {
    /// Opens a folder, which is made for this user alone where it isn't there. What is more than `limit_bytes` in it is
    /// removed.
    ///
    /// # Errors
    /// The folder can't be made or read.
    pub fn open(folder: &Path, limit_bytes: u64) -> Result<Arc<Self>, CacheError> {
        let failed = |source| CacheError::Folder {
            path: folder.to_owned(),
            source,
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder.join(REFERENCES))
            .map_err(failed)?;
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let metadata = entry.metadata().map_err(failed)?;
            if let Some(digest) = digest_of(&name)
                && metadata.is_file()
            {
                let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                found.push((modified, digest, metadata.len()));
            }
        }
        found.sort_by_key(|&(modified, ..)| modified);
        let mut entries = Entries::default();
        for (_, digest, size) in found {
            let used = entries.next_use();
            let entry = entries.by_digest.entry(digest).or_insert(Entry {
                size: 0,
                used,
                held: 0,
            });
            entry.size += size;
            entry.used = used;
        }
        let cache = Self {
            folder: folder.to_owned(),
            limit_bytes,
            entries: Mutex::new(entries),
        };
        cache.make_room(&mut cache.entries(), None, 0)?;
        Ok(Arc::new(cache))
    }

    /// Holds content of so many bytes, there or not: while it is held it is not removed, and has its room.
    ///
    /// # Errors
    /// What is in use leaves no room, or what is in the way can't be removed.
    pub fn hold(self: &Arc<Self>, digest: Digest, size: u64) -> Result<Held, CacheError> {
        let mut entries = self.entries();
        self.make_room(&mut entries, Some(digest), size)?;
        let used = entries.next_use();
        let entry = entries.by_digest.entry(digest).or_insert(Entry {
            size,
            used,
            held: 0,
        });
        entry.size = entry.size.max(size);
        entry.used = used;
        entry.held += 1;
        drop(entries);
        let held = Held {
            path: self.folder.join(format!("{PREFIX}{}", digest.hex())),
            cache: self.clone(),
            digest,
        };
        // So that the order of use outlives the process. It is a hint: that it can't be written changes little.
        if let Ok(file) = fs::File::options().append(true).open(&held.path) {
            let _ = file.set_modified(SystemTime::now());
        }
        Ok(held)
    }

    /// How many bytes it takes, with those that it may come to take for what is on its way.
    pub fn bytes(&self) -> u64 {
        let entries = self.entries();
        entries.by_digest.values().map(|entry| entry.size).sum()
    }

    /// Removes what was not used for longest, until content of `size` bytes fits in.
    fn make_room(
        &self,
        entries: &mut Entries,
        digest: Option<Digest>,
        size: u64,
    ) -> Result<(), CacheError> {
        let others = |(other, _): &(&Digest, &Entry)| Some(**other) != digest;
        let sum = |held_only: bool| -> u64 {
            let others = entries.by_digest.iter().filter(others);
            others
                .filter(|(_, entry)| !held_only || entry.held > 0)
                .map(|(_, entry)| entry.size)
                .sum()
        };
        let held = sum(true);
        if held.saturating_add(size) > self.limit_bytes {
            return Err(CacheError::Full {
                size,
                held,
                limit: self.limit_bytes,
            });
        }
        let mut taken = sum(false);
        let mut unused: Vec<_> = entries
            .by_digest
            .iter()
            .filter(others)
            .filter(|(_, entry)| entry.held == 0)
            .map(|(digest, entry)| (entry.used, *digest, entry.size))
            .collect();
        unused.sort_unstable_by_key(|&(used, ..)| used);
        for (_, digest, freed) in unused {
            if taken.saturating_add(size) <= self.limit_bytes {
                break;
            }
            self.remove(&digest)?;
            entries.by_digest.remove(&digest);
            tracing::debug!(%digest, freed, "removed from the image cache");
            taken = taken.saturating_sub(freed);
        }
        Ok(())
    }

    fn remove(&self, digest: &Digest) -> Result<(), CacheError> {
        let whole = self.folder.join(format!("{PREFIX}{}", digest.hex()));
        for path in [partial_of(&whole), whole] {
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(CacheError::Folder { path, source });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Remembers what a reference means. It is no error that it can't be: then its registry is asked the next time.
    pub fn remember(&self, reference: &Reference, resolved: &Resolved) {
        let path = self.reference_file(reference);
        if self.recall(reference).as_ref() == Some(resolved) {
            return;
        }
        let written = serde_json::to_vec(resolved)
            .map_err(io::Error::other)
            .and_then(|json| {
                let partial = partial_of(&path);
                fs::write(&partial, json)?;
                fs::rename(&partial, &path)?;
                forget_some(&self.folder.join(REFERENCES))
            });
        if let Err(error) = written {
            tracing::debug!(%reference, %error, "what the reference means is not remembered");
        }
    }

    /// What a reference meant when it was remembered.
    pub fn recall(&self, reference: &Reference) -> Option<Resolved> {
        let json = fs::read(self.reference_file(reference)).ok()?;
        serde_json::from_slice(&json).ok()
    }

    fn reference_file(&self, reference: &Reference) -> PathBuf {
        let name = Digest::of(reference.to_string().as_bytes()).hex();
        self.folder.join(REFERENCES).join(name)
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn next_use(&mut self) -> u64 {
        self.uses += 1;
        self.uses
    }
}

/// Content that is in use, from when it is to come until nobody needs it.
#[derive(Debug)]
pub struct Held {
    cache: Arc<Cache>,
    digest: Digest,
    path: PathBuf,
}

impl Held {
    /// Where the content is when it is there.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where it is while it comes.
    pub fn partial(&self) -> PathBuf {
        partial_of(&self.path)
    }

    /// Whether it is there; that it is still what its digest says must be looked at.
    pub fn is_there(&self) -> bool {
        self.path.is_file()
    }

    /// Takes over what has come, all of it and verified.
    ///
    /// # Errors
    /// It can't be moved.
    pub fn keep(&self) -> Result<(), CacheError> {
        fs::rename(self.partial(), &self.path).map_err(|source| self.failed(source))
    }

    /// Removes what is there and is not what its digest says.
    ///
    /// # Errors
    /// It can't be removed.
    pub fn discard(&self) -> Result<(), CacheError> {
        fs::remove_file(&self.path).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> CacheError {
        CacheError::Folder {
            path: self.path.clone(),
            source,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut entries = self.cache.entries();
        let Some(entry) = entries.by_digest.get_mut(&self.digest) else {
            return;
        };
        entry.held = entry.held.saturating_sub(1);
        if entry.held > 0 {
            return;
        }
        // What didn't come takes no room.
        let size = [self.path.clone(), self.partial()]
            .iter()
            .filter_map(|path| fs::metadata(path).ok())
            .map(|metadata| metadata.len())
            .sum();
        if size == 0 {
            entries.by_digest.remove(&self.digest);
        } else {
            entry.size = size;
        }
    }
}

fn partial_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(PARTIAL);
    name.into()
}

fn digest_of(name: &str) -> Option<Digest> {
    let hex = name.strip_prefix(PREFIX)?;
    let hex = hex.strip_suffix(PARTIAL).unwrap_or(hex);
    format!("sha256:{hex}").parse().ok()
}

/// Removes the oldest files of a folder that has too many.
fn forget_some(folder: &Path) -> io::Result<()> {
    let mut files = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    let Some(excess) = files.len().checked_sub(MAX_REFERENCES) else {
        return Ok(());
    };
    files.sort_by_key(|file| file.metadata().and_then(|file| file.modified()).ok());
    for file in files.iter().take(excess) {
        fs::remove_file(file.path())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Content, Kind};

    fn put(cache: &Arc<Cache>, content: &[u8]) -> Held {
        let held = cache
            .hold(Digest::of(content), content.len() as u64)
            .unwrap();
        fs::write(held.partial(), content).unwrap();
        held.keep().unwrap();
        held
    }

    fn is_there(cache: &Cache, content: &[u8]) -> bool {
        let name = format!("{PREFIX}{}", Digest::of(content).hex());
        cache.folder.join(name).is_file()
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first_and_what_is_in_use_stays() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), 100).unwrap();
        let (a, b, c) = ([1; 40], [2; 40], [3; 40]);
        let in_use = put(&cache, &a);
        drop(put(&cache, &b));
        assert_eq!(cache.bytes(), 80);
        drop(put(&cache, &c));
        assert!(is_there(&cache, &a) && !is_there(&cache, &b) && is_there(&cache, &c));
        assert_eq!(cache.bytes(), 80);
        let full = cache.hold(Digest::of(b"x"), 61).unwrap_err().to_string();
        assert!(full.contains("40 of its 100 bytes"), "{full}");
        // Nothing was removed for what doesn't fit anyway.
        assert!(is_there(&cache, &c));
        drop(in_use);
        drop(put(&cache, &[4; 100]));
        assert!(!is_there(&cache, &a) && !is_there(&cache, &c));
    }

    #[test]
    fn it_is_found_again_and_cut_to_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), 100).unwrap();
        for (content, age) in [([1; 40], 2), ([2; 40], 1)] {
            let held = put(&cache, &content);
            let file = fs::File::options().append(true).open(held.path()).unwrap();
            let modified = SystemTime::now() - std::time::Duration::from_secs(age * 60);
            file.set_modified(modified).unwrap();
        }
        drop(cache);
        assert_eq!(Cache::open(folder.path(), 100).unwrap().bytes(), 80);
        let cache = Cache::open(folder.path(), 79).unwrap();
        assert_eq!(cache.bytes(), 40);
        assert!(!is_there(&cache, &[1; 40]) && is_there(&cache, &[2; 40]));
    }

    #[test]
    fn what_did_not_come_takes_no_room() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), 100).unwrap();
        let held = cache.hold(Digest::of(b"x"), 90).unwrap();
        assert_eq!(cache.bytes(), 90);
        assert!(cache.hold(Digest::of(b"y"), 20).is_err());
        fs::write(held.partial(), [0; 30]).unwrap();
        drop(held);
        assert_eq!(cache.bytes(), 30);
        // It comes on where it was, until its room is needed.
        assert!(
            cache
                .hold(Digest::of(b"x"), 90)
                .unwrap()
                .partial()
                .is_file()
        );
        drop(cache.hold(Digest::of(b"y"), 80).unwrap());
        assert_eq!(cache.bytes(), 0);
    }

    #[test]
    fn references_are_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), 100).unwrap();
        let reference: Reference = "r.test/a:1".parse().unwrap();
        assert_eq!(cache.recall(&reference), None);
        let mut resolved = Resolved {
            manifest: Digest::of(b"m"),
            content: Content {
                kind: Kind::Component,
                digest: Digest::of(b"c"),
                size: 1,
            },
        };
        cache.remember(&reference, &resolved);
        resolved.content.size = 2;
        cache.remember(&reference, &resolved);
        drop(cache);
        let cache = Cache::open(folder.path(), 100).unwrap();
        assert_eq!(cache.recall(&reference), Some(resolved));
        assert_eq!(cache.recall(&"r.test/a:2".parse().unwrap()), None);
    }
}

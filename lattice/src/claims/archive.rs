//! Provider archives, `.par.gz` by habit: a tar, plain or gzipped, with `claims.jwt` and one
//! `{arch}-{os}.bin` for each machine kind (`wasmcloud-v1.md`, Providers).
//!
//! Nothing is written to disk here, and only these two kinds of names are taken from an archive.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
};

use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    error::ClaimsError, keys::shorten, provider::ProviderMetadata, token::MAX_TOKEN_BYTES,
};

/// The most an archive may hold, unpacked.
pub const MAX_ARCHIVE_BYTES: u64 = 1024 * 1024 * 1024;
/// The largest single binary.
pub const MAX_PROVIDER_BYTES: u64 = 512 * 1024 * 1024;
/// The most entries.
pub const MAX_ENTRIES: usize = 64;

const CLAIMS: &str = "claims.jwt";
const BINARY_SUFFIX: &str = ".bin";
pub(super) const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// An archive that can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Not a tar.
    #[error("not a provider archive: {source}")]
    Unreadable {
        /// What the reader said.
        source: io::Error,
    },
    /// No binary in it.
    #[error("not a provider archive: there is no {{arch}}-{{os}}.bin in it")]
    Empty,
    /// Too much in it.
    #[error("provider archive: {what}, more than the {limit} allowed")]
    TooLarge {
        /// What there is too much of.
        what: String,
        /// The bound.
        limit: u64,
    },
    /// An entry that has no place in an archive.
    #[error("provider archive: entry {name:?} {problem}")]
    BadEntry {
        /// Its name, shortened.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Not for this machine.
    #[error("the provider archive has no binary for {target}; it has: {}", present.join(", "))]
    NoSuchTarget {
        /// This machine's kind.
        target: String,
        /// What is there.
        present: Vec<String>,
    },
    /// Writing failed.
    #[error("provider archive can't be written: {source}")]
    Unwritable {
        /// Why.
        source: io::Error,
    },
}

/// This machine's kind, as archives name it: `x86_64-linux`.
pub fn this_target() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}

/// Which binaries to keep in memory; all are hashed.
#[derive(Clone, Copy, Debug)]
pub enum Keep<'a> {
    /// One target's.
    Target(&'a str),
    /// All.
    All,
    /// None.
    None,
}

/// One binary of an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ArchivedBinary {
    /// SHA-256 in upper-case hexadecimal.
    pub sha256: String,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its content, where it was kept.
    #[serde(skip)]
    pub content: Option<Vec<u8>>,
}

/// An archive taken apart; nothing in it is verified yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderArchive {
    /// The claims, where there are any.
    pub token: Option<String>,
    /// The binaries by target.
    pub binaries: BTreeMap<String, ArchivedBinary>,
}

impl ProviderArchive {
    /// Reads an archive. Files of other names are ignored: 1.x puts its interfaces beside the binaries.
    ///
    /// # Errors
    /// When it is no archive, holds too much, or an entry lies in a folder, is a link, or is there twice.
    pub fn read(mut source: impl Read, keep: Keep<'_>) -> Result<Self, ArchiveError> {
        let mut magic = Vec::with_capacity(GZIP_MAGIC.len());
        source
            .by_ref()
            .take(GZIP_MAGIC.len() as u64)
            .read_to_end(&mut magic)
            .map_err(unreadable)?;
        let zipped = magic == GZIP_MAGIC;
        let whole = io::Cursor::new(magic).chain(source);
        if zipped {
            Self::read_tar(MultiGzDecoder::new(whole), keep)
        } else {
            Self::read_tar(whole, keep)
        }
    }

    fn read_tar(source: impl Read, keep: Keep<'_>) -> Result<Self, ArchiveError> {
        let mut tar = tar::Archive::new(Bounded {
            source,
            left: MAX_ARCHIVE_BYTES,
        });
        let mut archive = Self::default();
        // Raw: the reader would take a long name of any length into memory. No name looked for is long.
        for (index, entry) in tar.entries().map_err(unreadable)?.raw(true).enumerate() {
            let mut entry = entry.map_err(unreadable)?;
            if index == MAX_ENTRIES {
                return Err(too_large("more entries", MAX_ENTRIES as u64));
            }
            let kind = entry.header().entry_type();
            if kind.is_dir() || is_extension(kind) {
                continue;
            }
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let name = plain_name(&path)?;
            if !kind.is_file() {
                return Err(bad_entry(&path, "is a link or a device, not a file"));
            }
            if name == CLAIMS {
                let text = archive.read_claims(&mut entry)?;
                archive.token = Some(text);
            } else if let Some(target) = name.strip_suffix(BINARY_SUFFIX) {
                let keep = match keep {
                    Keep::Target(wanted) => wanted == target,
                    Keep::All => true,
                    Keep::None => false,
                };
                let binary = read_binary(&mut entry, name, keep)?;
                if archive.binaries.insert(target.to_owned(), binary).is_some() {
                    return Err(bad_entry(name, "is there twice"));
                }
            }
        }
        if archive.binaries.is_empty() {
            Err(ArchiveError::Empty)
        } else {
            Ok(archive)
        }
    }

    fn read_claims(&self, entry: &mut impl Read) -> Result<String, ArchiveError> {
        if self.token.is_some() {
            return Err(bad_entry(CLAIMS, "is there twice"));
        }
        let mut text = Vec::new();
        entry
            .take(MAX_TOKEN_BYTES as u64 + 1)
            .read_to_end(&mut text)
            .map_err(unreadable)?;
        if text.len() > MAX_TOKEN_BYTES {
            return Err(too_large("a larger claims.jwt", MAX_TOKEN_BYTES as u64));
        }
        let text = String::from_utf8(text).map_err(|_| bad_entry(CLAIMS, "is not text"))?;
        Ok(text.trim_end().to_owned())
    }

    /// Whether every binary is one that was signed.
    ///
    /// # Errors
    /// [`ClaimsError::UnlistedBinary`] or [`ClaimsError::HashMismatch`] for the first that isn't.
    pub fn check_hashes(&self, signed: &ProviderMetadata) -> Result<(), ClaimsError> {
        self.binaries
            .iter()
            .try_for_each(|(target, binary)| signed.check_hash(target, &binary.sha256))
    }

    /// Takes one target's binary out, with its hash. It must have been kept when reading.
    ///
    /// # Errors
    /// [`ArchiveError::NoSuchTarget`] lists what is there.
    pub fn take_binary(&mut self, target: &str) -> Result<(String, Vec<u8>), ArchiveError> {
        match self
            .binaries
            .get_mut(target)
            .and_then(|b| Some((b.sha256.clone(), b.content.take()?)))
        {
            Some(taken) => Ok(taken),
            None => Err(ArchiveError::NoSuchTarget {
                target: target.into(),
                present: self.binaries.keys().cloned().collect(),
            }),
        }
    }
}

/// What describes the entry after it: long names, times, owners.
fn is_extension(kind: tar::EntryType) -> bool {
    kind.is_gnu_longname()
        || kind.is_gnu_longlink()
        || kind.is_pax_global_extensions()
        || kind.is_pax_local_extensions()
}

fn read_binary(
    entry: &mut impl Read,
    name: &str,
    keep: bool,
) -> Result<ArchivedBinary, ArchiveError> {
    let mut content = Vec::new();
    let mut hasher = Sha256::new();
    let mut size_bytes = 0;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = match entry.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreadable(error)),
        };
        size_bytes += count as u64;
        if size_bytes > MAX_PROVIDER_BYTES {
            return Err(too_large(&format!("a larger {name}"), MAX_PROVIDER_BYTES));
        }
        let chunk = buffer.get(..count).unwrap_or_default();
        hasher.update(chunk);
        if keep {
            content.extend_from_slice(chunk);
        }
    }
    let sha256 = data_encoding::HEXUPPER.encode(&hasher.finalize());
    Ok(ArchivedBinary {
        sha256,
        size_bytes,
        content: keep.then_some(content),
    })
}

/// The name of a file at the archive's top; tools write `./name` too.
fn plain_name(path: &str) -> Result<&str, ArchiveError> {
    let name = path.strip_prefix("./").unwrap_or(path);
    if name.is_empty() || name.contains(['/', '\\', '\0']) || [".", ".."].contains(&name) {
        return Err(bad_entry(
            path,
            "is not a plain file name at the archive's top",
        ));
    }
    Ok(name)
}

/// Writes an archive; the same content makes the same bytes.
///
/// # Errors
/// When there is no binary, a target isn't `{arch}-{os}`, or a binary is too large.
pub fn write<'a>(
    token: &str,
    binaries: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    gzip: bool,
) -> Result<Vec<u8>, ArchiveError> {
    let mut tar = tar::Builder::new(Vec::new());
    append(&mut tar, CLAIMS, 0o644, token.as_bytes())?;
    let mut binaries = binaries.into_iter().peekable();
    if binaries.peek().is_none() {
        return Err(ArchiveError::Empty);
    }
    for (target, content) in binaries {
        check_target(target)?;
        let name = format!("{target}{BINARY_SUFFIX}");
        if content.len() as u64 > MAX_PROVIDER_BYTES {
            return Err(too_large(&format!("a larger {name}"), MAX_PROVIDER_BYTES));
        }
        append(&mut tar, &name, 0o755, content)?;
    }
    let plain = tar.into_inner().map_err(unwritable)?;
    if !gzip {
        return Ok(plain);
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder
        .write_all(&plain)
        .and_then(|()| encoder.finish())
        .map_err(unwritable)
}

fn append(
    tar: &mut tar::Builder<Vec<u8>>,
    name: &str,
    mode: u32,
    content: &[u8],
) -> Result<(), ArchiveError> {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(mode);
    tar.append_data(&mut header, name, content)
        .map_err(unwritable)
}

/// `{arch}-{os}`: two words of letters, digits and underscores.
fn check_target(target: &str) -> Result<(), ArchiveError> {
    let is_word = |word: &str| {
        !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    match target.split_once('-') {
        Some((arch, os)) if is_word(arch) && is_word(os) => Ok(()),
        _ => Err(bad_entry(
            target,
            "is not {arch}-{os}, such as x86_64-linux",
        )),
    }
}

/// A reader that fails, rather than ends, beyond its bound: a truncated archive must not look whole.
struct Bounded<R> {
    source: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            io::Error::other(format!(
                "it holds more than the {MAX_ARCHIVE_BYTES} bytes allowed"
            ))
        })?;
        Ok(count)
    }
}

fn unreadable(source: io::Error) -> ArchiveError {
    ArchiveError::Unreadable { source }
}

fn unwritable(source: io::Error) -> ArchiveError {
    ArchiveError::Unwritable { source }
}

fn bad_entry(name: &str, problem: &'static str) -> ArchiveError {
    ArchiveError::BadEntry {
        name: shorten(name),
        problem,
    }
}

fn too_large(what: &str, limit: u64) -> ArchiveError {
    ArchiveError::TooLarge {
        what: what.into(),
        limit,
    }
}

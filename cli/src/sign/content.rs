//! What a file to sign is: a component or a provider archive. Looked at before any key is made for it.

use std::{fs, path::Path};

use anyhow::Context as _;
use trellis_lattice::claims::{
    ArchiveError, ClaimsError, ProviderArchive, World,
    archive::{Keep, MAX_ARCHIVE_BYTES},
};

/// What claims can be put into.
pub enum Content {
    /// A component's bytes.
    Component(Vec<u8>),
    /// A provider's archive, taken apart.
    Archive {
        /// Its binaries and claims.
        archive: ProviderArchive,
        /// Whether it was compressed.
        gzip: bool,
    },
}

impl Content {
    /// Reads a file.
    ///
    /// # Errors
    /// As [`read`]; it is neither of the two, or broken.
    pub fn of(file: &Path) -> anyhow::Result<Self> {
        let bytes = read(file)?;
        Self::recognize(bytes).with_context(|| format!("file {}", file.display()))
    }

    fn recognize(bytes: Vec<u8>) -> anyhow::Result<Self> {
        if bytes.starts_with(b"\0asm") {
            // A core module is told so here.
            World::read(&bytes)?;
            return Ok(Self::Component(bytes));
        }
        let gzip = bytes.starts_with(&[0x1f, 0x8b]);
        match ProviderArchive::read(bytes.as_slice(), Keep::All) {
            Ok(archive) => Ok(Self::Archive { archive, gzip }),
            // What a tar's reader says of a file that isn't one helps nobody.
            Err(ArchiveError::Unreadable { .. } | ArchiveError::Empty) if !gzip => {
                Err(ClaimsError::Unrecognized.into())
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Reads a component or an archive whole.
///
/// # Errors
/// It can't be read, or is larger than any of them may be.
pub fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let named = || format!("file {}", file.display());
    let metadata = fs::metadata(file).with_context(named)?;
    // A pipe or a device may never end.
    if !metadata.is_file() {
        anyhow::bail!("file {}: not a regular file", file.display());
    }
    let size = metadata.len();
    if size > MAX_ARCHIVE_BYTES {
        anyhow::bail!(
            "file {}: {size} bytes, more than the {MAX_ARCHIVE_BYTES} allowed",
            file.display()
        );
    }
    fs::read(file).with_context(named)
}

//! One entry: a mark, a MAC, and the compiled code.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// What entries' names end with.
pub(super) const EXTENSION: &str = "trellis-code";
/// What files being written end with.
pub(super) const PARTIAL: &str = "partial";

const MARK: &[u8; 8] = b"TRLSAOT1";
const HEADER_BYTES: usize = MARK.len() + 32;
/// No compiled actor is larger: a component of the largest allowed size compiles to a few times its own.
const MAX_BYTES: u64 = 1 << 30;

/// Why an entry is not used.
pub(super) enum Refused {
    NotThere,
    Untrusted(&'static str),
    Io(io::Error),
}

/// Code whose MAC was checked.
pub(super) struct Verified {
    file: Vec<u8>,
}

impl Verified {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.file[HEADER_BYTES..]
    }
}

/// Reads an entry and checks it. The bytes checked are those returned: a file changed afterwards changes nothing.
pub(super) fn read(path: &Path, key: &[u8; 32], bound_to: &[u8]) -> Result<Verified, Refused> {
    let mut file = match File::options()
        .read(true)
        .custom_flags(nix::libc::O_NOFOLLOW)
        .open(path)
    {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Refused::NotThere),
        Err(error) if error.raw_os_error() == Some(nix::libc::ELOOP) => {
            return Err(Refused::Untrusted("it is a symbolic link"));
        }
        Err(error) => return Err(Refused::Io(error)),
    };
    let metadata = file.metadata().map_err(Refused::Io)?;
    if !metadata.is_file() {
        return Err(Refused::Untrusted("it is not a file"));
    }
    if metadata.uid() != nix::unistd::geteuid().as_raw() {
        return Err(Refused::Untrusted("it belongs to another user"));
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(Refused::Untrusted("other users may open it"));
    }
    if metadata.len() > MAX_BYTES {
        return Err(Refused::Untrusted("it is too large"));
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    io::Read::take(&mut file, MAX_BYTES)
        .read_to_end(&mut bytes)
        .map_err(Refused::Io)?;
    if bytes.len() < HEADER_BYTES || &bytes[..MARK.len()] != MARK {
        return Err(Refused::Untrusted("it does not begin as an entry does"));
    }
    let (header, code) = bytes.split_at(HEADER_BYTES);
    match mac(key, bound_to, code).verify_slice(&header[MARK.len()..]) {
        Ok(()) => Ok(Verified { file: bytes }),
        Err(_) => Err(Refused::Untrusted(
            "its MAC does not fit: it was changed, or written under another key",
        )),
    }
}

/// Writes an entry whole or not at all.
pub(super) fn write(path: &Path, key: &[u8; 32], bound_to: &[u8], code: &[u8]) -> io::Result<()> {
    let partial = path.with_extension(format!("{:016x}.{PARTIAL}", rand::random::<u64>()));
    let mac = mac(key, bound_to, code).finalize().into_bytes();
    let written = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&partial)
        .and_then(|mut file| {
            file.write_all(MARK)?;
            file.write_all(&mac)?;
            file.write_all(code)?;
            file.sync_all()
        })
        .and_then(|()| std::fs::rename(&partial, path));
    if written.is_err() {
        // What cannot be removed now is removed as left over when the folder is next tidied.
        let _ = std::fs::remove_file(&partial);
    }
    written
}

fn mac(key: &[u8; 32], bound_to: &[u8], code: &[u8]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of 32 bytes");
    mac.update(bound_to);
    mac.update(code);
    mac
}

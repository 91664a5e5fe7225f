//! One entry: the compiled code, and after it a MAC and a mark. The code comes first, so that the file can be mapped as it is.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::{
        fd::AsRawFd as _,
        unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
    time::SystemTime,
};

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// What entries' names end with.
pub(super) const EXTENSION: &str = "trellis-code";
/// What files being written end with.
pub(super) const PARTIAL: &str = "partial";

const MARK: &[u8; 8] = b"TRLSAOT2";
const MAC_BYTES: usize = 32;
const TRAILER_BYTES: usize = MAC_BYTES + MARK.len();
/// No compiled actor is larger: a component of the largest allowed size compiles to a few times its own.
const MAX_BYTES: u64 = 1 << 30;
/// What is read at once while an entry is checked.
const PIECE_BYTES: usize = 256 << 10;

/// Why an entry is not used.
pub(super) enum Refused {
    NotThere,
    Untrusted(&'static str),
    Io(io::Error),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// An open entry whose MAC was checked.
///
/// What is mapped is the very file that was read for that, whatever its name leads to by then. Who could still change it in
/// between, by writing into it, has to be this user: others can neither open the file nor its folder, and we ourselves only
/// ever write new files. (That user could as well write into this process.)
pub(super) struct Verified {
    file: File,
}

impl Verified {
    /// A path that leads to this file and no other.
    pub(super) fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.file.as_raw_fd()).into()
    }

    /// Marks it as used now.
    pub(super) fn touch(&self) -> io::Result<()> {
        self.file.set_modified(SystemTime::now())
    }
}

/// Opens an entry and checks it. It is read, not mapped, so that only what is used of it later is in this process' memory.
pub(super) fn open(path: &Path, key: &[u8; 32], bound_to: &[u8]) -> Result<Verified, Refused> {
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
    let metadata = file.metadata()?;
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
    let Some(code_bytes) = metadata.len().checked_sub(TRAILER_BYTES as u64) else {
        return Err(Refused::Untrusted("it is too short"));
    };
    let mut mac = mac(key, bound_to);
    let mut piece = vec![0; PIECE_BYTES];
    let mut code = io::Read::take(&mut file, code_bytes);
    let mut read = 0;
    loop {
        match code.read(&mut piece)? {
            0 => break,
            some => {
                mac.update(&piece[..some]);
                read += some as u64;
            }
        }
    }
    let mut trailer = [0; TRAILER_BYTES];
    if read != code_bytes || file.read_exact(&mut trailer).is_err() {
        return Err(Refused::Untrusted("it became shorter while it was read"));
    }
    let (found, mark) = trailer.split_at(MAC_BYTES);
    if mark != MARK {
        return Err(Refused::Untrusted("it does not end as an entry does"));
    }
    match mac.verify_slice(found) {
        Ok(()) => Ok(Verified { file }),
        Err(_) => Err(Refused::Untrusted(
            "its MAC does not fit: it was changed, or written under another key",
        )),
    }
}

/// Writes an entry whole or not at all, never to be written to again. Gives its size.
pub(super) fn write(path: &Path, key: &[u8; 32], bound_to: &[u8], code: &[u8]) -> io::Result<u64> {
    let partial = path.with_extension(format!("{:016x}.{PARTIAL}", rand::random::<u64>()));
    let mut mac = mac(key, bound_to);
    mac.update(code);
    let mac = mac.finalize().into_bytes();
    let written = File::options()
        .write(true)
        .create_new(true)
        .mode(0o400)
        .open(&partial)
        .and_then(|mut file| {
            file.write_all(code)?;
            file.write_all(&mac)?;
            file.write_all(MARK)?;
            file.sync_all()
        })
        .and_then(|()| std::fs::rename(&partial, path));
    if written.is_err() {
        // What cannot be removed now is removed as left over when the folder is next tidied.
        let _ = std::fs::remove_file(&partial);
    }
    written.map(|()| (code.len() + TRAILER_BYTES) as u64)
}

fn mac(key: &[u8; 32], bound_to: &[u8]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of 32 bytes");
    mac.update(bound_to);
    mac
}

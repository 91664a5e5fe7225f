//! The cache's folder: nobody else may look into it, and it does not grow for ever.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{
    RuntimeError,
    entry::{EXTENSION, PARTIAL},
};

const KEY_FILE: &str = "key";
/// A partly written file of this age was left by a process that is gone.
const LEFT_OVER: Duration = Duration::from_secs(3600);

/// Makes the folder if it is not there, and checks that it is ours alone.
pub(super) fn prepare(folder: &Path) -> Result<(), RuntimeError> {
    let refuse = |problem: String| {
        Err(RuntimeError::Cache {
            path: folder.to_owned(),
            problem,
        })
    };
    if let Err(error) = DirBuilder::new().recursive(true).mode(0o700).create(folder) {
        return refuse(format!("cannot be made: {error}; name another folder"));
    }
    let metadata = match fs::symlink_metadata(folder) {
        Ok(metadata) => metadata,
        Err(error) => return refuse(format!("cannot be looked at: {error}")),
    };
    if !metadata.is_dir() {
        return refuse("is not a folder (a symbolic link will not do); name another".into());
    }
    if metadata.uid() != nix::unistd::geteuid().as_raw() {
        return refuse(
            "belongs to another user, who could put code there; name another folder".into(),
        );
    }
    if metadata.mode() & 0o077 != 0 {
        return refuse(format!(
            "is open to other users (mode {:o}), who could put code there; `chmod 700` it",
            metadata.mode() & 0o777
        ));
    }
    Ok(())
}

/// The key that entries are authenticated with; made when there is none. One that others might have read is replaced,
/// and the entries under it are worth nothing from then on.
pub(super) fn key(folder: &Path) -> Result<[u8; 32], RuntimeError> {
    let path = folder.join(KEY_FILE);
    let failed = |error: io::Error| RuntimeError::Cache {
        path: path.clone(),
        problem: format!("{error}"),
    };
    // A second host on the same folder may make the key at the same moment: then that one counts.
    for _ in 0..8 {
        match read_key(&path) {
            Ok(key) => return Ok(key),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::warn!(file = %path.display(), %error, "replacing the cache's key: actors will be compiled again");
                fs::remove_file(&path).map_err(failed)?;
            }
            Err(error) => return Err(failed(error)),
        }
        make_key(&path).map_err(failed)?;
    }
    Err(failed(io::Error::other(
        "is replaced by another process again and again",
    )))
}

fn read_key(path: &Path) -> io::Result<[u8; 32]> {
    let unfit = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
    let mut file = match File::options()
        .read(true)
        .custom_flags(nix::libc::O_NOFOLLOW)
        .open(path)
    {
        Ok(file) => file,
        Err(error) if error.raw_os_error() == Some(nix::libc::ELOOP) => {
            return Err(unfit("it is a symbolic link"));
        }
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    if metadata.uid() != nix::unistd::geteuid().as_raw() || metadata.mode() & 0o077 != 0 {
        return Err(unfit("other users may have read it"));
    }
    let mut key = Vec::new();
    io::Read::take(&mut file, 64).read_to_end(&mut key)?;
    key.try_into()
        .map_err(|_| unfit("it does not have 32 bytes"))
}

/// Puts a new key in place, unless one is there by then.
fn make_key(path: &Path) -> io::Result<()> {
    let partial = path.with_extension(format!("{:016x}.{PARTIAL}", rand::random::<u64>()));
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&partial)?;
    let linked = file
        .write_all(&rand::random::<[u8; 32]>())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::hard_link(&partial, path));
    fs::remove_file(&partial)?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Removes what was not used for longest until the rest fits, and what dead processes left half written. Gives the size of
/// what is left. Where something must go a tenth goes, so that the next entry does not have this done again.
pub(super) fn evict(folder: &Path, limit_bytes: u64) -> io::Result<u64> {
    let mut entries: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
    for found in fs::read_dir(folder)? {
        let path = found?.path();
        // Another host on the same folder may remove files while we look.
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        let used = metadata.modified()?;
        match path.extension().and_then(|extension| extension.to_str()) {
            Some(EXTENSION) => entries.push((used, metadata.len(), path)),
            Some(PARTIAL) if used.elapsed().is_ok_and(|age| age > LEFT_OVER) => remove(&path)?,
            _ => {}
        }
    }
    let mut total: u64 = entries.iter().map(|(_, bytes, _)| bytes).sum();
    if total <= limit_bytes {
        return Ok(total);
    }
    entries.sort();
    for (_, bytes, path) in entries {
        if total <= limit_bytes - limit_bytes / 10 {
            break;
        }
        remove(&path)?;
        total -= bytes;
    }
    Ok(total)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

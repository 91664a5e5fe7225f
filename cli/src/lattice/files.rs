//! A server's files: its configuration, and the seeds of those who are where it is.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use trellis_lattice::topology::{LEAF_FILE, Role};

use super::keys::Keys;
use crate::exit::Usage;

/// The configuration's file.
pub const CONFIG_FILE: &str = "nats.conf";

/// Writes a server's configuration into a folder, and its leaf's seed, where it is a leaf, beside it.
///
/// # Errors
/// A file can't be written.
pub fn server(
    folder: &Path,
    config: &str,
    keys: &Keys,
    leaf: Option<&str>,
) -> anyhow::Result<Vec<PathBuf>> {
    fs::create_dir_all(folder).with_context(|| format!("folder {}", folder.display()))?;
    let mut files = Vec::new();
    if let Some(pop) = leaf {
        let file = folder.join(LEAF_FILE);
        let seed = keys.key(pop, Role::Leaf)?.seed();
        replace(&file, &format!("nkey: {seed}\n"), 0o600)?;
        files.push(file);
    }
    let file = folder.join(CONFIG_FILE);
    replace(&file, config, 0o644)?;
    files.push(file);
    Ok(files)
}

/// Copies the seeds of a server's roles into a folder, each as `ROLE.nk`.
///
/// # Errors
/// One can't be written, or another key is there: keys are never overwritten.
pub fn seeds(folder: &Path, server: &str, keys: &Keys) -> anyhow::Result<Vec<PathBuf>> {
    fs::create_dir_all(folder).with_context(|| format!("folder {}", folder.display()))?;
    let mut files = Vec::new();
    for role in Role::CLIENTS {
        let key = keys.key(server, role)?;
        let file = folder.join(format!("{role}.nk"));
        match trellis_lattice::claims::UserKey::read_file(&file) {
            Ok(there) if there.public() == key.public() => {}
            Ok(there) => {
                return Err(Usage(format!(
                    "{} holds another key ({}) than {} ({}), and keys are never overwritten: remove it, or name another folder with --out",
                    file.display(),
                    there.public(),
                    keys.file(server, role).display(),
                    key.public(),
                ))
                .into());
            }
            Err(trellis_lattice::claims::KeyError::File { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                key.write_file(&file)?;
            }
            Err(error) => return Err(error.into()),
        }
        files.push(file);
    }
    Ok(files)
}

/// Writes a whole file at once: who reads it sees the old or the new one.
fn replace(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    // One that is the same stays as it is, also where its folder can't be written to.
    if fs::read(path).is_ok_and(|there| there == text.as_bytes()) {
        return Ok(());
    }
    let write = || {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let beside = path.with_file_name(name);
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(mode)
            .open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().with_context(|| format!("file {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::state::State;

    #[test]
    fn seeds_are_private_and_another_s_key_stays() {
        let folder = tempfile::TempDir::new().unwrap();
        let keys = Keys::of(&State::at(&folder.path().join("state"))).unwrap();
        let out = folder.path().join("out");
        for _ in 0..2 {
            let files = server(&out, "listen: \"h:1\"\n", &keys, Some("fra")).unwrap();
            assert_eq!(files.len(), 2);
            assert_eq!(
                seeds(&out, "fra", &keys).unwrap().len(),
                Role::CLIENTS.len()
            );
        }
        let mode = |name: &str| {
            let file = fs::metadata(out.join(name)).unwrap();
            file.permissions().mode() & 0o7777
        };
        assert_eq!((mode("leaf.conf"), mode("host.nk")), (0o600, 0o600));
        assert_eq!(mode("nats.conf") & 0o077, mode("nats.conf") & 0o044);
        assert_eq!(fs::read_dir(&out).unwrap().count(), 2 + Role::CLIENTS.len());

        let refused = seeds(&out, "iad", &keys).unwrap_err().to_string();
        assert!(
            refused.contains("host.nk") && refused.contains("never overwritten"),
            "{refused}"
        );
    }
}

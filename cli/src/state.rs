//! The local state: `.trellis/` of the current directory, with the keys, and all that `trellis up` keeps.

pub mod running;

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use trellis_lattice::claims::{AccountKey, Issuer, KeyError};

/// The local state's folder.
#[derive(Clone, Debug)]
pub struct State {
    root: PathBuf,
}

impl State {
    /// The state in that folder; nothing is made yet.
    pub fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of seeds.
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// The development issuer's seed.
    pub fn account_key(&self) -> PathBuf {
        self.keys().join("account.nk")
    }

    /// A folder of the state, made where it isn't there, for its owner alone.
    ///
    /// # Errors
    /// It can't be made.
    pub fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        make(&self.root)?;
        // A folder that git would take in would take the seeds in too.
        let ignore = self.root.join(".gitignore");
        if !ignore.exists() {
            fs::write(&ignore, "*\n").with_context(|| format!("file {}", ignore.display()))?;
        }
        let path = self.root.join(name);
        make(&path)?;
        Ok(path)
    }

    /// The development issuer's key, made where there is none yet; whether it was made.
    ///
    /// # Errors
    /// It can't be read or made, or is no account's.
    pub fn account(&self) -> anyhow::Result<(AccountKey, bool)> {
        self.folder("keys")?;
        let path = self.account_key();
        if path.exists() {
            return Ok((AccountKey::read_file(&path)?, false));
        }
        let key = AccountKey::generate();
        match key.write_file(&path) {
            Ok(()) => Ok((key, true)),
            // Another process was faster.
            Err(KeyError::FileExists { .. }) => Ok((AccountKey::read_file(&path)?, false)),
            Err(error) => Err(error.into()),
        }
    }
}

/// Says that the development issuer's key was made, and what it is for.
pub fn tell_new_account(path: &Path, issuer: &Issuer) {
    eprintln!(
        "made the development issuer's key {} ({issuer}); keep it to yourself. What another key signed must be \
         signed again, by `trellis sign --in-place FILE`",
        path.display()
    );
}

fn make(path: &Path) -> anyhow::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("folder {}", path.display()))
        }
        _ => Ok(()),
    }
}

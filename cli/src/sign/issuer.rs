//! Whose key signs.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use trellis_lattice::claims::AccountKey;

use crate::state::{State, tell_new_account};

/// Holds the seed itself, where a file is not wanted.
const SEED_VARIABLE: &str = "TRELLIS_ISSUER_SEED";

/// The issuer's key, and where keys of what it signs are kept.
pub struct Issuing {
    /// The issuer's key.
    pub key: AccountKey,
    /// The folder of the subjects' keys.
    pub keys: PathBuf,
}

/// The issuer of a file, of the environment, or the development one.
///
/// # Errors
/// It can't be read, or is no account's.
pub fn find(file: Option<&Path>, state: &State) -> anyhow::Result<Issuing> {
    let keys = state.keys();
    if let Some(file) = file {
        return Ok(Issuing {
            key: AccountKey::read_file(file)?,
            keys,
        });
    }
    if let Ok(seed) = std::env::var(SEED_VARIABLE) {
        let key = AccountKey::from_seed(&seed)
            .with_context(|| format!("environment variable {SEED_VARIABLE}"))?;
        return Ok(Issuing { key, keys });
    }
    let (key, new) = state.account()?;
    if new {
        tell_new_account(&state.account_key(), &key.public());
    }
    Ok(Issuing { key, keys })
}

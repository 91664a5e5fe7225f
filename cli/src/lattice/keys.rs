//! The keys of a lattice's users of NATS: made once, kept in the state's folder, for each server one a role.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Context as _;
use trellis_lattice::{
    PopName,
    claims::{UserId, UserKey},
    topology::{HUB, Role},
};

use crate::state::State;

/// The keys' folder.
#[derive(Clone, Debug)]
pub struct Keys {
    folder: PathBuf,
}

impl Keys {
    /// Those of the state's folder, which is made where it isn't there.
    ///
    /// # Errors
    /// It can't be made.
    pub fn of(state: &State) -> anyhow::Result<Self> {
        state.folder("lattice")?;
        Ok(Self {
            folder: state.folder("lattice/keys")?,
        })
    }

    /// The seed file of a role at a server.
    pub fn file(&self, server: &str, role: Role) -> PathBuf {
        self.folder.join(format!("{server}-{role}.nk"))
    }

    /// The key of a role at a server, made where there is none yet.
    ///
    /// # Errors
    /// It can't be read or made, or is no user's.
    pub fn key(&self, server: &str, role: Role) -> anyhow::Result<UserKey> {
        Ok(UserKey::read_or_create(&self.file(server, role))?)
    }

    /// Who may connect to a server as a client.
    ///
    /// # Errors
    /// As [`Self::key`].
    pub fn clients(&self, server: &str) -> anyhow::Result<BTreeMap<Role, UserId>> {
        Role::CLIENTS
            .into_iter()
            .map(|role| Ok((role, self.key(server, role)?.public())))
            .collect()
    }

    /// The PoPs that may connect to the hub: those named, whose keys are made, and those whose keys are there.
    ///
    /// # Errors
    /// As [`Self::key`].
    pub fn leaves(&self, named: &[PopName]) -> anyhow::Result<BTreeMap<PopName, UserId>> {
        let known = self.known_pops()?;
        named
            .iter()
            .chain(&known)
            .map(|pop| Ok((pop.clone(), self.key(pop.as_str(), Role::Leaf)?.public())))
            .collect()
    }

    fn known_pops(&self) -> anyhow::Result<Vec<PopName>> {
        let end = format!("-{}.nk", Role::Leaf);
        let entries = std::fs::read_dir(&self.folder)
            .with_context(|| format!("folder {}", self.folder.display()))?;
        let mut pops = Vec::new();
        for entry in entries {
            let name = entry
                .with_context(|| format!("folder {}", self.folder.display()))?
                .file_name();
            let pop = name.to_str().and_then(|name| name.strip_suffix(&end));
            // Another file is none of ours.
            pops.extend(pop.and_then(|pop| PopName::new(pop).ok()));
        }
        pops.retain(|pop| pop.as_str() != HUB);
        Ok(pops)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once() {
        let folder = tempfile::TempDir::new().unwrap();
        let state = State::at(&folder.path().join("state"));
        let keys = Keys::of(&state).unwrap();
        let first = keys.clients("fra").unwrap();
        assert_eq!(first.len(), Role::CLIENTS.len());
        assert_eq!(keys.clients("fra").unwrap(), first);
        assert_ne!(keys.clients("iad").unwrap(), first);

        let fra = PopName::new("fra").unwrap();
        let leaves = keys.leaves(std::slice::from_ref(&fra)).unwrap();
        assert_eq!(keys.leaves(&[]).unwrap(), leaves, "it is known from now on");
        assert_eq!(leaves.into_keys().collect::<Vec<_>>(), [fra]);
    }
}

//! The applications of a lattice as they are now, followed through a watch.

use std::collections::{BTreeMap, BTreeSet};

use async_nats::jetstream::kv;

use super::{Apps, StoreError, StoredApp};

/// A view of the manifests. Made whole by [`Catalog::load`], kept current by [`Catalog::apply`].
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    names: BTreeSet<String>,
    index_revision: u64,
    apps: BTreeMap<String, (StoredApp, u64)>,
}

impl Catalog {
    /// Reads all applications. Begin to watch before, so that no change is missed in between.
    ///
    /// # Errors
    /// JetStream doesn't answer, or an entry holds something else.
    pub async fn load(apps: &Apps) -> Result<Self, StoreError> {
        let (names, index_revision): (Option<BTreeSet<String>>, _) =
            apps.bucket().read(&apps.index()).await?;
        let names = names.unwrap_or_default();
        let mut found = BTreeMap::new();
        for name in &names {
            if let (Some(app), revision) = apps.get(name).await? {
                found.insert(name.clone(), (app, revision));
            }
        }
        Ok(Self {
            names,
            index_revision,
            apps: found,
        })
    }

    /// Applies a change; whether it concerns this lattice.
    ///
    /// # Errors
    /// The entry holds something else: what was known before stays.
    pub fn apply(&mut self, apps: &Apps, entry: &kv::Entry) -> Result<bool, StoreError> {
        if entry.key == apps.index() {
            if entry.revision > self.index_revision {
                self.index_revision = entry.revision;
                self.names = apps.bucket().decode(entry)?.unwrap_or_default();
            }
            return Ok(true);
        }
        let Some(name) = apps.name_of(&entry.key) else {
            return Ok(false);
        };
        if let Some((_, known)) = self.apps.get(name)
            && *known >= entry.revision
        {
            return Ok(false);
        }
        match apps.bucket().decode(entry) {
            Ok(Some(app)) => {
                self.apps.insert(name.to_owned(), (app, entry.revision));
            }
            Ok(None) => {
                self.apps.remove(name);
            }
            // The key may be another lattice's, whatever it holds.
            Err(_) if !self.names.contains(name) => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// The applications, by name.
    pub fn apps(&self) -> impl Iterator<Item = (&str, &StoredApp)> {
        self.names.iter().filter_map(|name| {
            let (app, _) = self.apps.get(name)?;
            Some((name.as_str(), app))
        })
    }
}

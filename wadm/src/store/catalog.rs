//! The applications of a lattice as they are now, followed through a watch.
//!
//! An application goes when its own entry is deleted. One that only vanished, because the bucket was deleted or the
//! index of names was overwritten, stays as it was last known, and is to be restored.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use async_nats::jetstream::kv;

use super::{Apps, StoreError, StoredApp};

/// A view of the manifests, cheap to copy. Made whole by [`Catalog::load`], kept current by [`Catalog::apply`].
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    names: BTreeSet<String>,
    index_revision: u64,
    apps: BTreeMap<String, (Arc<StoredApp>, u64)>,
    /// Those of the names that the store lost.
    vanished: BTreeSet<String>,
}

impl Catalog {
    /// Reads all applications. Begin to watch before, so that no change is missed in between. `before` is what was
    /// known before: what the store lost of it is kept.
    ///
    /// # Errors
    /// JetStream doesn't answer, or an entry holds something else.
    pub async fn load(apps: &Apps, before: &Self) -> Result<Self, StoreError> {
        let (listed, index_revision): (Option<BTreeSet<String>>, _) =
            apps.bucket().read(&apps.index()).await?;
        let mut catalog = Self {
            names: listed.unwrap_or_default(),
            index_revision,
            ..Self::default()
        };
        let listed = catalog.names.clone();
        let known = before.apps().map(|(name, _)| name.to_owned());
        for name in listed.iter().cloned().chain(known).collect::<BTreeSet<_>>() {
            let is_listed = listed.contains(&name);
            let there = match apps.get(&name).await? {
                // Of another lattice, and ours is gone.
                (Some(app), _) if !is_listed && !app.is_named(&name) => None,
                (Some(app), revision) => {
                    if !is_listed {
                        catalog.vanished.insert(name.clone());
                    }
                    Some((Arc::new(app), revision))
                }
                // A deletion leaves a mark: this one was never written.
                (None, 0) => before.apps.get(&name).map(|(app, _)| {
                    catalog.vanished.insert(name.clone());
                    (app.clone(), 0)
                }),
                (None, _) => None,
            };
            if let Some(there) = there {
                catalog.names.insert(name.clone());
                catalog.apps.insert(name, there);
            }
        }
        Ok(catalog)
    }

    /// Applies a change; whether it concerns this lattice.
    ///
    /// # Errors
    /// The entry holds something else: what was known before stays.
    pub fn apply(&mut self, apps: &Apps, entry: &kv::Entry) -> Result<bool, StoreError> {
        if entry.key == apps.index() {
            if entry.revision > self.index_revision {
                self.index_revision = entry.revision;
                self.list(apps.bucket().decode(entry)?.unwrap_or_default());
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
                self.apps
                    .insert(name.to_owned(), (Arc::new(app), entry.revision));
            }
            Ok(None) => {
                self.apps.remove(name);
                self.vanished.remove(name);
            }
            // The key may be another lattice's, whatever it holds.
            Err(_) if !self.names.contains(name) => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// Takes over what the index lists. What it lists no more but nobody deleted stays.
    fn list(&mut self, listed: BTreeSet<String>) {
        let unlisted = self
            .names
            .difference(&listed)
            .filter(|name| self.app(name).is_some_and(|app| app.is_named(name)));
        let unlisted: BTreeSet<String> = unlisted.cloned().collect();
        self.vanished.retain(|name| {
            self.apps
                .get(name)
                .is_some_and(|(_, revision)| *revision == 0)
        });
        self.names = &listed | &unlisted;
        self.vanished.extend(unlisted);
    }

    /// The applications, by name.
    pub fn apps(&self) -> impl Iterator<Item = (&str, &StoredApp)> {
        self.names
            .iter()
            .filter_map(|name| Some((name.as_str(), self.app(name)?)))
    }

    /// Those that the store lost, by name.
    pub fn vanished(&self) -> impl Iterator<Item = (&str, &StoredApp)> {
        self.vanished
            .iter()
            .filter_map(|name| Some((name.as_str(), self.app(name)?)))
    }

    /// Whether it is of the same entries.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        let revisions = |catalog: &Self| -> Vec<u64> {
            catalog
                .apps
                .values()
                .map(|(_, revision)| *revision)
                .collect()
        };
        self.names == other.names
            && self.vanished == other.vanished
            && self.apps.keys().eq(other.apps.keys())
            && revisions(self) == revisions(other)
    }

    fn app(&self, name: &str) -> Option<&StoredApp> {
        self.apps.get(name).map(|(app, _)| &**app)
    }
}

impl FromIterator<(String, StoredApp)> for Catalog {
    /// A catalog of these applications, from no store.
    fn from_iter<I: IntoIterator<Item = (String, StoredApp)>>(apps: I) -> Self {
        let apps: BTreeMap<_, _> = apps
            .into_iter()
            .map(|(name, app)| (name, (Arc::new(app), 0)))
            .collect();
        Self {
            names: apps.keys().cloned().collect(),
            apps,
            ..Self::default()
        }
    }
}

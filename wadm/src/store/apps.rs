//! Manifests and their versions, in 1.x's bucket and form: `{lattice}-{application}` holds an application's versions,
//! `{lattice}` the names of its applications.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use trellis_lattice::LatticeName;

use super::{Bucket, StoreError, bucket::Edit};
use crate::{
    manifest::{LATEST, Manifest},
    rollout::Wish,
};

/// The most versions that are kept of an application; beyond, the oldest that isn't deployed goes.
const MAX_VERSIONS: usize = 64;

/// The most bytes that an application's versions have together. One message must hold them.
const MAX_BYTES: usize = 768 * 1024;

/// An application as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StoredApp {
    /// Its versions, oldest first.
    pub manifests: IndexMap<String, Manifest>,
    /// The deployed one.
    #[serde(default)]
    pub deployed_version: Option<String>,
    /// Ours: what its user wants of its rollout.
    #[serde(default, skip_serializing_if = "Wish::is_default")]
    pub rollout: Wish,
}

impl StoredApp {
    /// The newest version.
    pub fn newest(&self) -> Option<(&String, &Manifest)> {
        self.manifests.last()
    }

    /// The deployed version.
    pub fn deployed(&self) -> Option<(&String, &Manifest)> {
        self.manifests
            .get_key_value(self.deployed_version.as_ref()?)
    }

    /// A version by its name; `latest` and none stand for the newest.
    pub fn version(&self, name: Option<&str>) -> Option<(&String, &Manifest)> {
        match name {
            None | Some("" | LATEST) => self.newest(),
            Some(name) => self.manifests.get_key_value(name),
        }
    }

    /// Whether it is the application of that name. Its key alone doesn't tell, see [`Apps::name_of`].
    pub(super) fn is_named(&self, name: &str) -> bool {
        self.newest()
            .is_some_and(|(_, manifest)| manifest.name() == name)
    }

    /// Adds a version, and forgets the oldest ones that are too many.
    pub fn add(&mut self, version: String, manifest: Manifest) {
        self.manifests.insert(version, manifest);
        let mut bytes: Vec<usize> = self
            .manifests
            .values()
            .map(|manifest| serde_json::to_vec(manifest).map_or(0, |bytes| bytes.len()))
            .collect();
        while self.manifests.len() > 1
            && (self.manifests.len() > MAX_VERSIONS || bytes.iter().sum::<usize>() > MAX_BYTES)
        {
            let last = self.manifests.len() - 1;
            let oldest = self.manifests.keys().take(last).position(|version| {
                // The deployed one stays, and the one that was just added.
                Some(version) != self.deployed_version.as_ref()
            });
            let Some(oldest) = oldest else { return };
            self.manifests.shift_remove_index(oldest);
            bytes.remove(oldest);
        }
    }
}

/// The applications of one lattice.
#[derive(Clone, Debug)]
pub struct Apps {
    bucket: Bucket,
    lattice: LatticeName,
}

/// What becomes of an application.
pub enum Change<O> {
    /// This.
    Store(StoredApp, O),
    /// It goes.
    Remove(O),
    /// It stays as it is.
    Keep(O),
}

impl Apps {
    pub(super) fn new(bucket: Bucket, lattice: LatticeName) -> Self {
        Self { bucket, lattice }
    }

    /// The names of all applications.
    ///
    /// # Errors
    /// JetStream doesn't answer, or the entry holds something else.
    pub async fn names(&self) -> Result<BTreeSet<String>, StoreError> {
        let (names, _) = self.bucket.read(&self.index()).await?;
        Ok(names.unwrap_or_default())
    }

    /// An application, and its entry's revision.
    ///
    /// # Errors
    /// JetStream doesn't answer, or the entry holds something else.
    pub async fn get(&self, name: &str) -> Result<(Option<StoredApp>, u64), StoreError> {
        self.bucket.read(&self.key(name)).await
    }

    /// All applications, by name.
    ///
    /// # Errors
    /// JetStream doesn't answer, or an entry holds something else.
    pub async fn list(&self) -> Result<Vec<(String, StoredApp, u64)>, StoreError> {
        let mut apps = Vec::new();
        for name in self.names().await? {
            if let (Some(app), revision) = self.get(&name).await? {
                apps.push((name, app, revision));
            }
        }
        Ok(apps)
    }

    /// Reads an application, has it changed, and writes it unless someone else did meanwhile: then again.
    ///
    /// # Errors
    /// The outer: JetStream doesn't answer, or the entry holds something else. The inner: the change's own.
    pub async fn change<O, E>(
        &self,
        name: &str,
        mut change: impl FnMut(Option<StoredApp>) -> Result<Change<O>, E>,
    ) -> Result<Result<O, E>, StoreError> {
        enum Index {
            Add,
            Remove,
            Keep,
        }
        let done = self
            .bucket
            .edit(&self.key(name), |app| {
                Ok(match change(app)? {
                    Change::Store(app, outcome) => Edit::Write(app, (Index::Add, outcome)),
                    Change::Remove(outcome) => Edit::Delete((Index::Remove, outcome)),
                    Change::Keep(outcome) => Edit::Keep((Index::Keep, outcome)),
                })
            })
            .await?;
        let (index, outcome) = match done {
            Ok(done) => done,
            Err(refused) => return Ok(Err(refused)),
        };
        match index {
            Index::Add => self.list_name(name, true).await?,
            Index::Remove => self.list_name(name, false).await?,
            Index::Keep => {}
        }
        Ok(Ok(outcome))
    }

    /// Writes back what was lost without having been deleted: an application's entry, its name in the index, or both.
    /// Whether it is there now; one that was deleted stays so.
    ///
    /// # Errors
    /// JetStream doesn't answer, or an entry holds something else.
    pub(crate) async fn restore(&self, name: &str, app: &StoredApp) -> Result<bool, StoreError> {
        let key = self.key(name);
        let is_there = match self.get(name).await? {
            (Some(_), _) => true,
            // Never written: the bucket is a new one.
            (None, 0) => self.bucket.write(&key, app, 0).await?.is_some(),
            (None, _) => false,
        };
        if is_there {
            self.list_name(name, true).await?;
        }
        Ok(is_there)
    }

    /// All changes from now on, those of other lattices among them; see [`super::Catalog`].
    pub(crate) async fn watch(&self) -> Result<async_nats::jetstream::kv::Watch, StoreError> {
        self.bucket.watch().await
    }

    async fn list_name(&self, name: &str, there: bool) -> Result<(), StoreError> {
        let edited = self
            .bucket
            .edit(&self.index(), |names: Option<BTreeSet<String>>| {
                let mut names = names.unwrap_or_default();
                let changed = if there {
                    names.insert(name.to_owned())
                } else {
                    names.remove(name)
                };
                Ok::<_, std::convert::Infallible>(if changed {
                    Edit::Write(names, ())
                } else {
                    Edit::Keep(())
                })
            })
            .await?;
        match edited {
            Ok(()) => Ok(()),
            Err(never) => match never {},
        }
    }

    pub(super) fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    pub(super) fn index(&self) -> String {
        self.lattice.to_string()
    }

    fn key(&self, name: &str) -> String {
        format!("{}-{name}", self.lattice)
    }

    /// The application that a key of the bucket may belong to. Only the index tells whether it is of this lattice:
    /// `a-b-c` is lattice `a`'s `b-c` or lattice `a-b`'s `c`.
    pub(super) fn name_of<'k>(&self, key: &'k str) -> Option<&'k str> {
        key.strip_prefix(self.lattice.as_str())?.strip_prefix('-')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(description: &str) -> Manifest {
        let text = format!(
            "{{apiVersion: core.oam.dev/v1beta1, kind: Application, metadata: {{name: a, annotations: {{description: {description:?}}}}}, \
             spec: {{components: [{{name: c, type: component, properties: {{image: 'file:///c.wasm'}}}}]}}}}"
        );
        crate::manifest::parse(&text).unwrap().0
    }

    #[test]
    fn old_versions_go_but_the_deployed_one_stays() {
        let mut app = StoredApp::default();
        for version in 0..MAX_VERSIONS {
            app.add(format!("v{version}"), manifest("x"));
        }
        app.deployed_version = Some("v0".into());
        app.add("new".into(), manifest("x"));
        assert_eq!(app.manifests.len(), MAX_VERSIONS);
        assert!(app.deployed().is_some());
        assert!(app.version(Some("v1")).is_none());
        assert_eq!(app.newest().unwrap().0, "new");
    }

    #[test]
    fn versions_that_one_message_can_t_hold_go_too() {
        let mut app = StoredApp::default();
        let large = "x".repeat(200 * 1024);
        for version in 0..6 {
            app.add(format!("v{version}"), manifest(&large));
        }
        let versions: Vec<_> = app.manifests.keys().map(String::as_str).collect();
        assert_eq!(versions, ["v3", "v4", "v5"]);
    }

    #[test]
    fn what_1_x_stored_reads_and_writes_the_same() {
        let captured = include_str!("../../tests/all/captured/stored-app.json");
        let app: StoredApp = serde_json::from_str(captured).unwrap();
        assert_eq!(app.manifests.len(), 2);
        assert_eq!(
            serde_json::to_value(&app).unwrap(),
            serde_json::from_str::<serde_json::Value>(captured).unwrap()
        );
    }
}

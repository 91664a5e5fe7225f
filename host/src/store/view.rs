//! What the host knows of the lattice's state: in memory, kept up to date by the watches.

use std::{collections::HashSet, hash::Hash};

use bytes::Bytes;
use dashmap::DashMap;
use serde::Serialize;
use tokio::sync::watch;
use trellis_lattice::{
    ComponentId, Link,
    bucket::{ComponentSpec, LatticeKey, StoredClaims},
    config::{self, Config},
    secret::is_reference,
};

use super::{Bucket, StoreError, decode, encode};

/// The lattice's specifications, claims and configurations as last heard.
#[derive(Debug)]
pub(crate) struct View {
    specs: DashMap<ComponentId, Versioned<ComponentSpec>>,
    claims: DashMap<String, Versioned<StoredClaims>>,
    configs: DashMap<String, Versioned<Config>>,
    /// Counts changes; whoever follows from links or configurations waits for the next one.
    changes: watch::Sender<u64>,
}

#[derive(Clone, Debug)]
struct Versioned<T> {
    revision: u64,
    value: T,
}

impl View {
    pub(crate) fn new() -> Self {
        Self {
            specs: DashMap::new(),
            claims: DashMap::new(),
            configs: DashMap::new(),
            changes: watch::Sender::new(0),
        }
    }

    /// Tells of every change from now on; several at once may be told as one.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The links whose source is that component or provider.
    pub(crate) fn links_from(&self, source: &ComponentId) -> Vec<Link> {
        self.specs
            .get(source)
            .map(|spec| spec.value.links.clone())
            .unwrap_or_default()
    }

    /// The links that a provider must know: those it is source or target of.
    pub(crate) fn links_of(&self, id: &ComponentId) -> Vec<Link> {
        self.collect_links(|link| &link.source_id == id || &link.target == id)
    }

    /// All links, by source and in the order they were put.
    pub(crate) fn links(&self) -> Vec<Link> {
        self.collect_links(|_| true)
    }

    fn collect_links(&self, wanted: impl Fn(&Link) -> bool) -> Vec<Link> {
        let mut links: Vec<Link> = Vec::new();
        for spec in &self.specs {
            links.extend(spec.value.links.iter().filter(|link| wanted(link)).cloned());
        }
        links.sort_by(|a, b| a.source_id.cmp(&b.source_id));
        links
    }

    /// All claims, by their subject.
    pub(crate) fn claims(&self) -> Vec<StoredClaims> {
        let mut claims: Vec<_> = self
            .claims
            .iter()
            .map(|claims| claims.value.clone())
            .collect();
        claims.sort_by(|a, b| a.subject.cmp(&b.subject));
        claims
    }

    /// Whether the lattice has these very claims.
    pub(crate) fn has_claims(&self, claims: &StoredClaims) -> bool {
        let known = self.claims.get(&claims.subject);
        known.is_some_and(|known| &known.value == claims)
    }

    /// Whether the lattice has this very image for it.
    pub(crate) fn has_reference(&self, id: &ComponentId, reference: &str) -> bool {
        self.specs
            .get(id)
            .is_some_and(|spec| spec.value.url == reference)
    }

    /// A configuration.
    pub(crate) fn config(&self, name: &str) -> Option<Config> {
        self.configs.get(name).map(|config| config.value.clone())
    }

    /// Several configurations as one; of one key the last one counts. Names that don't exist are left out and given
    /// back too. Secrets' references must exist, but are no part of it: what they stand for is given otherwise.
    pub(crate) fn merged_config(&self, names: &[String]) -> (Config, Vec<String>) {
        let mut merged = Config::new();
        let mut missing = Vec::new();
        for name in names {
            match self.configs.get(name) {
                Some(_) if is_reference(name) => {}
                Some(config) => {
                    merged.extend(
                        config
                            .value
                            .iter()
                            .map(|(key, value)| (key.clone(), value.clone())),
                    );
                }
                None => missing.push(name.clone()),
            }
        }
        (merged, missing)
    }

    /// Takes over a specification that this host wrote, without waiting for the watch.
    pub(crate) fn wrote_spec(&self, id: &ComponentId, revision: u64, spec: ComponentSpec) {
        self.changed(put(&self.specs, id.clone(), revision, spec));
    }

    /// Takes over a configuration that this host wrote.
    pub(crate) fn wrote_config(&self, name: &str, revision: u64, config: Config) {
        self.changed(put(&self.configs, name.to_owned(), revision, config));
    }

    /// Forgets a configuration that this host deleted.
    pub(crate) fn deleted_config(&self, name: &str) {
        self.changed(self.configs.remove(name).is_some());
    }

    /// Takes over an entry as the watch tells it; `None` is a deletion. What can't be read leaves what was known.
    pub(super) fn apply(&self, bucket: Bucket, key: &str, revision: u64, value: Option<&[u8]>) {
        if let Err(error) = self.try_apply(bucket, key, revision, value) {
            tracing::warn!(key, %error, "an entry of the lattice can't be read; keeping what was known");
        }
    }

    fn try_apply(
        &self,
        bucket: Bucket,
        key: &str,
        revision: u64,
        value: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        let changed = match bucket {
            Bucket::Config => {
                if config::check_name(key).is_err() {
                    return Ok(());
                }
                match value {
                    Some(value) => {
                        put(&self.configs, key.to_owned(), revision, decode(key, value)?)
                    }
                    None => delete(&self.configs, key, revision),
                }
            }
            Bucket::Lattice => match (LatticeKey::parse(key), value) {
                (Some(LatticeKey::Component(id)), Some(value)) => {
                    put(&self.specs, id, revision, decode(key, value)?)
                }
                (Some(LatticeKey::Component(id)), None) => delete(&self.specs, &id, revision),
                (Some(LatticeKey::Claims(subject)), Some(value)) => {
                    put(&self.claims, subject, revision, decode(key, value)?)
                }
                (Some(LatticeKey::Claims(subject)), None) => {
                    delete(&self.claims, &subject, revision)
                }
                // Another version's kind of entry.
                (None, _) => false,
            },
        };
        self.changed(changed);
        Ok(())
    }

    /// Forgets what a complete reading of the bucket did not have.
    pub(super) fn retain(&self, bucket: Bucket, seen: &HashSet<String>) {
        let known = self.entries(bucket).into_iter().map(|(key, _)| key);
        for key in known.filter(|key| !seen.contains(key)).collect::<Vec<_>>() {
            self.apply(bucket, &key, u64::MAX, None);
        }
    }

    /// The bucket was made anew: its revisions begin again.
    pub(super) fn forget_revisions(&self, bucket: Bucket) {
        match bucket {
            Bucket::Config => forget(&self.configs),
            Bucket::Lattice => {
                forget(&self.specs);
                forget(&self.claims);
            }
        }
    }

    /// Everything known of a bucket, as it stands there.
    pub(super) fn entries(&self, bucket: Bucket) -> Vec<(String, Bytes)> {
        match bucket {
            Bucket::Config => encode_all(&self.configs, String::clone),
            Bucket::Lattice => {
                let mut all = encode_all(&self.specs, |id| {
                    LatticeKey::Component(id.clone()).to_string()
                });
                all.extend(encode_all(&self.claims, |subject| {
                    LatticeKey::Claims(subject.clone()).to_string()
                }));
                all
            }
        }
    }

    fn changed(&self, changed: bool) {
        if changed {
            self.changes.send_modify(|count| *count += 1);
        }
    }
}

/// Whether the value is another than before. An older revision than the known one is the echo of a write that this
/// host already took over.
fn put<K: Eq + Hash, V: PartialEq>(
    map: &DashMap<K, Versioned<V>>,
    key: K,
    revision: u64,
    value: V,
) -> bool {
    use dashmap::mapref::entry::Entry;
    match map.entry(key) {
        Entry::Occupied(mut entry) if entry.get().revision <= revision => {
            let before = entry.insert(Versioned { revision, value });
            before.value != entry.get().value
        }
        Entry::Occupied(_) => false,
        Entry::Vacant(entry) => {
            entry.insert(Versioned { revision, value });
            true
        }
    }
}

fn delete<K, V, Q>(map: &DashMap<K, Versioned<V>>, key: &Q, revision: u64) -> bool
where
    K: Eq + Hash + std::borrow::Borrow<Q>,
    Q: Eq + Hash + ?Sized,
{
    map.remove_if(key, |_, known| known.revision <= revision)
        .is_some()
}

fn forget<K: Eq + Hash, V>(map: &DashMap<K, Versioned<V>>) {
    for mut entry in map.iter_mut() {
        entry.revision = 0;
    }
}

fn encode_all<K: Eq + Hash, V: Serialize>(
    map: &DashMap<K, Versioned<V>>,
    name: impl Fn(&K) -> String,
) -> Vec<(String, Bytes)> {
    map.iter()
        .filter_map(|entry| {
            let key = name(entry.key());
            encode(&key, &entry.value().value)
                .ok()
                .map(|value| (key, value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(target: &str) -> Vec<u8> {
        format!(
            r#"{{"url":"","links":[{{"source_id":"a","target":"{target}","wit_namespace":"wasi","wit_package":"keyvalue","interfaces":["store"]}}]}}"#
        )
        .into_bytes()
    }

    #[test]
    fn a_late_echo_does_not_undo_a_newer_write() {
        let view = View::new();
        let source = ComponentId::new("a").unwrap();
        view.apply(Bucket::Lattice, "COMPONENT_a", 3, Some(&spec("new")));
        view.apply(Bucket::Lattice, "COMPONENT_a", 2, Some(&spec("old")));
        view.apply(Bucket::Lattice, "COMPONENT_a", 2, None);
        assert_eq!(view.links_from(&source)[0].target.as_str(), "new");
        view.forget_revisions(Bucket::Lattice);
        view.apply(Bucket::Lattice, "COMPONENT_a", 1, Some(&spec("restored")));
        assert_eq!(view.links_from(&source)[0].target.as_str(), "restored");
    }

    #[test]
    fn garbage_keeps_what_was_known() {
        let view = View::new();
        let mut changes = view.changes();
        view.apply(Bucket::Config, "c", 1, Some(br#"{"k":"v"}"#));
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        view.apply(Bucket::Config, "c", 2, Some(b"[1"));
        view.apply(Bucket::Config, "../c d", 2, Some(b"{}"));
        view.apply(Bucket::Lattice, "OTHER_x", 2, Some(b"{}"));
        assert!(!changes.has_changed().unwrap());
        assert_eq!(
            view.config("c"),
            Some([("k".to_owned(), "v".to_owned())].into())
        );
    }

    #[test]
    fn what_a_reading_does_not_have_is_forgotten() {
        let view = View::new();
        for name in ["a", "b"] {
            view.apply(Bucket::Config, name, 7, Some(b"{}"));
        }
        view.retain(Bucket::Config, &["b".to_owned()].into());
        assert!(view.config("a").is_none() && view.config("b").is_some());
    }

    #[test]
    fn later_configurations_win() {
        let view = View::new();
        view.apply(Bucket::Config, "a", 1, Some(br#"{"k":"1","x":"y"}"#));
        view.apply(Bucket::Config, "b", 1, Some(br#"{"k":"2"}"#));
        let names = ["a", "b", "c"].map(str::to_owned);
        let (merged, missing) = view.merged_config(&names);
        assert_eq!(
            merged,
            [("k", "2"), ("x", "y")]
                .map(|(k, v)| (k.into(), v.into()))
                .into()
        );
        assert_eq!(missing, ["c"]);
    }
}

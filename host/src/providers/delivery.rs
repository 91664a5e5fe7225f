//! Which links a provider was given, and what it must be told to have the right ones.

use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, Instant},
};

use trellis_lattice::{ComponentId, LinkKey, ResolvedLink};

/// How long the old target of a replaced link keeps it: calls that were made over it finish there, and hosts that
/// learn of the new target a little later still reach the old one.
pub(crate) const REPLACED_GRACE: Duration = Duration::from_secs(2);
/// How long a deleted link is remembered, to be told again to a provider that was cut off meanwhile.
const REMEMBERED: Duration = Duration::from_secs(120);

/// What a provider is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It has this link now.
    Put(ResolvedLink),
    /// It has this link no longer. Configurations and secrets are left out, as in 1.x.
    Delete(ResolvedLink),
}

/// The links a provider was given.
#[derive(Debug, Default)]
pub(crate) struct Delivery {
    given: BTreeMap<LinkKey, ResolvedLink>,
    /// Links that go to others now, and when to take them away.
    leaving: BTreeMap<LinkKey, (Instant, ResolvedLink)>,
    /// Links that were taken away, and when.
    gone: BTreeMap<LinkKey, (Instant, ResolvedLink)>,
}

impl Delivery {
    /// What a provider starts with.
    pub(crate) fn new(links: &[ResolvedLink]) -> Self {
        let given = links
            .iter()
            .map(|link| (link.key(), link.clone()))
            .collect();
        Self {
            given,
            ..Self::default()
        }
    }

    /// What to tell a provider so that it has the wanted links. `elsewhere` has the links of the lattice that exist
    /// with another target: the provider `id`, when it was the target, loses those a little later.
    pub(crate) fn update(
        &mut self,
        id: &ComponentId,
        wanted: Vec<ResolvedLink>,
        elsewhere: &HashSet<LinkKey>,
        now: Instant,
    ) -> Vec<Told> {
        let wanted: BTreeMap<_, _> = wanted.into_iter().map(|link| (link.key(), link)).collect();
        let mut told = Vec::new();
        for (key, link) in &wanted {
            self.leaving.remove(key);
            self.gone.remove(key);
            if self.given.get(key) != Some(link) {
                told.push(Told::Put(link.clone()));
            }
        }
        for (key, link) in std::mem::replace(&mut self.given, wanted) {
            if self.given.contains_key(&key) {
                continue;
            }
            if &link.target == id && elsewhere.contains(&key) {
                self.leaving.insert(key, (now + REPLACED_GRACE, link));
            } else {
                told.push(self.take_away(key, link, now));
            }
        }
        told
    }

    /// A link as it was given, if it was and goes to the same target.
    pub(crate) fn given(&self, key: &LinkKey, target: &ComponentId) -> Option<&ResolvedLink> {
        let link = self.given.get(key)?;
        (&link.target == target).then_some(link)
    }

    /// When [`Delivery::due`] has something next.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.leaving.values().map(|(when, _)| *when).min()
    }

    /// The links whose time has come.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Told> {
        let keys: Vec<_> = self
            .leaving
            .iter()
            .filter(|(_, (when, _))| *when <= now)
            .map(|(key, _)| key.clone())
            .collect();
        keys.into_iter()
            .filter_map(|key| {
                let (_, link) = self.leaving.remove(&key)?;
                Some(self.take_away(key, link, now))
            })
            .collect()
    }

    /// Everything once more, for a provider that may have missed messages.
    pub(crate) fn again(&mut self, now: Instant) -> Vec<Told> {
        self.gone
            .retain(|_, (when, _)| now.duration_since(*when) < REMEMBERED);
        let deleted = self
            .gone
            .values()
            .map(|(_, link)| Told::Delete(link.clone()));
        deleted
            .chain(self.given.values().cloned().map(Told::Put))
            .collect()
    }

    fn take_away(&mut self, key: LinkKey, mut link: ResolvedLink, now: Instant) -> Told {
        link.source_config.clear();
        link.target_config.clear();
        link.source_secrets = None;
        link.target_secrets = None;
        self.gone
            .retain(|_, (when, _)| now.duration_since(*when) < REMEMBERED);
        self.gone.insert(key, (now, link.clone()));
        Told::Delete(link)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(source: &str, target: &str, url: &str) -> ResolvedLink {
        serde_json::from_value(serde_json::json!({
            "source_id": source, "target": target, "wit_namespace": "wasi", "wit_package": "keyvalue",
            "interfaces": ["store"], "target_config": {"url": url},
        }))
        .unwrap()
    }

    fn id(text: &str) -> ComponentId {
        ComponentId::new(text).unwrap()
    }

    #[test]
    fn only_differences_are_told() {
        let now = Instant::now();
        let mut delivery = Delivery::new(&[link("a", "kv", "1"), link("b", "kv", "1")]);
        let wanted = vec![link("a", "kv", "1"), link("c", "kv", "1")];
        let told = delivery.update(&id("kv"), wanted.clone(), &HashSet::new(), now);
        let mut without_config = link("b", "kv", "1");
        without_config.target_config.clear();
        assert_eq!(
            told,
            [
                Told::Put(link("c", "kv", "1")),
                Told::Delete(without_config)
            ]
        );
        assert_eq!(delivery.update(&id("kv"), wanted, &HashSet::new(), now), []);
    }

    #[test]
    fn a_changed_configuration_is_put_again() {
        let mut delivery = Delivery::new(&[link("a", "kv", "1")]);
        let told = delivery.update(
            &id("kv"),
            vec![link("a", "kv", "2")],
            &HashSet::new(),
            Instant::now(),
        );
        assert_eq!(told, [Told::Put(link("a", "kv", "2"))]);
    }

    #[test]
    fn the_old_target_of_a_replaced_link_keeps_it_for_a_while() {
        let now = Instant::now();
        let mut delivery = Delivery::new(&[link("a", "kv", "1")]);
        let elsewhere = [link("a", "kv", "1").key()].into();
        assert_eq!(delivery.update(&id("kv"), Vec::new(), &elsewhere, now), []);
        assert_eq!(delivery.due(now), []);
        assert_eq!(delivery.next_due(), Some(now + REPLACED_GRACE));
        let told = delivery.due(now + REPLACED_GRACE);
        assert!(
            matches!(&told[..], [Told::Delete(link)] if link.target == id("kv")),
            "{told:?}"
        );
        assert_eq!(delivery.next_due(), None);
    }

    #[test]
    fn the_source_of_a_replaced_link_is_told_at_once() {
        let mut delivery = Delivery::new(&[link("http", "a", "")]);
        let told = delivery.update(
            &id("http"),
            vec![link("http", "b", "")],
            &HashSet::new(),
            Instant::now(),
        );
        assert_eq!(told, [Told::Put(link("http", "b", ""))]);
    }

    #[test]
    fn a_provider_that_was_cut_off_hears_everything_again() {
        let now = Instant::now();
        let mut delivery = Delivery::new(&[link("a", "kv", "1"), link("b", "kv", "1")]);
        delivery.update(&id("kv"), vec![link("a", "kv", "1")], &HashSet::new(), now);
        let told = delivery.again(now);
        assert!(matches!(&told[..], [Told::Delete(b), Told::Put(a)]
            if b.source_id == id("b") && a.source_id == id("a")));
        assert_eq!(delivery.again(now + 2 * REMEMBERED).len(), 1);
    }
}

//! PoPs that can't be seen. What ran there when they were seen last is remembered, and noted while it matters, so that
//! whoever leads next knows of it too; who may take it as running decides the manifest. Nothing is asked of their hosts
//! until they are seen again.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use trellis_lattice::{ComponentId, HostId};

use super::{
    super::{Effect, Id},
    Core,
    ledger::Ledger,
    liveness::Cut,
};
use crate::{
    desired::Workload,
    names,
    observed::{Component, Host, Provider, Unseen},
    rollout::Moment,
    store::NotedHost,
};

/// How long a host that can't be seen is remembered where nothing counts as running there.
const REMEMBERED: Duration = Duration::from_secs(60 * 60);

/// What is known of PoPs beside their hosts.
#[derive(Debug, Default)]
pub(super) struct Pops {
    /// Those that can't be seen, or not all of them, and since when.
    unseen: BTreeMap<String, Moment>,
    /// Those of them with hosts that don't tell by themselves when they are back.
    silent_kind: BTreeSet<String>,
    /// Of which some hosts are seen again.
    returning: BTreeMap<String, Returning>,
    /// Nobody who is not back by then is waited for less.
    patient_until: Option<Instant>,
    /// When something counts as running no longer.
    grace_ends: Option<Instant>,
    /// What is noted of hosts, by their ids.
    noted: Ledger<Option<NotedHost>>,
}

/// A PoP of which some hosts are seen again.
#[derive(Debug)]
struct Returning {
    /// Until when the others may stay away.
    until: Instant,
    /// When to look at it, unless that is over.
    look_at: Option<Instant>,
}

impl Pops {
    /// Whether hosts have to be asked whether they are back.
    pub(super) fn has_silent_kind(&self) -> bool {
        !self.silent_kind.is_empty()
    }

    /// When something is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.returning
            .values()
            .filter_map(|returning| returning.look_at)
            .chain(self.grace_ends)
            .chain(self.noted.next())
            .min()
    }

    /// The next note to write, if any. `id` names it.
    pub(super) fn send(&mut self, id: Id) -> Option<Effect> {
        let (host, noted) = self.noted.send(id)?;
        // Only ids of hosts are wanted noted.
        let host = HostId::new(&host).ok()?;
        Some(Effect::NoteHost(id, host, noted))
    }

    /// A write ended; whether it was one of ours.
    pub(super) fn written(&mut self, id: Id, is_done: bool, now: Instant) -> bool {
        self.noted.written(id, is_done, now).is_some()
    }
}

impl Core {
    /// Takes in what is noted of hosts: those that are not known here can't be seen until they say otherwise.
    pub(super) fn remember(
        &mut self,
        hosts: BTreeMap<HostId, NotedHost>,
        at: Moment,
        patient_until: Instant,
    ) {
        self.pops.patient_until = Some(patient_until);
        let noted = hosts.iter();
        let noted = noted.map(|(id, host)| (id.to_string(), Some(host.clone())));
        self.pops.noted.begin(noted.collect());
        for (id, NotedHost { host, since }) in hosts {
            let is_known =
                self.observed.hosts.contains_key(&id) || self.observed.unseen.contains_key(&id);
            let Some(pop) = host.pop().map(str::to_owned).filter(|_| !is_known) else {
                continue;
            };
            let since = since.unwrap_or(at);
            self.pops.unseen.entry(pop.clone()).or_insert(since);
            self.observed.unseen.insert(id, Unseen { host, pop, since });
        }
    }

    /// A PoP can't be seen any more.
    pub(super) fn cut(&mut self, cut: Cut) {
        let Cut {
            pop,
            hosts,
            heard,
            beats,
        } = cut;
        if !beats {
            self.pops.silent_kind.insert(pop.clone());
        }
        tracing::warn!(
            pop,
            hosts = hosts.len(),
            "a PoP can't be seen: none of its hosts answers"
        );
        let since = self.rolls.moment(heard);
        let mut gone = Vec::new();
        for id in hosts {
            if let Some(host) = self.observed.hosts.get(&id) {
                gone.push((id.clone(), host.clone()));
            }
            self.observed.cut(&id, since);
            self.commands.forget(&id);
            self.doubts.forget(&id);
        }
        self.pops.returning.remove(&pop);
        if !self.pops.unseen.contains_key(&pop) {
            self.teller.unseen(&pop, &gone);
            self.pops.unseen.insert(pop, since);
        }
        self.news();
    }

    /// Sees which PoPs are back, and gives up hosts that did not come back with theirs.
    pub(super) fn look_at_pops(&mut self, now: Instant) {
        self.pops.noted.wake(now);
        if self.pops.grace_ends.is_some_and(|at| at <= now) {
            self.pops.grace_ends = None;
            self.news();
        }
        if self.pops.unseen.is_empty() {
            return;
        }
        let hosts = self.observed.hosts.values();
        let seen: BTreeSet<&str> = hosts.filter_map(Host::pop).collect();
        let mut awaited: BTreeMap<&str, Vec<&HostId>> = BTreeMap::new();
        for (id, unseen) in &self.observed.unseen {
            awaited.entry(&unseen.pop).or_default().push(id);
        }
        let (mut lost, mut back) = (Vec::new(), Vec::new());
        for (pop, since) in &self.pops.unseen {
            let Some(hosts) = awaited.get(pop.as_str()) else {
                back.push((pop.clone(), *since, seen.contains(pop.as_str())));
                continue;
            };
            if !seen.contains(pop.as_str()) {
                self.pops.returning.remove(pop);
                continue;
            }
            let returning = self.pops.returning.entry(pop.clone()).or_insert_with(|| {
                let until = now + self.settings.pop_return;
                let until = self.pops.patient_until.map_or(until, |at| at.max(until));
                Returning {
                    until,
                    look_at: Some(until),
                }
            });
            if now >= returning.until {
                returning.look_at = None;
                // Who beats and does not answer yet is not lost.
                let silent = hosts.iter().filter(|id| !self.liveness.knows(id));
                lost.extend(silent.map(|id| (*id).clone()));
            }
        }
        for host in lost {
            self.lose(&host, now);
        }
        let at = self.rolls.moment(now);
        for (pop, since, is_seen) in back {
            self.pops.returning.remove(&pop);
            self.pops.unseen.remove(&pop);
            self.pops.silent_kind.remove(&pop);
            // Or forgotten.
            if is_seen {
                let after = at.since(since);
                tracing::info!(pop, ?after, "a PoP is seen again");
                self.teller.seen(&pop, after);
            }
            self.news();
        }
    }

    /// Wants noted what runs on hosts of PoPs and counts as running there when they can't be seen, and works out when
    /// that ends.
    pub(super) fn note_hosts(&mut self, now: Instant) {
        let all = self.desired.values().flat_map(|app| app.workloads());
        let kept: BTreeMap<(&ComponentId, bool), &Workload> = all
            .filter(|workload| workload.rules.counts_unseen_for() != Some(Duration::ZERO))
            .map(|workload| ((&workload.id, workload.is_provider), workload))
            .collect();
        let wanted = |host: &Host, since: Option<Moment>| -> Option<NotedHost> {
            let components = host.components.iter();
            let components = components.filter(|(id, there)| {
                kept.contains_key(&(*id, false)) && names::managed_app(&there.annotations).is_some()
            });
            let providers = host.providers.iter();
            let providers = providers.filter(|(id, there)| {
                kept.contains_key(&(*id, true)) && names::managed_app(&there.annotations).is_some()
            });
            // How well it goes is not noted: that changes all the time.
            let components: BTreeMap<ComponentId, Component> = components
                .map(|(id, there)| {
                    let there = Component {
                        stats: None,
                        ..there.clone()
                    };
                    (id.clone(), there)
                })
                .collect();
            let providers: BTreeMap<ComponentId, Provider> = providers
                .map(|(id, there)| {
                    let there = Provider {
                        unhealthy: None,
                        not_ready: None,
                        ..there.clone()
                    };
                    (id.clone(), there)
                })
                .collect();
            if components.is_empty() && providers.is_empty() {
                return None;
            }
            let host = Host {
                friendly_name: host.friendly_name.clone(),
                labels: host.labels.clone(),
                components,
                providers,
            };
            Some(NotedHost { host, since })
        };
        let mut notes: BTreeMap<String, NotedHost> = BTreeMap::new();
        if !kept.is_empty() {
            let seen = self.observed.hosts.iter();
            let seen = seen.filter(|(_, host)| host.pop().is_some());
            let seen = seen.map(|(id, host)| (id, host, None));
            let unseen = self.observed.unseen.iter();
            let unseen = unseen.map(|(id, unseen)| (id, &unseen.host, Some(unseen.since)));
            for (id, host, since) in seen.chain(unseen) {
                if let Some(note) = wanted(host, since) {
                    notes.insert(id.to_string(), note);
                }
            }
        }
        self.pops.note(notes);
        let at = self.observed.at;
        let counts = |unseen: &Unseen| {
            kept.values().any(|workload| {
                let until = unseen.until(&workload.rules);
                unseen.instances(workload) > 0 && until.is_none_or(|until| at < until)
            })
        };
        let unseen = self.observed.unseen.iter();
        let forgotten: Vec<HostId> = unseen
            .filter(|(_, unseen)| at.since(unseen.since) > REMEMBERED && !counts(unseen))
            .map(|(id, _)| id.clone())
            .collect();
        let unseen = self.observed.unseen.values();
        let ends = unseen.flat_map(|unseen| {
            let ran = kept.values().filter(|kept| unseen.instances(kept) > 0);
            ran.filter_map(|workload| unseen.until(&workload.rules))
        });
        let first = ends.filter(|end| *end > at).min();
        self.pops.grace_ends = first.and_then(|end| self.rolls.instant(end));
        for host in forgotten {
            self.lose(&host, now);
        }
    }
}

impl Pops {
    /// Wants these noted, and no others.
    fn note(&mut self, notes: BTreeMap<String, NotedHost>) {
        let noted = self.noted.noted();
        let gone = noted.iter().filter(|(_, noted)| noted.is_some());
        let gone: Vec<String> = gone
            .map(|(host, _)| host.clone())
            .filter(|host| !notes.contains_key(host))
            .collect();
        let is_gone: BTreeSet<&str> = gone.iter().map(String::as_str).collect();
        self.noted
            .retain(|host| notes.contains_key(host) || is_gone.contains(host));
        for host in &gone {
            self.noted.want(host, &None);
        }
        for (host, note) in notes {
            self.noted.want(&host, &Some(note));
        }
    }
}

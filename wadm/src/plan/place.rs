//! Where things ought to be. Pure.

use std::collections::{BTreeMap, BTreeSet};

use trellis_lattice::{HostId, control::Labels};

use super::share;
use crate::{
    desired::{Place, Workload},
    names,
    observed::{Host, Observed},
};

/// Instances of each spread on each host.
pub(super) type Targets = BTreeMap<HostId, BTreeMap<String, u32>>;

/// Where a component's instances ought to be, and what can't be placed.
pub(super) fn component(workload: &Workload, observed: &Observed) -> (Targets, Option<String>) {
    let mut targets = Targets::new();
    let mut unmet = Unmet::default();
    let shares = shares(workload);
    for (place, share) in workload.spreads.iter().zip(shares) {
        if share == 0 {
            continue;
        }
        let hosts = eligible(workload, place, observed);
        if hosts.is_empty() {
            unmet.none(place, share, observed);
            continue;
        }
        let counts = if workload.is_daemon {
            vec![share; hosts.len()]
        } else {
            let now: Vec<u32> = hosts
                .iter()
                .map(|(_, host)| match host.components.get(&workload.id) {
                    Some(there) => {
                        names::spread_count(&there.annotations, &place.name, there.instances)
                    }
                    None => 0,
                })
                .collect();
            share::evenly(share, &now)
        };
        for ((id, _), count) in hosts.into_iter().zip(counts) {
            if count > 0 {
                targets
                    .entry(id.clone())
                    .or_default()
                    .insert(place.name.clone(), count);
            }
        }
    }
    (targets, unmet.message())
}

/// Where a provider ought to be, and what can't be placed. A host runs a provider once: instances are hosts.
pub(super) fn provider(workload: &Workload, observed: &Observed) -> (Targets, Option<String>) {
    let mut targets = Targets::new();
    let mut unmet = Unmet::default();
    let shares = shares(workload);
    for (place, share) in workload.spreads.iter().zip(shares) {
        if share == 0 {
            continue;
        }
        let mut hosts = eligible(workload, place, observed);
        if hosts.is_empty() {
            unmet.none(place, share, observed);
            continue;
        }
        let all = hosts.len();
        hosts.retain(|(id, _)| !targets.contains_key(*id));
        let wanted = match workload.is_daemon {
            true => hosts.len(),
            false => share as usize,
        };
        if hosts.len() < wanted {
            unmet.few(place, share, all);
        }
        // Where it runs for this spread already, then where it runs at all, then in the hosts' order for it.
        hosts.sort_by_key(|(_, host)| match host.providers.get(&workload.id) {
            Some(there) => match there.annotations.get(names::SPREAD) {
                Some(spread) if *spread != place.name => 1,
                _ => 0,
            },
            None => 2,
        });
        for (id, _) in hosts.into_iter().take(wanted) {
            targets
                .entry(id.clone())
                .or_default()
                .insert(place.name.clone(), 1);
        }
    }
    (targets, unmet.message())
}

/// Each spread's instances; a daemon's are per host.
fn shares(workload: &Workload) -> Vec<u32> {
    if workload.is_daemon {
        return vec![workload.instances; workload.spreads.len()];
    }
    let weights: Vec<u32> = workload.spreads.iter().map(|place| place.weight).collect();
    share::by_weight(workload.instances, &weights)
}

/// The hosts that meet the requirements, in their order for this thing.
fn eligible<'o>(
    workload: &Workload,
    place: &Place,
    observed: &'o Observed,
) -> Vec<(&'o HostId, &'o Host)> {
    let mut hosts: Vec<_> = observed
        .hosts
        .iter()
        .filter(|(_, host)| host.meets(&place.requirements))
        .collect();
    hosts.sort_by_cached_key(|(id, _)| {
        (
            share::rank(workload.id.as_str(), &place.name, id.as_str()),
            (*id).clone(),
        )
    });
    hosts
}

/// What can't be placed, and why.
#[derive(Default)]
struct Unmet {
    messages: BTreeSet<String>,
}

impl Unmet {
    fn none(&mut self, place: &Place, share: u32, observed: &Observed) {
        self.messages.insert(if observed.hosts.is_empty() {
            "there is no host in the lattice".into()
        } else {
            format!(
                "{share} instance(s) wait for a host with labels {}: none of the {} host(s) has them",
                labels(&place.requirements),
                observed.hosts.len()
            )
        });
    }

    fn few(&mut self, place: &Place, share: u32, hosts: usize) {
        let with = match place.requirements.is_empty() {
            true => String::new(),
            false => format!(" with labels {}", labels(&place.requirements)),
        };
        self.messages.insert(format!(
            "a host runs a provider once: {share} hosts{with} are needed, {hosts} are there"
        ));
    }

    fn message(self) -> Option<String> {
        let messages: Vec<_> = self.messages.into_iter().collect();
        (!messages.is_empty()).then(|| messages.join("; "))
    }
}

fn labels(labels: &Labels) -> String {
    let pairs: Vec<_> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    pairs.join(", ")
}

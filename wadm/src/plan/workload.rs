//! Components and providers: on the hosts they ought to be on, as many as they ought to be.

use std::collections::{BTreeMap, BTreeSet};

use trellis_lattice::{
    HostId,
    control::{
        Annotations, Labels,
        component::ScaleComponent,
        provider::{StartProvider, StopProvider},
    },
};

use super::{Planner, State, share};
use crate::{
    command::Command,
    desired::{App, Part, Place, Workload},
    manifest::same_image,
    names,
    observed::{Host, Observed},
};

/// Instances of each spread on each host.
type Targets = BTreeMap<HostId, BTreeMap<String, u32>>;

impl Planner<'_> {
    pub(super) fn workload(
        &mut self,
        name: &str,
        app: &App,
        part: &Part,
        workload: &Workload,
    ) -> State {
        if let Err(state) = self.configs_ready(app, &workload.configs) {
            return state;
        }
        let (targets, unmet) = match workload.is_provider {
            true => provider_targets(workload, self.input.observed),
            false => component_targets(workload, self.input.observed),
        };
        let outcome = match workload.is_provider {
            true => self.provider(name, part, workload, &targets),
            false => self.component(name, part, workload, &targets),
        };
        // What can't be placed is the news, even while the rest is on its way.
        match unmet {
            Some(unmet) => State::Failed(unmet),
            None => outcome,
        }
    }

    fn component(
        &mut self,
        name: &str,
        part: &Part,
        workload: &Workload,
        targets: &Targets,
    ) -> State {
        let observed = self.input.observed;
        let mut ups = Vec::new();
        for (host, spreads) in targets {
            let count = spreads.values().copied().fold(0, u32::saturating_add);
            let annotations = names::annotations(name, &part.id, spreads);
            let there = observed
                .hosts
                .get(host)
                .and_then(|host| host.components.get(&workload.id));
            let allow_update = match there {
                Some(there)
                    if there.instances == count
                        && same_image(&there.image, &workload.image)
                        && has(&there.annotations, &annotations) =>
                {
                    continue;
                }
                Some(there) => !same_image(&there.image, &workload.image),
                None => false,
            };
            ups.push(Command::Scale(ScaleComponent {
                component_ref: workload.image.clone(),
                component_id: workload.id.clone(),
                host_id: host.clone(),
                count,
                annotations: Some(annotations),
                config: workload.configs.clone(),
                allow_update,
                limits: None,
            }));
        }
        let hosts = ups.len();
        let waits = !ups.is_empty();
        for command in ups {
            self.step(name, Some(&part.id), command);
        }
        let mut superfluous = 0;
        for (id, host) in &observed.hosts {
            let Some(there) = host.components.get(&workload.id) else {
                continue;
            };
            if targets.contains_key(id) || names::managed_app(&there.annotations) != Some(name) {
                continue;
            }
            superfluous += 1;
            // First up, then down: what moves is never away.
            if !waits {
                self.step(
                    name,
                    Some(&part.id),
                    super::remove::stop(id, &workload.id, there),
                );
            }
        }
        match hosts + superfluous {
            0 => State::Deployed,
            // 1.x's words.
            hosts => State::Reconciling(format!("Scaling component on {hosts} host(s)")),
        }
    }

    fn provider(
        &mut self,
        name: &str,
        part: &Part,
        workload: &Workload,
        targets: &Targets,
    ) -> State {
        let observed = self.input.observed;
        let mut unhealthy = None;
        let mut foreign = None;
        let mut failing = None;
        let (mut starts, mut stops) = (Vec::new(), Vec::new());
        for (id, host) in &observed.hosts {
            let there = host.providers.get(&workload.id);
            let spreads = targets.get(id);
            match (there, spreads) {
                (None, None) => {}
                (None, Some(spreads)) => starts.push(StartProvider {
                    provider_id: workload.id.clone(),
                    provider_ref: workload.image.clone(),
                    host_id: id.clone(),
                    config: workload.configs.clone(),
                    annotations: Some(names::annotations(name, &part.id, spreads)),
                }),
                (Some(there), wanted) => {
                    let ours = names::managed_app(&there.annotations) == Some(name);
                    let same = there
                        .image
                        .as_ref()
                        .is_none_or(|image| same_image(image, &workload.image));
                    let current = there.annotations.get(names::SCALER) == Some(&part.id);
                    match (wanted.is_some(), ours) {
                        // Somebody else's that does the same is as good.
                        (true, true) if same && current => {
                            let key = (id.clone(), workload.id.clone());
                            let error = observed.start_errors.get(&key);
                            failing = failing.or(error.map(|why| (host, why)));
                            unhealthy =
                                unhealthy.or(there.unhealthy.as_ref().map(|why| (host, why)));
                        }
                        (true, false) if same => {}
                        (true, false) => foreign = Some(id),
                        (_, true) => stops.push(StopProvider {
                            provider_id: workload.id.clone(),
                            host_id: id.clone(),
                        }),
                        (false, false) => {}
                    }
                }
            }
        }
        let hosts = starts.len() + stops.len();
        // First down, then up: a provider that moves may hold what it needs there, such as a port.
        if stops.is_empty() {
            for start in starts {
                self.step(name, Some(&part.id), Command::StartProvider(start));
            }
        }
        for stop in stops {
            self.step(name, Some(&part.id), Command::StopProvider(stop));
        }
        if let Some(host) = foreign {
            return State::Failed(format!(
                "another provider, not started by this application, has the id {} on host {host}: stop it there",
                workload.id
            ));
        }
        if let Some((host, why)) = failing {
            return State::Failed(format!(
                "host {} can't start the provider and goes on trying: {why}",
                host.friendly_name
            ));
        }
        match (hosts, unhealthy) {
            (0, None) => State::Deployed,
            (0, Some((host, why))) => {
                State::Unhealthy(format!("on host {}: {why}", host.friendly_name))
            }
            // 1.x's words.
            (hosts, _) => State::Reconciling(format!("Scaling provider on {hosts} host(s)")),
        }
    }
}

/// Whether all of the wanted annotations are there. A host may add some of its own.
fn has(there: &Annotations, wanted: &Annotations) -> bool {
    wanted
        .iter()
        .all(|(key, value)| there.get(key) == Some(value))
        && (wanted.contains_key(names::SPREAD_COUNTS) || !there.contains_key(names::SPREAD_COUNTS))
}

// === where ===

fn component_targets(workload: &Workload, observed: &Observed) -> (Targets, Option<String>) {
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

/// A host runs a provider once: instances are hosts.
fn provider_targets(workload: &Workload, observed: &Observed) -> (Targets, Option<String>) {
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

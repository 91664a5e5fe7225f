//! Components and providers: on the hosts they ought to be on, as many as they ought to be.

use std::collections::{BTreeMap, BTreeSet};

use trellis_lattice::{
    HostId,
    control::{
        Annotations,
        component::{ComponentLimits, ScaleComponent},
        provider::{StartProvider, StopProvider},
    },
};

use super::{Planner, State, place::Targets, unseen};
use crate::{
    command::Command,
    desired::{App, Part, Workload},
    manifest::same_image,
    names,
    rollout::{Release, Rolling},
};

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
        let placement = self.placements.of(name, &part.id).cloned();
        let placement = placement.unwrap_or_default();
        let (targets, unmet) = (&placement.targets, placement.unmet());
        let rolling = self
            .input
            .rolling
            .get(name)
            .and_then(|parts| parts.get(&workload.id));
        if rolling.is_some() {
            self.note_targets(name, workload, targets);
        }
        let outcome = match workload.is_provider {
            true => self.provider(name, part, workload, rolling, targets),
            false => self.component(name, part, workload, rolling, targets),
        };
        let outcome = match (outcome, rolling) {
            (State::Deployed, Some(rolling)) => State::Reconciling(rolling.status.clone()),
            (outcome, _) => outcome,
        };
        // What can't be placed is the news, even while the rest is on its way.
        let outcome = match unmet {
            Some(unmet) => State::Failed(unmet),
            None => outcome,
        };
        let kept = unseen::told(self.input.observed, workload, &placement.kept);
        match (kept, rolling) {
            (None, _) => outcome,
            (Some(kept), None) => outcome.and(kept),
            (Some(kept), Some(_)) => outcome.and(format!("{kept}, and the rollout waits for it")),
        }
    }

    /// Tells where something that is rolled out ought to be.
    fn note_targets(&mut self, name: &str, workload: &Workload, targets: &Targets) {
        let counts = targets
            .iter()
            .map(|(host, spreads)| (host.clone(), total(spreads)))
            .collect();
        self.plan
            .targets
            .entry(name.to_owned())
            .or_default()
            .insert(workload.id.clone(), counts);
    }

    fn component(
        &mut self,
        name: &str,
        part: &Part,
        workload: &Workload,
        rolling: Option<&Rolling>,
        targets: &Targets,
    ) -> State {
        let observed = self.input.observed;
        let new = Release::of(part, workload);
        let mut ups = Vec::new();
        for (host, spreads) in targets {
            let count = total(spreads);
            let there = observed
                .hosts
                .get(host)
                .and_then(|host| host.components.get(&workload.id));
            let runs = there.map(|there| (Some(there.image.as_str()), &there.annotations));
            let release = rolling
                .and_then(|rolling| rolling.old_on(host, (part, workload), runs))
                .unwrap_or(&new);
            let annotations = names::annotations(name, &release.part, spreads);
            let allow_update = match there {
                Some(there)
                    if there.instances == count
                        // Where nobody counts calls nobody wakes at one.
                        && (there.dormant == workload.dormant || there.stats.is_none())
                        && same_image(&there.image, &release.image)
                        && has(&there.annotations, &annotations) =>
                {
                    continue;
                }
                Some(there) => !same_image(&there.image, &release.image),
                // The old release may be on its way there.
                None => rolling.is_some() && *release == new,
            };
            ups.push(Command::Scale(ScaleComponent {
                component_ref: release.image.clone(),
                component_id: workload.id.clone(),
                host_id: host.clone(),
                count,
                annotations: Some(annotations),
                config: release.configs.clone(),
                allow_update,
                limits: workload.reuse.then(|| ComponentLimits {
                    reuse: true,
                    ..ComponentLimits::default()
                }),
                dormant: workload.dormant,
            }));
        }
        let hosts = ups.len();
        let waits = !ups.is_empty();
        for command in ups {
            self.step(name, Some(&part.id), command);
        }
        let mut superfluous = 0;
        for on in self.running.component(&workload.id).to_vec() {
            let (id, there) = (on.id, on.there);
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
        rolling: Option<&Rolling>,
        targets: &Targets,
    ) -> State {
        let observed = self.input.observed;
        let new = Release::of(part, workload);
        let mut unhealthy = None;
        let mut starting = None;
        let mut foreign = None;
        let mut failing = None;
        let (mut starts, mut stops) = (Vec::new(), Vec::new());
        let running = self.running.provider(&workload.id).iter();
        let concerned: BTreeSet<&HostId> = running.map(|on| on.id).chain(targets.keys()).collect();
        for id in concerned {
            let Some(host) = observed.hosts.get(id) else {
                continue;
            };
            let there = host.providers.get(&workload.id);
            let spreads = targets.get(id);
            let runs = there.map(|there| (there.image.as_deref(), &there.annotations));
            let release = rolling
                .and_then(|rolling| rolling.old_on(id, (part, workload), runs))
                .unwrap_or(&new);
            match (there, spreads) {
                (None, None) => {}
                (None, Some(spreads)) => starts.push(StartProvider {
                    provider_id: workload.id.clone(),
                    provider_ref: release.image.clone(),
                    host_id: id.clone(),
                    config: release.configs.clone(),
                    annotations: Some(names::annotations(name, &release.part, spreads)),
                }),
                (Some(there), wanted) => {
                    let ours = names::managed_app(&there.annotations) == Some(name);
                    let same = there
                        .image
                        .as_ref()
                        .is_none_or(|image| same_image(image, &release.image));
                    let current = there.annotations.get(names::SCALER) == Some(&release.part);
                    match (wanted.is_some(), ours) {
                        // Somebody else's that does the same is as good.
                        (true, true) if same && current => {
                            let key = (id.clone(), workload.id.clone());
                            let error = observed.start_errors.get(&key);
                            failing = failing.or(error.map(|why| (host, why)));
                            unhealthy =
                                unhealthy.or(there.unhealthy.as_ref().map(|why| (host, why)));
                            starting = starting.or(there.not_ready.as_ref().map(|why| (host, why)));
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
        if let (0, Some((host, why))) = (hosts, starting) {
            return State::Reconciling(format!("on host {}: {why}", host.friendly_name));
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

/// The instances of all spreads together.
fn total(spreads: &BTreeMap<String, u32>) -> u32 {
    spreads.values().copied().fold(0, u32::saturating_add)
}

/// Whether all of the wanted annotations are there. A host may add some of its own.
fn has(there: &Annotations, wanted: &Annotations) -> bool {
    wanted
        .iter()
        .all(|(key, value)| there.get(key) == Some(value))
        && (wanted.contains_key(names::SPREAD_COUNTS) || !there.contains_key(names::SPREAD_COUNTS))
}

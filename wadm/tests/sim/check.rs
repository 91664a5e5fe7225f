//! What must hold.

use std::collections::BTreeMap;

use trellis_lattice::{ComponentId, HostId};
use trellis_wadm::{
    desired::App,
    observed::Observed,
    plan::{self, Input, State},
    rollout::Phase,
    store::Owned,
};

use crate::{
    apps::{NAMES, RESIDENT},
    world::World,
};

/// How long after the faults everything may take to be as declared, in ms: what failed again and again waits for a
/// minute, and a command whose outcome is not told is given up after a minute.
const PATIENCE: u64 = 400_000;

/// How long it then must stay so: longer than it takes until everything is asked anew.
const QUIET: u64 = 65_000;

impl World {
    pub fn declared(&self) -> BTreeMap<String, App> {
        let manifest_of = |name: &str| {
            let (_, manifest) = self.store.apps.get(name)?.deployed()?;
            Some(manifest)
        };
        self.store
            .apps
            .iter()
            .filter_map(|(name, app)| {
                let (version, manifest) = app.deployed()?;
                Some((name.clone(), App::new(version, manifest, &manifest_of)))
            })
            .collect()
    }

    /// The lattice as it truly is.
    fn truth(&self) -> Observed {
        let mut truth = Observed {
            links: Some(self.links.clone()),
            ..Observed::default()
        };
        for host in self.hosts.keys() {
            truth.inventory(&self.inventory(host));
        }
        truth
    }

    /// What is not yet as declared.
    fn amiss(&self) -> Option<String> {
        let declared = self.declared();
        // Everything that could ever have been put there.
        let mut owned: BTreeMap<String, Owned> = NAMES
            .iter()
            .map(|name| ((*name).to_owned(), Owned::default()))
            .collect();
        for owned in owned.values_mut() {
            owned.links.extend(self.links.keys().cloned());
            owned.configs.extend(self.configs.keys().cloned());
        }
        let mut truth = self.truth();
        for name in plan::configs_of_interest(&declared, &owned) {
            truth
                .configs
                .insert(name.clone(), self.configs.get(&name).cloned());
        }
        let plan = plan::plan(Input {
            desired: &declared,
            owned: &owned,
            observed: &truth,
            rolling: Input::NO_ROLLOUT,
        });
        if let Some(step) = plan.steps.first() {
            return Some(format!("{}: {}", step.app, step.command));
        }
        for (app, state) in &plan.apps {
            for part in &state.parts {
                // Without a host that may have it, it can't be.
                if !matches!(part.state, State::Deployed | State::Failed(_)) {
                    return Some(format!("{app}: {:?}", part.state));
                }
            }
            if !state.leftovers.is_empty() && !self.hosts.is_empty() {
                return Some(format!("{app}: left: {:?}", state.leftovers));
            }
        }
        self.miscounted(&declared)
    }

    /// Counted without the scheduler: components have as many instances as declared.
    fn miscounted(&self, declared: &BTreeMap<String, App>) -> Option<String> {
        for workload in declared.values().flat_map(App::workloads) {
            let has_place = workload.spreads.iter().all(|place| {
                self.hosts.values().any(|host| {
                    let labels = place.requirements.iter().chain(&workload.rules.require);
                    labels
                        .into_iter()
                        .all(|(key, value)| host.labels.get(key) == Some(value))
                })
            });
            if workload.is_provider || workload.is_daemon || !has_place {
                continue;
            }
            let there: u32 = self
                .hosts
                .values()
                .filter_map(|host| host.components.get(&workload.id))
                .map(|there| there.instances)
                .sum();
            if there != workload.instances {
                return Some(format!(
                    "{} has {there} of {}",
                    workload.id, workload.instances
                ));
            }
        }
        None
    }

    /// Lets time pass until everything is as declared; how long that took.
    pub fn until_as_declared(&mut self) -> u64 {
        let begun = self.now_ms();
        loop {
            let Some(amiss) = self.amiss() else {
                return self.now_ms() - begun;
            };
            let took = self.now_ms() - begun;
            assert!(
                took < PATIENCE,
                "after {took} ms without faults: {amiss}; rollouts: {:#?}",
                self.store.rollouts
            );
            self.pass(100);
            if took.is_multiple_of(10_000) {
                self.retry_rollouts();
            }
        }
    }

    /// Someone has rollouts tried again that failed while there were faults: by themselves they stay half-way.
    fn retry_rollouts(&mut self) {
        let mut has_any = false;
        for (name, rollout) in &self.store.rollouts {
            if matches!(rollout.phase, Phase::Failed { .. })
                && let Some(app) = self.store.apps.get_mut(name)
            {
                app.rollout.retries = rollout.retries + 1;
                has_any = true;
            }
        }
        if has_any {
            self.manifests_changed();
        }
    }

    /// Once it is as declared, nothing more is commanded.
    pub fn stays_as_it_is(&mut self) {
        // What is on its way arrives.
        self.pass(10_000);
        self.until_as_declared();
        let before = self.commands;
        self.pass(QUIET);
        assert_eq!(self.commands, before, "commands without need");
        assert_eq!(self.amiss(), None);
    }

    pub fn nothing_is_left(&mut self) {
        self.pass(10_000);
        assert_eq!(self.amiss(), None);
        if self.hosts.is_empty() {
            return;
        }
        assert!(self.links.is_empty(), "links are left: {:?}", self.links);
        assert!(
            self.configs.is_empty(),
            "configs are left: {:?}",
            self.configs
        );
        for (id, host) in &self.hosts {
            assert!(host.components.is_empty(), "components are left on {id}");
            assert!(host.providers.is_empty(), "providers are left on {id}");
        }
    }

    /// Nobody else acts while this one does.
    pub fn check_lone_leader(&self, index: usize) {
        for other in 0..self.managers.len() {
            assert!(
                other == index || !self.is_leading(other) || !self.is_leading(index),
                "M{index} and M{other} lead at once"
            );
        }
    }

    /// What must stay in the EU is never asked of a host elsewhere.
    pub fn check_residency(&self, host: &HostId, thing: &ComponentId) {
        let is_resident = thing.as_str().starts_with(&format!("{RESIDENT}-"));
        assert!(
            !is_resident || self.hosts[host].labels["region"] == "eu",
            "{thing} on {host}, which is elsewhere"
        );
    }
}

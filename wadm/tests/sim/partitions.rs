//! PoPs that are cut off and come back, and nothing else amiss: what may be told of then. What runs of an application
//! that keeps it is neither stopped nor started elsewhere; what is replaced is, and goes when its PoP is back; what has
//! to stay in the EU is asked of nobody else; and soon after the last link is mended everything is as declared.

use std::collections::BTreeMap;

use trellis_lattice::{HostId, control::Labels};

use crate::{
    apps::{KEPT, RESIDENT},
    host::{Component, Provider},
    world::World,
};

/// How long it may take until everything is as declared, in ms, once every link is mended.
const SOON: u64 = 5000;

/// How long after a PoP was cut off what is replaced runs elsewhere.
const REPLACED: u64 = 6000;

/// What a host runs of an application.
type Runs = (BTreeMap<String, Component>, BTreeMap<String, Provider>);

/// What a PoP's cut has changed.
#[derive(Clone, Copy, PartialEq)]
enum Changed {
    Nothing,
    /// Another application than the kept one.
    Other,
    /// What is kept.
    Kept,
}

/// One run; gives how long it took after each time that every link was mended until all was as declared, in virtual ms.
pub fn run(seed: u64, is_told: bool) -> Vec<u64> {
    let mut world = World::empty(seed, is_told);
    for (pop, region) in [("fra", "eu"), ("ams", "eu"), ("iad", "us"), ("sin", "ap")] {
        for _ in 0..world.rng.within(1, 4) {
            world.join_in(pop, region);
        }
    }
    world.start_managers();
    for app in [KEPT, RESIDENT, "one"] {
        // Of an image that can be started.
        while world.deploys_what_is_bad(app) {}
    }
    world.manifests_changed();
    world.until_as_declared();
    // What is on its way arrives.
    world.pass(2000);
    world.until_as_declared();
    let mut converged = Vec::new();
    // A link that goes and comes all the time.
    let is_flapping = seed.is_multiple_of(4);
    let rounds = if is_flapping {
        20
    } else {
        world.rng.within(1, 4)
    };
    let mut kept = world.runs_of(KEPT);
    for _ in 0..rounds {
        let pops = world.pops();
        let pop = world.rng.pick(&pops).clone();
        world.cut_pop(&pop);
        let mut changed = Changed::Nothing;
        if is_flapping {
            let time = world.rng.within(100, 3000);
            world.pass(time);
        } else {
            changed = world.while_cut(&pop);
        }
        if changed != Changed::Kept {
            assert_eq!(world.runs_of(KEPT), kept, "what is kept is as it was");
        }
        world.mend_pops();
        if is_flapping {
            let time = world.rng.within(100, 3000);
            world.pass(time);
        } else {
            converged.push(world.soon_as_declared());
            world.pass(2000);
        }
        if changed == Changed::Kept {
            kept = world.runs_of(KEPT);
        }
        assert_eq!(world.runs_of(KEPT), kept, "what is kept is as it was");
    }
    if is_flapping {
        converged.push(world.soon_as_declared());
    }
    assert_eq!(world.runs_of(KEPT), kept, "what is kept is as it was");
    world.stays_as_it_is();
    world.undeploy_all();
    world.until_as_declared();
    world.nothing_is_left();
    converged
}

impl World {
    fn join_in(&mut self, pop: &str, region: &str) {
        let life = self.life();
        let id: HostId = format!("H{life}").parse().unwrap();
        let zone = *self.rng.pick(&["a", "b"]);
        let labels = [("pop", pop), ("region", region), ("zone", zone)];
        let labels: Labels = labels
            .into_iter()
            .map(|(label, value)| (label.to_owned(), value.to_owned()))
            .collect();
        self.start_host(&id, &labels, true);
    }

    /// Deploys an application; whether that is one with an image that is bad at times.
    fn deploys_what_is_bad(&mut self, app: &str) -> bool {
        self.deploy(app);
        let text = serde_json::to_string(&self.store.apps[app]).unwrap();
        if text.contains("bad.wasm") {
            self.store.apps.remove(app);
            return true;
        }
        false
    }

    /// What each host runs of an application.
    fn runs_of(&self, app: &str) -> BTreeMap<HostId, Runs> {
        let prefix = format!("{app}-");
        let mut all = BTreeMap::new();
        for (id, host) in &self.hosts {
            let components = host.components.iter();
            let components = components.map(|(id, there)| (id.to_string(), there.clone()));
            let providers = host.providers.iter();
            let providers = providers.map(|(id, there)| (id.to_string(), there.clone()));
            let runs = (
                components
                    .filter(|(id, _)| id.starts_with(&prefix))
                    .collect(),
                providers
                    .filter(|(id, _)| id.starts_with(&prefix))
                    .collect(),
            );
            all.insert(id.clone(), runs);
        }
        all
    }

    /// What may happen while a PoP is cut off.
    fn while_cut(&mut self, pop: &str) -> Changed {
        let time = self.rng.within(3000, 60_000);
        self.pass(time / 2);
        let mut changed = Changed::Nothing;
        match self.rng.within(0, 8) {
            // Whoever leads is followed by another, that never saw the PoP.
            0 | 1 => {
                for index in 0..self.managers.len() {
                    self.crash_manager(index);
                    self.start_manager(index);
                }
            }
            2 => {
                let index = self.rng.within(0, self.managers.len() as u64);
                let index = usize::try_from(index).unwrap();
                self.crash_manager(index);
                self.after(500, move |world| world.start_manager(index));
            }
            3 => {
                while self.deploys_what_is_bad("one") {}
                changed = Changed::Other;
            }
            4 => {
                while self.deploys_what_is_bad(KEPT) {}
                changed = Changed::Kept;
            }
            5 => {
                self.store.apps.remove("one");
                self.tell(|| "one is deleted".to_owned());
                changed = Changed::Other;
            }
            6 => {
                self.tell(|| "the store is away".to_owned());
                self.store.is_away = true;
                self.pass(10_000);
                self.store.is_away = false;
                // Until somebody leads again.
                self.pass(15_000);
            }
            _ => {}
        }
        if changed != Changed::Nothing {
            self.manifests_changed();
            // A rollout goes host by host.
            self.pass(20_000);
        }
        self.pass(time / 2);
        let was_heard = self.cuts.get(pop).is_some_and(|cut| !cut.from);
        if time > 2 * REPLACED && !was_heard {
            self.check_replaced(pop);
        }
        changed
    }

    /// What may run elsewhere does, without the PoP that can't be seen.
    fn check_replaced(&self, pop: &str) {
        let declared = self.declared();
        let Some(app) = declared.get("one") else {
            return;
        };
        for workload in app.workloads() {
            let has_grace = workload.rules.partition_grace.is_some();
            let seen: Vec<_> = self
                .hosts
                .values()
                .filter(|host| host.labels["pop"] != pop)
                .collect();
            let has_place = workload.spreads.iter().all(|place| {
                let wanted = &place.requirements;
                seen.iter().any(|host| {
                    wanted
                        .iter()
                        .all(|(key, value)| host.labels.get(key) == Some(value))
                })
            });
            if workload.is_provider || workload.is_daemon || has_grace || !has_place {
                continue;
            }
            let there: u32 = seen
                .iter()
                .filter_map(|host| host.components.get(&workload.id))
                .map(|there| there.instances)
                .sum();
            assert_eq!(there, workload.instances, "{} without {pop}", workload.id);
        }
    }

    fn soon_as_declared(&mut self) -> u64 {
        let took = self.until_as_declared();
        assert!(
            took <= SOON,
            "as declared only {took} ms after the link was mended"
        );
        took
    }
}

//! The store: manifests, notes and the lease.

use std::collections::BTreeMap;

use trellis_lattice::HostId;
use trellis_wadm::{
    lease::Entry,
    rollout::Rollout,
    store::{NotedHost, Owned, StoredApp},
};

use crate::world::World;

#[derive(Default)]
pub struct Store {
    pub apps: BTreeMap<String, StoredApp>,
    pub owned: BTreeMap<String, Owned>,
    pub rollouts: BTreeMap<String, Rollout>,
    pub hosts: BTreeMap<HostId, NotedHost>,
    pub lease: Option<Entry>,
    pub lease_revision: u64,
    /// Whether it does not answer.
    pub is_away: bool,
}

impl World {
    /// A manager asks the store; `done` is told at the manager what came of it, `None` when there was no answer. What
    /// is asked for may be done without an answer.
    pub fn ask_store<T: 'static>(
        &mut self,
        manager: usize,
        life: u64,
        act: impl FnOnce(&mut Store) -> T + 'static,
        done: impl FnOnce(&mut World, Option<T>) + 'static,
    ) {
        const TIMEOUT: u64 = 5000;
        let (there, back) = (self.delay(), self.delay());
        let is_lost = self.is_lost();
        if self.managers[manager].is_cut || (is_lost && self.rng.chance(500)) {
            self.after(TIMEOUT, move |world| {
                world.at_manager(manager, life, move |world| done(world, None));
            });
            return;
        }
        self.after(there, move |world| {
            if world.store.is_away {
                world.after(TIMEOUT - there.min(TIMEOUT), move |world| {
                    world.at_manager(manager, life, move |world| done(world, None));
                });
                return;
            }
            let outcome = act(&mut world.store);
            let (delay, outcome) = match is_lost {
                true => (TIMEOUT, None),
                false => (back, Some(outcome)),
            };
            world.after(delay, move |world| {
                world.at_manager(manager, life, move |world| done(world, outcome));
            });
        });
    }
}

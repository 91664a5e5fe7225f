//! Managers: a lease and a core each, and what the shell does around them.

mod lease;
mod perform;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use trellis_lattice::HostId;
use trellis_wadm::{
    Settings,
    lease::Candidate,
    reconcile::{Core, News},
    rollout::Moment,
    store::{Catalog, StoredApp},
};

use crate::world::{Happening, World};

pub struct Manager {
    name: String,
    /// Changes with each start; none while it is down.
    life: Option<u64>,
    pub is_paused: bool,
    pub is_cut: bool,
    /// What reaches it when it goes on, and what it sends when its connection is back.
    pub inbox: Vec<Happening>,
    pub unsent: Vec<Happening>,
    candidate: Option<Candidate>,
    lead: Option<Lead>,
    heard: BTreeMap<HostId, Instant>,
    connected_at: Instant,
    pub last_event: BTreeMap<HostId, u64>,
}

struct Lead {
    core: Core,
    fence: u64,
    revision: u64,
    until: Instant,
    /// The last time that was set to call the core at.
    wake: u64,
}

fn settings() -> Settings {
    Settings::default()
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap()
}

impl Manager {
    pub fn new(index: usize) -> Self {
        Self {
            name: format!("M{index}"),
            life: None,
            is_paused: false,
            is_cut: false,
            inbox: Vec::new(),
            unsent: Vec::new(),
            candidate: None,
            lead: None,
            heard: BTreeMap::new(),
            connected_at: Instant::now(),
            last_event: BTreeMap::new(),
        }
    }

    pub fn life_now(&self) -> Option<u64> {
        self.life
    }
}

impl World {
    pub fn start_manager(&mut self, index: usize) {
        let life = self.life();
        let now = self.now();
        let manager = &mut self.managers[index];
        if manager.life.is_some() {
            return;
        }
        manager.life = Some(life);
        manager.is_paused = false;
        manager.connected_at = now;
        manager.heard.clear();
        let me = format!("{}-{life}", manager.name);
        manager.candidate = Some(Candidate::new(me, settings().lease));
        self.tell(|| format!("M{index} starts"));
        self.look_at_lease(index, life);
    }

    pub fn crash_manager(&mut self, index: usize) {
        self.tell(|| format!("M{index} crashes"));
        let manager = &mut self.managers[index];
        manager.life = None;
        manager.lead = None;
        manager.candidate = None;
        manager.is_paused = false;
        manager.is_cut = false;
        manager.inbox.clear();
        // What it handed to the connection before may have gone.
        manager.unsent.clear();
    }

    /// Happens at a manager: when it goes on, where it is paused; never, if it is another by then.
    pub fn at_manager(
        &mut self,
        index: usize,
        life: u64,
        happening: impl FnOnce(&mut World) + 'static,
    ) {
        let manager = &mut self.managers[index];
        if manager.life != Some(life) {
            return;
        }
        match manager.is_paused {
            true => manager.inbox.push(Box::new(move |world: &mut World| {
                if world.managers[index].life == Some(life) {
                    happening(world);
                }
            })),
            false => happening(self),
        }
    }

    // === the shell ===

    /// Begins to listen, and reads the store.
    fn begin(&mut self, index: usize, life: u64, fence: u64) {
        self.ask_store(
            index,
            life,
            |store| {
                let apps = store.apps.iter();
                let apps = apps.map(|(name, app)| (name.clone(), app.clone()));
                let apps: Vec<(String, StoredApp)> = apps.collect();
                let (owned, rollouts) = (store.owned.clone(), store.rollouts.clone());
                (apps, owned, rollouts, store.hosts.clone())
            },
            move |world, read| {
                let lead = world.managers[index].lead.as_ref();
                if lead.is_none_or(|lead| lead.fence != fence) {
                    return;
                }
                let Some((apps, owned, rollouts, hosts)) = read else {
                    world.after(200, move |world| {
                        world.at_manager(index, life, move |world| world.begin(index, life, fence));
                    });
                    return;
                };
                let patient_until = world.managers[index].connected_at + settings().reconnect_grace;
                let begun = News::Begun {
                    catalog: Catalog::from_iter(apps),
                    owned,
                    rollouts,
                    hosts,
                    at: Moment(world.now_ms()),
                    patient_until,
                };
                world.news(index, begun);
            },
        );
    }

    /// The manager is told something.
    pub fn news(&mut self, index: usize, news: News) {
        let now = self.now();
        let manager = &mut self.managers[index];
        match (&mut manager.lead, news) {
            (Some(lead), news) => {
                lead.core.take(news, now);
                self.step(index);
            }
            (None, News::Beat(host)) => {
                manager.heard.insert(host, now);
            }
            (None, _) => {}
        }
    }

    /// The manifests changed.
    pub fn manifests_changed(&mut self) {
        for index in 0..self.managers.len() {
            let Some(life) = self.managers[index].life else {
                continue;
            };
            let delay = self.delay();
            self.after(delay, move |world| {
                if world.managers[index].is_cut {
                    return;
                }
                world.at_manager(index, life, move |world| {
                    let apps = world.store.apps.clone();
                    world.news(index, News::Catalog(Catalog::from_iter(apps)));
                });
            });
        }
    }

    /// Does what the core wants done.
    fn step(&mut self, index: usize) {
        let (now, now_ms) = (self.now(), self.now_ms());
        let manager = &mut self.managers[index];
        let (Some(life), Some(lead)) = (manager.life, &mut manager.lead) else {
            return;
        };
        let effects = lead.core.effects(now);
        if now >= lead.until {
            return self.step_down(index, life, 0);
        }
        let fence = lead.fence;
        if let Some(next) = lead.core.next() {
            let at = now_ms
                + u64::try_from(
                    next.saturating_duration_since(now)
                        .as_micros()
                        .div_ceil(1000),
                )
                .unwrap();
            if lead.wake <= now_ms || at < lead.wake {
                lead.wake = at;
                self.after(at - now_ms, move |world| {
                    world.at_manager(index, life, move |world| world.wake(index, fence));
                });
            }
        }
        for effect in effects {
            self.perform(index, life, fence, effect);
        }
    }

    fn wake(&mut self, index: usize, fence: u64) {
        let lead = self.managers[index].lead.as_ref();
        if lead.is_some_and(|lead| lead.fence == fence) {
            self.step(index);
        }
    }

    /// Tells the manager what came of an effect, if it still leads.
    fn told(&mut self, index: usize, fence: u64, news: News) {
        let lead = self.managers[index].lead.as_ref();
        if lead.is_some_and(|lead| lead.fence == fence) {
            self.news(index, news);
        }
    }

    // === faults ===

    /// Cuts a manager's connection.
    pub fn cut_manager(&mut self, index: usize) {
        if self.managers[index].life.is_none() || self.managers[index].is_cut {
            return;
        }
        self.tell(|| format!("M{index} is cut off"));
        self.managers[index].is_cut = true;
        // The client notices at once, or not at all.
        if self.rng.chance(500) {
            self.news(index, News::Disconnected);
        }
    }

    pub fn mend_manager(&mut self, index: usize) {
        let now = self.now();
        let manager = &mut self.managers[index];
        if !manager.is_cut {
            return;
        }
        manager.is_cut = false;
        manager.connected_at = now;
        let unsent = std::mem::take(&mut manager.unsent);
        let (life, fence) = (manager.life, manager.lead.as_ref().map(|lead| lead.fence));
        self.tell(|| format!("M{index} is connected again"));
        for send in unsent {
            send(self);
        }
        if let (Some(life), Some(fence)) = (life, fence) {
            self.at_manager(index, life, move |world| {
                world.told(index, fence, News::Disconnected);
                world.begin(index, life, fence);
            });
        }
    }

    pub fn resume_manager(&mut self, index: usize) {
        let manager = &mut self.managers[index];
        if !manager.is_paused {
            return;
        }
        manager.is_paused = false;
        let inbox = std::mem::take(&mut manager.inbox);
        self.tell(|| format!("M{index} goes on"));
        for happening in inbox {
            happening(self);
        }
    }
}

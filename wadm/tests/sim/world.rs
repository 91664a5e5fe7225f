//! The world: what there is, and what happens when.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use trellis_lattice::{HostId, Link, LinkKey, config::Config};

use crate::{host::Host, manager::Manager, pops::Cut, rng::Rng, store::Store};

/// Something that happens at its time.
pub type Happening = Box<dyn FnOnce(&mut World)>;

pub struct World {
    pub rng: Rng,
    pub hosts: BTreeMap<HostId, Host>,
    pub links: BTreeMap<LinkKey, Link>,
    pub configs: BTreeMap<String, Config>,
    pub managers: Vec<Manager>,
    pub store: Store,
    /// Whether hosts die for good: then what is kept has to be given up after a while.
    pub hosts_die: bool,
    /// PoPs whose links are cut.
    pub cuts: BTreeMap<String, Cut>,
    /// Of 1,000 messages so many are lost, and so many are late.
    pub lost: u64,
    pub late: u64,
    /// Images that can't be started now.
    pub bad_images: Vec<String>,
    /// How many commands hosts took.
    pub commands: u64,
    pub leaderships: u64,
    pub lives: u64,
    is_told: bool,
    start: Instant,
    now_ms: u64,
    order: u64,
    queue: BTreeMap<(u64, u64), Happening>,
}

impl World {
    /// A lattice of some hosts and managers.
    pub fn new(seed: u64, is_told: bool) -> Self {
        let mut world = Self::empty(seed, is_told);
        world.hosts_die = true;
        for _ in 0..world.rng.within(1, 7) {
            world.join_host();
        }
        world.start_managers();
        world
    }

    /// Nothing but what follows from the seed.
    pub fn empty(seed: u64, is_told: bool) -> Self {
        Self {
            rng: Rng::new(seed),
            hosts: BTreeMap::new(),
            links: BTreeMap::new(),
            configs: BTreeMap::new(),
            managers: Vec::new(),
            store: Store::default(),
            hosts_die: false,
            cuts: BTreeMap::new(),
            lost: 0,
            late: 0,
            bad_images: Vec::new(),
            commands: 0,
            leaderships: 0,
            lives: 0,
            is_told,
            start: Instant::now(),
            now_ms: 0,
            order: 0,
            queue: BTreeMap::new(),
        }
    }

    pub fn start_managers(&mut self) {
        let managers = *self.rng.pick(&[1, 2, 2, 3]);
        for index in 0..managers {
            self.managers.push(Manager::new(index));
            let delay = self.rng.within(0, 500);
            self.after(delay, move |world| world.start_manager(index));
        }
    }

    pub fn now(&self) -> Instant {
        self.start + Duration::from_millis(self.now_ms)
    }

    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// The milliseconds until then, rounded up, so that it is not too early.
    pub fn until_ms(&self, then: Instant) -> u64 {
        let wait = then.saturating_duration_since(self.now());
        u64::try_from(wait.as_micros().div_ceil(1000)).unwrap()
    }

    pub fn life(&mut self) -> u64 {
        self.lives += 1;
        self.lives
    }

    pub fn after(&mut self, ms: u64, happening: impl FnOnce(&mut World) + 'static) {
        self.order += 1;
        self.queue
            .insert((self.now_ms + ms, self.order), Box::new(happening));
    }

    /// Lets so much time pass.
    pub fn pass(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while let Some(entry) = self.queue.first_entry()
            && entry.key().0 <= end
        {
            let ((at, _), happening) = entry.remove_entry();
            self.now_ms = at;
            happening(self);
        }
        self.now_ms = end;
    }

    /// Tells what happens, where someone wants to know.
    pub fn tell(&self, what: impl FnOnce() -> String) {
        if self.is_told {
            println!("{:>8} ms  {}", self.now_ms, what());
        }
    }

    /// How long a message takes.
    pub fn delay(&mut self) -> u64 {
        let late = self.late;
        if self.rng.chance(late) {
            self.rng.within(20, 3000)
        } else {
            self.rng.within(0, 8)
        }
    }

    pub fn is_lost(&mut self) -> bool {
        let lost = self.lost;
        self.rng.chance(lost)
    }
}

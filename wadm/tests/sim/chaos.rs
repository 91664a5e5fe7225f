//! Faults.

use trellis_lattice::HostId;

use crate::{host::event, world::World};

/// How long faults go on, in ms.
const CHAOS: u64 = 45_000;

impl World {
    pub fn chaos(&mut self) {
        self.lost = *self.rng.pick(&[0, 0, 5, 50]);
        self.late = *self.rng.pick(&[0, 10, 50]);
        self.pass(500);
        self.change_app();
        let end = self.now_ms() + CHAOS;
        while self.now_ms() < end {
            let wait = match self.rng.chance(300) {
                // Several things at once.
                true => self.rng.within(0, 30),
                false => self.rng.within(50, 4000),
            };
            self.pass(wait);
            self.fault();
        }
    }

    fn some_host(&mut self) -> Option<HostId> {
        let hosts: Vec<_> = self.hosts.keys().cloned().collect();
        (!hosts.is_empty()).then(|| self.rng.pick(&hosts).clone())
    }

    fn some_manager(&mut self) -> usize {
        let managers = self.managers.len() as u64;
        usize::try_from(self.rng.within(0, managers)).unwrap()
    }

    fn fault(&mut self) {
        let kind = self.rng.within(0, 112);
        if kind >= 100 {
            return self.cut_some_pop();
        }
        if kind < 30 {
            return self.change_app();
        }
        if kind < 55 {
            return self.host_fault();
        }
        match kind {
            55..=62 => {
                let index = self.some_manager();
                self.crash_manager(index);
                let down = self.rng.within(0, 8000);
                self.after(down, move |world| world.start_manager(index));
            }
            63..=70 => {
                let index = self.some_manager();
                let time = self.rng.within(100, 10_000);
                self.tell(|| format!("M{index} is stopped for {time} ms"));
                self.managers[index].is_paused = true;
                self.after(time, move |world| world.resume_manager(index));
            }
            71..=78 => {
                let index = self.some_manager();
                let time = self.rng.within(100, 10_000);
                self.cut_manager(index);
                self.after(time, move |world| world.mend_manager(index));
            }
            79..=82 => {
                let time = self.rng.within(100, 6000);
                self.tell(|| format!("the store is away for {time} ms"));
                self.store.is_away = true;
                self.after(time, |world| world.store.is_away = false);
            }
            83..=88 => {
                let image = match self.rng.chance(500) {
                    true => "file:///bad.wasm",
                    false => "builtin:redis",
                };
                let image = image.to_owned();
                self.tell(|| format!("{image} can't be started, or can again"));
                match self.bad_images.contains(&image) {
                    true => self.bad_images.retain(|bad| *bad != image),
                    false => self.bad_images.push(image),
                }
            }
            _ => self.meddle(),
        }
    }

    fn host_fault(&mut self) {
        let Some(host) = self.some_host() else {
            self.join_host();
            return;
        };
        match self.rng.within(0, 7) {
            0 | 1 => self.kill_host(&host),
            2 => {
                // It says goodbye.
                let reason = serde_json::json!({"labels": {}});
                self.emit(&host, event("host_stopped", reason));
                self.hosts.remove(&host);
            }
            3 => {
                let time = self.rng.within(100, 12_000);
                self.tell(|| format!("{host} is stopped for {time} ms"));
                self.hosts.get_mut(&host).unwrap().is_paused = true;
                self.after(time, move |world| world.resume_host(&host));
            }
            4 => {
                let time = self.rng.within(100, 12_000);
                self.tell(|| format!("{host} is cut off for {time} ms"));
                self.hosts.get_mut(&host).unwrap().is_cut = true;
                self.after(time, move |world| world.mend_host(&host));
            }
            5 => {
                if self.hosts.len() < 8 {
                    self.join_host();
                }
            }
            _ => {
                let zone = *self.rng.pick(&["a", "b"]);
                let there = self.hosts.get_mut(&host).unwrap();
                there.labels.insert("zone".to_owned(), zone.to_owned());
                let labels = there.labels.clone();
                let data = serde_json::json!({"host_id": host, "labels": labels});
                self.emit(&host, event("labels_changed", data));
            }
        }
    }

    fn kill_host(&mut self, id: &HostId) {
        self.tell(|| format!("{id} is killed"));
        let Some(host) = self.hosts.remove(id) else {
            return;
        };
        if self.rng.chance(600) {
            let (id, down) = (id.clone(), self.rng.within(0, 10_000));
            // One that finds nobody who manages it starts what it ran by itself.
            let resumes = !self.hears(&host) && self.rng.chance(700);
            self.after(down, move |world| {
                if !world.hosts.contains_key(&id) {
                    world.start_host(&id, &host.labels, host.beats);
                    if resumes {
                        let there = world.hosts.get_mut(&id).unwrap();
                        there.components = host.components;
                        there.providers = host.providers;
                    }
                }
            });
        }
    }

    /// Someone changes what runs, behind everybody's back.
    fn meddle(&mut self) {
        let Some(id) = self.some_host() else {
            return;
        };
        let host = self.hosts.get_mut(&id).unwrap();
        match self.rng.within(0, 4) {
            0 => {
                host.components.pop_first();
            }
            1 => {
                // A process ended.
                if let Some((provider, _)) = host.providers.pop_first() {
                    let data = serde_json::json!({"provider_id": provider, "host_id": id, "reason": "it ended"});
                    self.emit(&id, event("provider_stopped", data));
                }
            }
            2 => {
                self.links.pop_first();
            }
            _ => {
                self.configs.pop_last();
            }
        }
    }

    fn resume_host(&mut self, id: &HostId) {
        let Some(host) = self.hosts.get_mut(id) else {
            return;
        };
        host.is_paused = false;
        self.host_goes_on(id);
    }

    fn mend_host(&mut self, id: &HostId) {
        let Some(host) = self.hosts.get_mut(id) else {
            return;
        };
        host.is_cut = false;
        let unsent = std::mem::take(&mut host.unsent);
        for send in unsent {
            send(self);
        }
        self.host_goes_on(id);
    }

    fn host_goes_on(&mut self, id: &HostId) {
        let Some(host) = self.hosts.get_mut(id) else {
            return;
        };
        if host.is_paused || host.is_cut {
            return;
        }
        self.tell(|| format!("{id} goes on"));
        let inbox = std::mem::take(&mut self.hosts.get_mut(id).unwrap().inbox);
        for happening in inbox {
            if self.hosts.contains_key(id) {
                happening(self);
            }
        }
    }

    /// All faults are over; what they left is there.
    pub fn heal(&mut self) {
        self.tell(|| "no more faults".to_owned());
        self.lost = 0;
        self.late = 0;
        self.bad_images.clear();
        self.store.is_away = false;
        self.mend_pops();
        let hosts: Vec<_> = self.hosts.keys().cloned().collect();
        for host in hosts {
            self.resume_host(&host);
            self.mend_host(&host);
        }
        if self.hosts.is_empty() {
            self.join_host();
        }
        for index in 0..self.managers.len() {
            self.resume_manager(index);
            self.mend_manager(index);
            self.start_manager(index);
        }
    }
}

//! Managers: a lease and a core each, and what the shell does around them.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    rc::Rc,
    time::{Duration, Instant},
};

use trellis_lattice::{HostId, control::host::Host as Pinged};
use trellis_wadm::{
    Settings,
    lease::{Candidate, Entry},
    reconcile::{Answer, Core, Effect, FailureKind, News, Question},
    rollout::Moment,
    store::{Catalog, StoredApp},
};

use crate::{
    message::{Reply, failure},
    world::{Happening, World},
};

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

    // === the lease ===

    fn look_at_lease(&mut self, index: usize, life: u64) {
        self.ask_store(
            index,
            life,
            |store| (store.lease.clone(), store.lease_revision),
            move |world, seen| world.saw_lease(index, life, seen),
        );
    }

    fn look_later(&mut self, index: usize, life: u64) {
        let pause = ms(Candidate::look_every(settings().lease));
        self.after(pause, move |world| {
            world.at_manager(index, life, move |world| world.look_at_lease(index, life));
        });
    }

    fn saw_lease(&mut self, index: usize, life: u64, seen: Option<(Option<Entry>, u64)>) {
        let (now, clock) = (self.now(), self.now_ms());
        let candidate = self.managers[index].candidate.as_mut().unwrap();
        let taken = seen.and_then(|(entry, revision)| {
            let entry = candidate.saw(entry.as_ref(), revision, now, clock)?;
            Some((entry, revision))
        });
        let Some((entry, revision)) = taken else {
            return self.look_later(index, life);
        };
        let fence = entry.fence;
        self.write_lease(
            index,
            life,
            entry,
            revision,
            move |world, written| match written {
                Some(Some(revision)) => world.begin_to_lead(index, life, fence, revision, now),
                _ => world.look_later(index, life),
            },
        );
    }

    fn write_lease(
        &mut self,
        index: usize,
        life: u64,
        entry: Entry,
        revision: u64,
        done: impl FnOnce(&mut World, Option<Option<u64>>) + 'static,
    ) {
        self.ask_store(
            index,
            life,
            move |store| {
                (store.lease_revision == revision).then(|| {
                    store.lease_revision += 1;
                    store.lease = Some(entry);
                    store.lease_revision
                })
            },
            done,
        );
    }

    fn begin_to_lead(
        &mut self,
        index: usize,
        life: u64,
        fence: u64,
        revision: u64,
        renewed: Instant,
    ) {
        let now = self.now();
        let until = renewed + Candidate::may_act(settings().lease);
        if now >= until {
            return self.look_later(index, life);
        }
        self.tell(|| format!("M{index} leads with {fence}"));
        self.leaderships += 1;
        let mut core = Core::new(settings(), now);
        let manager = &mut self.managers[index];
        let heard = std::mem::take(&mut manager.heard);
        let recent = Duration::from_secs(15);
        core.expect(
            heard
                .into_iter()
                .filter(|(_, at)| now.duration_since(*at) < recent),
        );
        manager.lead = Some(Lead {
            core,
            fence,
            revision,
            until,
            wake: 0,
        });
        self.check_lone_leader(index);
        self.renew_later(index, life, fence, renewed);
        self.begin(index, life, fence);
    }

    fn renew_later(&mut self, index: usize, life: u64, fence: u64, renewed: Instant) {
        let at = renewed + Candidate::renew_every(settings().lease);
        let wait = self.until_ms(at).max(1);
        self.after(wait, move |world| {
            world.at_manager(index, life, move |world| world.renew(index, life, fence));
        });
        // Whatever becomes of the renewal, it is over then.
        let until = self.managers[index].lead.as_ref().map(|lead| lead.until);
        let wait = self.until_ms(until.unwrap_or(at));
        self.after(wait, move |world| {
            world.at_manager(index, life, move |world| {
                let now = world.now();
                let lead = world.managers[index].lead.as_ref();
                if lead.is_some_and(|lead| lead.fence == fence && now >= lead.until) {
                    world.step_down(index, life, 0);
                }
            });
        });
    }

    fn renew(&mut self, index: usize, life: u64, fence: u64) {
        let now = self.now();
        let Some(lead) = self.managers[index]
            .lead
            .as_ref()
            .filter(|lead| lead.fence == fence)
        else {
            return;
        };
        let entry = Entry {
            holder: format!("M{index}-{life}"),
            fence,
        };
        let revision = lead.revision;
        self.write_lease(index, life, entry, revision, move |world, written| {
            let Some(lead) = &mut world.managers[index].lead else {
                return;
            };
            if lead.fence != fence {
                return;
            }
            match written {
                Some(Some(revision)) if now < lead.until => {
                    lead.revision = revision;
                    lead.until = now + Candidate::may_act(settings().lease);
                    world.renew_later(index, life, fence, now);
                }
                // Another's, or nobody knows: an answer that was lost counts as another's here.
                _ => world.step_down(index, life, 0),
            }
        });
    }

    fn step_down(&mut self, index: usize, life: u64, outbid: u64) {
        self.tell(|| format!("M{index} leads no more"));
        let manager = &mut self.managers[index];
        if let Some(lead) = manager.lead.take() {
            manager.heard = lead
                .core
                .heard()
                .map(|(host, at)| (host.clone(), at))
                .collect();
        }
        manager.candidate.as_mut().unwrap().outbid(outbid);
        self.look_later(index, life);
    }

    /// Whether it acts now.
    pub fn is_leading(&self, index: usize) -> bool {
        let lead = self.managers[index].lead.as_ref();
        lead.is_some_and(|lead| self.now() < lead.until)
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
                (apps, store.owned.clone(), store.rollouts.clone())
            },
            move |world, read| {
                let lead = world.managers[index].lead.as_ref();
                if lead.is_none_or(|lead| lead.fence != fence) {
                    return;
                }
                let Some((apps, owned, rollouts)) = read else {
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

    fn perform(&mut self, index: usize, life: u64, fence: u64, effect: Effect) {
        let from = (index, life);
        match effect {
            Effect::Ask(id, Question::Hosts) => self.ping(from, fence, id),
            Effect::Ask(id, Question::Inventory(host)) => {
                self.ask_inventory(from, fence, id, host, 5000)
            }
            Effect::Ask(id, Question::Probe(host)) => {
                let timeout = ms(settings().probe);
                self.ask_inventory(from, fence, id, host, timeout);
            }
            Effect::Ask(id, Question::Links) => self.request(
                from,
                None,
                5000,
                move |world, _| Ok(world.links.values().cloned().collect()),
                move |world, links| {
                    world.told(index, fence, News::Answer(id, Answer::Links(links)))
                },
            ),
            Effect::Ask(id, Question::Config(name)) => self.request(
                from,
                None,
                5000,
                move |world, _| Ok(world.configs.get(&name).cloned()),
                move |world, config| {
                    world.told(index, fence, News::Answer(id, Answer::Config(config)))
                },
            ),
            Effect::Command(id, command) => {
                self.check_lone_leader(index);
                let host = command.host().cloned();
                self.request(
                    from,
                    host,
                    5000,
                    move |world, host| world.take_command(host, &command, fence),
                    move |world, done| world.told(index, fence, News::Done(id, done)),
                );
            }
            Effect::NoteOwned(id, app, owned) => self.ask_store(
                index,
                life,
                move |store| store.owned.insert(app, owned),
                move |world, noted| world.told(index, fence, News::Noted(id, noted_or_not(noted))),
            ),
            Effect::NoteStatus(id, _, _) => self.ask_store(
                index,
                life,
                |_| (),
                move |world, noted| world.told(index, fence, News::Noted(id, noted_or_not(noted))),
            ),
            Effect::NoteRollout(id, app, rollout) => self.ask_store(
                index,
                life,
                move |store| match rollout {
                    Some(rollout) => store.rollouts.insert(app, rollout),
                    None => store.rollouts.remove(&app),
                },
                move |world, noted| world.told(index, fence, News::Noted(id, noted_or_not(noted))),
            ),
            Effect::GoBack(id, back) => self.ask_store(
                index,
                life,
                move |store| {
                    if let Some(app) = store.apps.get_mut(&back.app)
                        && app.deployed_version.as_ref() == Some(&back.from)
                        && app.manifests.contains_key(&back.to)
                    {
                        app.deployed_version = Some(back.to);
                    }
                },
                move |world, noted| {
                    world.manifests_changed();
                    world.told(index, fence, News::Noted(id, noted_or_not(noted)));
                },
            ),
            Effect::TellRollout(_) | Effect::Event(_) => {}
            Effect::ReadCatalog => self.ask_store(
                index,
                life,
                |_| (),
                move |world, read| {
                    if read.is_some() {
                        let apps = world.store.apps.clone();
                        world.told(index, fence, News::Catalog(Catalog::from_iter(apps)));
                    }
                },
            ),
            Effect::StepDown(outbid) => {
                if self.managers[index].lead.is_some() {
                    self.step_down(index, life, outbid);
                }
            }
        }
    }

    fn ping(&mut self, from: (usize, u64), fence: u64, id: u64) {
        let (index, life) = from;
        let answers: Rc<RefCell<Vec<Pinged>>> = Rc::default();
        let hosts: Vec<HostId> = self.hosts.keys().cloned().collect();
        for host in hosts {
            let answers = answers.clone();
            self.request(
                from,
                Some(host),
                500,
                move |world, host| {
                    // A ping is answered whoever asks.
                    let _ = world.pass_fence(host, fence);
                    let labels = &world.hosts[host].labels;
                    let pinged =
                        serde_json::json!({"id": host, "labels": labels, "lattice": "default"});
                    Ok(serde_json::from_value::<Pinged>(pinged).unwrap())
                },
                move |_, pinged: Reply<Pinged>| answers.borrow_mut().extend(pinged.ok()),
            );
        }
        self.after(501, move |world| {
            world.at_manager(index, life, move |world| {
                let mut hosts = answers.take();
                hosts.sort_by(|a, b| a.id.cmp(&b.id));
                hosts.dedup_by(|a, b| a.id == b.id);
                world.told(index, fence, News::Answer(id, Answer::Hosts(Ok(hosts))));
            });
        });
    }

    fn ask_inventory(
        &mut self,
        from: (usize, u64),
        fence: u64,
        id: u64,
        host: HostId,
        timeout: u64,
    ) {
        self.request(
            from,
            Some(host),
            timeout,
            move |world, host| Ok(Box::new(world.inventory(host))),
            move |world, inventory| {
                world.told(
                    from.0,
                    fence,
                    News::Answer(id, Answer::Inventory(inventory)),
                );
            },
        );
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

fn noted_or_not<T>(noted: Option<T>) -> Reply<()> {
    match noted {
        Some(_) => Ok(()),
        None => failure(FailureKind::Other, "the store does not answer"),
    }
}

//! Doing what a core wants done.

use std::{cell::RefCell, rc::Rc};

use trellis_lattice::{HostId, control::host::Host as Pinged};
use trellis_wadm::{
    reconcile::{Answer, Effect, FailureKind, News, Question},
    store::Catalog,
};

use super::ms;
use crate::{
    message::{Reply, failure},
    world::World,
};

impl World {
    pub(super) fn perform(&mut self, index: usize, life: u64, fence: u64, effect: Effect) {
        let from = (index, life);
        match effect {
            Effect::Ask(id, Question::Hosts) => self.ping(from, fence, id),
            Effect::Ask(id, Question::Inventory(host)) => {
                self.ask_inventory(from, fence, id, host, 5000)
            }
            Effect::Ask(id, Question::Probe(host)) => {
                let lead = self.managers[index].lead.as_ref();
                let timeout = lead.map_or(400, |lead| ms(lead.core.patience(&host)));
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
                self.check_cut(&command);
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
            Effect::NoteHost(id, host, noted) => self.ask_store(
                index,
                life,
                move |store| match noted {
                    Some(noted) => store.hosts.insert(host, noted),
                    None => store.hosts.remove(&host),
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
}

fn noted_or_not<T>(noted: Option<T>) -> Reply<()> {
    match noted {
        Some(_) => Ok(()),
        None => failure(FailureKind::Other, "the store does not answer"),
    }
}

//! Messages between managers and hosts over NATS.

use std::{cell::RefCell, rc::Rc};

use trellis_lattice::{HostId, event::Event};
use trellis_wadm::reconcile::{Failure, FailureKind, News};

use crate::world::World;

/// What a host answers.
pub type Reply<T> = Result<T, Failure>;

pub fn failure<T>(kind: FailureKind, message: &str) -> Reply<T> {
    Err(Failure {
        kind,
        message: message.into(),
    })
}

impl World {
    /// A manager's request to a host, or to any host. `act` is what the host does, maybe twice; `done` is told at the
    /// manager what came of it, once.
    pub fn request<T: 'static>(
        &mut self,
        (manager, life): (usize, u64),
        host: Option<HostId>,
        timeout: u64,
        act: impl Fn(&mut World, &HostId) -> Reply<T> + 'static,
        done: impl FnOnce(&mut World, Reply<T>) + 'static,
    ) {
        let done = Rc::new(RefCell::new(Some(done)));
        let answer = move |world: &mut World, reply: Reply<T>| {
            let done = done.clone();
            world.at_manager(manager, life, move |world| {
                // In its own statement, so that it is not borrowed while it runs.
                let first = done.borrow_mut().take();
                if let Some(done) = first {
                    done(world, reply);
                }
            });
        };
        let times_out = answer.clone();
        self.after(timeout, move |world| {
            times_out(world, failure(FailureKind::TimedOut, "no answer in time"));
        });
        if host.as_ref().is_some_and(|host| self.refuses_at_once(host)) {
            let delay = self.delay();
            let refused = answer.clone();
            self.after(delay, move |world| {
                refused(world, failure(FailureKind::NoResponder, "nobody is there"));
            });
        }
        let act = Rc::new(act);
        let times = if self.lost > 0 && self.rng.chance(5) {
            2
        } else {
            1
        };
        for _ in 0..times {
            if self.is_lost() {
                continue;
            }
            let (host, act, answer) = (host.clone(), act.clone(), answer.clone());
            let delay = self.delay();
            let send = move |world: &mut World| {
                world.after(delay, move |world| world.arrive(host, act, answer));
            };
            match self.managers[manager].is_cut {
                // Sent when the connection is back.
                true => self.managers[manager].unsent.push(Box::new(send)),
                false => send(self),
            }
        }
    }

    fn arrive<T: 'static>(
        &mut self,
        host: Option<HostId>,
        act: Rc<impl Fn(&mut World, &HostId) -> Reply<T> + 'static>,
        answer: impl FnOnce(&mut World, Reply<T>) + 'static,
    ) {
        let host = host.or_else(|| {
            let there: Vec<_> = self
                .hosts
                .iter()
                .filter(|(_, host)| !host.is_cut && !host.is_paused)
                .filter(|(_, host)| self.reaches(host) && self.hears(host))
                .map(|(id, _)| id.clone())
                .collect();
            (!there.is_empty()).then(|| self.rng.pick(&there).clone())
        });
        let is_there = host
            .as_ref()
            .is_some_and(|host| self.hosts.contains_key(host));
        let (Some(host), true) = (host, is_there) else {
            let delay = self.delay();
            self.after(delay, move |world| {
                answer(world, failure(FailureKind::NoResponder, "nobody is there"));
            });
            return;
        };
        if !self.reaches(&self.hosts[&host]) {
            // Lost where the link is cut.
            return;
        }
        self.at_host(&host.clone(), move |world| {
            let reply = act(world, &host);
            world.leave_host(&host, move |world| answer(world, reply));
        });
    }

    /// Happens at a host: once it goes on, where it is paused or cut off; never, if it is gone by then.
    pub fn at_host(&mut self, id: &HostId, happening: impl FnOnce(&mut World) + 'static) {
        let Some(host) = self.hosts.get_mut(id) else {
            return;
        };
        match host.is_paused || host.is_cut {
            true => host.inbox.push(Box::new(happening)),
            false => happening(self),
        }
    }

    /// A message leaves a host, and arrives unless it is lost.
    fn leave_host(&mut self, id: &HostId, arrives: impl FnOnce(&mut World) + 'static) {
        if self.is_lost() {
            return;
        }
        let delay = self.delay();
        if self.hosts.get(id).is_some_and(|host| !self.hears(host)) {
            return;
        }
        let Some(host) = self.hosts.get_mut(id) else {
            return;
        };
        let send = move |world: &mut World| world.after(delay, arrives);
        match host.is_cut {
            true => host.unsent.push(Box::new(send)),
            false => send(self),
        }
    }

    /// A host tells everybody of something. Of one host everybody hears it in order, as far as at all.
    pub fn emit(&mut self, id: &HostId, event: Event) {
        self.tell(|| format!("{id} tells {}", event.name()));
        if !self.hears(&self.hosts[id]) {
            return;
        }
        for manager in 0..self.managers.len() {
            let times = if self.lost > 0 && self.rng.chance(5) {
                2
            } else {
                1
            };
            for _ in 0..times {
                if self.is_lost() {
                    continue;
                }
                let (source, event, delay) = (id.clone(), event.clone(), self.delay());
                let send = move |world: &mut World| world.send_event(manager, source, event, delay);
                let host = self
                    .hosts
                    .get_mut(id)
                    .expect("only hosts that are there tell something");
                match host.is_cut {
                    true => host.unsent.push(Box::new(send)),
                    false => send(self),
                }
            }
        }
    }

    fn send_event(&mut self, manager: usize, source: HostId, event: Event, delay: u64) {
        let Some(life) = self.managers[manager].life_now() else {
            return;
        };
        let last = self.managers[manager].last_event.get(&source).copied();
        let at = last.unwrap_or_default().max(self.now_ms() + delay);
        self.managers[manager].last_event.insert(source.clone(), at);
        self.after(at - self.now_ms(), move |world| {
            if !world.managers[manager].is_cut {
                world.at_manager(manager, life, move |world| {
                    world.news(manager, News::Event(source, Box::new(event)));
                });
            }
        });
    }
}

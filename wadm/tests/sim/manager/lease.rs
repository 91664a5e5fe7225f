//! The managers' lease.

use std::time::{Duration, Instant};

use trellis_wadm::{
    lease::{Candidate, Entry},
    reconcile::Core,
};

use super::{Lead, ms, settings};
use crate::world::World;

impl World {
    pub(super) fn look_at_lease(&mut self, index: usize, life: u64) {
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

    pub(super) fn step_down(&mut self, index: usize, life: u64, outbid: u64) {
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
}

//! Rollouts: begun when a version is deployed, gone on with after each plan, noted before anything follows.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use trellis_lattice::{ComponentId, HostId};

use super::{
    super::{Effect, Id},
    Core,
};
use crate::{
    desired::App,
    manifest::Manifest,
    plan::Plan,
    rollout::{Moment, Rolling, Rollout, Rollouts, Wish},
    store::StoredApp,
};

/// How often hosts are asked how calls go, while somebody wants to know.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// The rollouts, and what is being done for them.
#[derive(Debug)]
pub(super) struct Rolls {
    rollouts: Rollouts,
    noting: BTreeMap<Id, (String, Option<Rollout>)>,
    going_back: BTreeMap<Id, String>,
    /// Two names of one time.
    clock: (Instant, Moment),
    watched_at: Instant,
    to_note: Vec<(String, Option<Rollout>)>,
    /// Whether there may be something to do.
    has_news: bool,
}

impl Rolls {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            rollouts: Rollouts::default(),
            noting: BTreeMap::new(),
            going_back: BTreeMap::new(),
            clock: (now, Moment::default()),
            watched_at: now,
            to_note: Vec::new(),
            has_news: true,
        }
    }

    /// What is noted was read (anew). What is being written now counts as not written.
    pub(super) fn begin(&mut self, noted: BTreeMap<String, Rollout>, at: Moment, now: Instant) {
        *self = Self {
            rollouts: Rollouts::new(noted),
            clock: (now, at),
            ..Self::new(now)
        };
    }

    /// What the planner has to know.
    pub(super) fn rolling(
        &self,
        desired: &BTreeMap<String, App>,
    ) -> BTreeMap<String, BTreeMap<ComponentId, Rolling>> {
        self.rollouts.rolling(desired)
    }

    /// The next thing to do, if any. `id` names it.
    pub(super) fn send(
        &mut self,
        id: Id,
        desired: &BTreeMap<String, App>,
        now: Instant,
    ) -> Option<Effect> {
        if !self.has_news {
            return None;
        }
        let moment = self.moment(now);
        if self.to_note.is_empty() {
            self.to_note = self.rollouts.to_note(moment);
        }
        if let Some((app, rollout)) = self.to_note.pop() {
            self.noting.insert(id, (app.clone(), rollout.clone()));
            return Some(Effect::NoteRollout(id, app, rollout));
        }
        if let Some(back) = self.rollouts.to_go_back(desired, moment) {
            self.going_back.insert(id, back.app.clone());
            return Some(Effect::GoBack(id, back));
        }
        let happened = self.rollouts.happened().map(Effect::TellRollout);
        self.has_news = happened.is_some();
        happened
    }

    /// Something was written or not; whether it was one of ours.
    pub(super) fn written(&mut self, id: Id, is_done: bool, now: Instant) -> bool {
        self.has_news = true;
        let moment = self.moment(now);
        if let Some((app, rollout)) = self.noting.remove(&id) {
            match is_done {
                true => self.rollouts.noted(&app, rollout),
                false => self.rollouts.not_noted(&app, moment),
            }
            return true;
        }
        if let Some(app) = self.going_back.remove(&id) {
            self.rollouts.went_back(&app, moment);
            return true;
        }
        false
    }

    /// Whether something is due.
    pub(super) fn wake(&mut self, now: Instant) -> bool {
        let is_due = self.next().is_some_and(|at| at <= now);
        if is_due {
            self.has_news = true;
            self.watched_at = now;
        }
        is_due
    }

    /// The hosts that have to tell how calls go.
    pub(super) fn watched(&self) -> Vec<HostId> {
        self.rollouts.watched().into_iter().cloned().collect()
    }

    /// When something is due.
    pub(super) fn next(&self) -> Option<Instant> {
        let watch = self
            .rollouts
            .is_watching()
            .then(|| self.watched_at + WATCH_EVERY);
        let due = self.rollouts.next();
        let due = due.and_then(|moment| self.instant(moment));
        // What is due and can't be gone on with must not keep us busy.
        let due = due.map(|at| at.max(self.watched_at + WATCH_EVERY));
        watch.into_iter().chain(due).min()
    }

    /// What time it is for everybody.
    pub(super) fn moment(&self, now: Instant) -> Moment {
        let (instant, moment) = self.clock;
        moment.after(now.saturating_duration_since(instant))
    }

    /// `None` for a time that is too far away.
    pub(super) fn instant(&self, then: Moment) -> Option<Instant> {
        let (instant, moment) = self.clock;
        instant.checked_add(then.since(moment))
    }
}

impl Core {
    /// Begins the rollouts of versions that were deployed.
    pub(super) fn begin_rollouts(&mut self, now: Instant) {
        let stored: BTreeMap<&str, &StoredApp> = self.catalog.apps().collect();
        let deployed = |name: &str| -> Option<&Manifest> { Some(stored.get(name)?.deployed()?.1) };
        let others = |name: &str, but: &str| -> Vec<App> {
            let manifests = stored.get(name).map(|app| &app.manifests);
            let others = manifests.into_iter().flatten().rev();
            others
                .filter(|(version, _)| *version != but)
                .map(|(version, manifest)| App::new(version, manifest, &deployed))
                .collect()
        };
        let wish =
            |name: &str| -> Wish { stored.get(name).map(|app| app.rollout).unwrap_or_default() };
        self.rolls.has_news = true;
        let moment = self.rolls.moment(now);
        self.rolls
            .rollouts
            .begin(&self.desired, &others, &wish, &self.observed, moment);
    }

    /// Goes on with rollouts after a plan.
    pub(super) fn step_rollouts(&mut self, plan: &Plan, now: Instant) {
        let stored: BTreeMap<&str, &StoredApp> = self.catalog.apps().collect();
        let is_stored = |name: &str, version: &str| {
            stored
                .get(name)
                .is_some_and(|app| app.manifests.contains_key(version))
        };
        let wish =
            |name: &str| -> Wish { stored.get(name).map(|app| app.rollout).unwrap_or_default() };
        let moment = self.rolls.moment(now);
        self.rolls.rollouts.step(
            &self.desired,
            &is_stored,
            &wish,
            plan,
            &self.observed,
            &self.attempts,
            moment,
        );
    }
}

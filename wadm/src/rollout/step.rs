//! How a rollout goes on. Hosts are given the new release in batches; a batch comes only after all before it are well
//! and, where there is a health gate, were watched. Whatever goes wrong meanwhile turns it round.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use trellis_lattice::HostId;

use super::{
    Counters, HostView, Moment, PartRollout, PartView, Phase, Rollout, View,
    gate::{self, Verdict},
};
use crate::manifest::{HealthGate, Strategy};

/// The longest that a batch is watched when there are too few calls to judge it by.
const WATCH: Duration = Duration::from_secs(10);

/// The least that it is watched: hosts tell each second.
const WATCH_LEAST: Duration = Duration::from_secs(2);

impl Rollout {
    /// How it goes on with what is seen now; `None`: as it is.
    #[must_use]
    pub fn step(&self, view: &View, now: Moment) -> Option<Self> {
        let mut next = self.clone();
        next.go_on(view, now);
        (next != *self).then_some(next)
    }

    /// When it may go on without anything happening in the lattice.
    pub fn wakes(&self, view: &View) -> Option<Moment> {
        if self.paused.is_some() {
            return None;
        }
        match self.phase {
            Phase::Progressing { since } => {
                let part = view.parts.get(&self.parts.get(self.at)?.id)?;
                Some(since.after(part.properties.deadline.0))
            }
            Phase::Watching { until } | Phase::Holding { until } => Some(until),
            _ => None,
        }
    }

    /// Whether how calls go decides about it now.
    pub(super) fn is_gated(&self, view: &View) -> bool {
        let is_on = matches!(
            self.phase,
            Phase::Progressing { .. } | Phase::Watching { .. } | Phase::Holding { .. }
        );
        let part = self.parts.get(self.at);
        let seen = part.and_then(|part| view.parts.get(&part.id));
        is_on && seen.is_some_and(|seen| seen.properties.health.is_some())
    }

    fn go_on(&mut self, view: &View, now: Moment) {
        self.hold(view.wish.paused, now);
        match &mut self.phase {
            Phase::Done | Phase::RolledBack { .. } => {}
            Phase::Failed { .. } => {
                if view.wish.retries > self.retries {
                    self.retries = view.wish.retries;
                    self.phase = Phase::Progressing { since: now };
                }
            }
            Phase::RollingBack {
                why,
                deployed: false,
            } if view.version != self.to && !view.can_go_back => {
                let why = why.clone();
                self.stay(why);
            }
            Phase::RollingBack { deployed, .. } => {
                *deployed = *deployed || view.version == self.to;
                if *deployed && self.pending(view).is_empty() {
                    self.grant(view, now);
                }
            }
            // Held or not: what is broken goes back.
            _ => match self.trouble(view, now) {
                Some(why) => self.fail(why, view),
                None if self.paused.is_some() => {}
                None => self.progress(view, now),
            },
        }
    }

    /// Begins or ends a pause. Nothing's time runs meanwhile.
    fn hold(&mut self, is_paused: bool, now: Moment) {
        match (self.paused, is_paused && self.is_open() && !self.is_back()) {
            (None, true) => self.paused = Some(now),
            (Some(then), false) => {
                let pause = now.since(then);
                self.paused = None;
                match &mut self.phase {
                    Phase::Progressing { since: time }
                    | Phase::Watching { until: time }
                    | Phase::Holding { until: time } => *time = time.after(pause),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// What is wrong with the new release.
    fn trouble(&self, view: &View, now: Moment) -> Option<String> {
        let part = self.parts.get(self.at)?;
        let seen = view.parts.get(&part.id)?;
        let refused = part
            .updated
            .iter()
            .filter_map(|host| seen.hosts.get(host))
            .filter(|host| !host.is_healthy)
            .find_map(|host| Some((&host.name, host.failure.as_ref()?)));
        if let Some((host, why)) = refused {
            return Some(format!("{} on host {host}: {why}", part.id));
        }
        if let Some(gate) = &seen.properties.health
            && let Verdict::Broken(why) = judge(gate, part, seen)
        {
            return Some(format!("{}: {why}", part.id));
        }
        let deadline = seen.properties.deadline.0;
        let Phase::Progressing { since } = self.phase else {
            return None;
        };
        if self.paused.is_some() || now.since(since) < deadline {
            return None;
        }
        let deadline = humantime::format_duration(deadline);
        if !seen.is_placed {
            return Some(format!(
                "{} waits for its configurations for more than {deadline}",
                part.id
            ));
        }
        let host = &self.pending(view).first()?.name;
        Some(format!(
            "{} does not run well on host {host} within {deadline}",
            part.id
        ))
    }

    /// Stops, and turns round where it may.
    fn fail(&mut self, why: String, view: &View) {
        let goes_back = self
            .parts
            .get(self.at)
            .and_then(|part| view.parts.get(&part.id))
            .is_some_and(|seen| seen.properties.auto_rollback);
        match self.from.take() {
            Some(from) if goes_back && view.can_go_back => self.turn(from, why),
            from => {
                let stays = match (&from, goes_back) {
                    (_, false) => "autoRollback is off",
                    (None, true) => "no version before is known",
                    (Some(_), true) => "the version before is no longer stored",
                };
                self.from = from;
                self.phase = Phase::Failed {
                    why: format!("{why} (it stays half-way: {stays})"),
                };
            }
        }
    }

    /// Goes back to the version before.
    fn turn(&mut self, from: String, why: String) {
        self.swap(from);
        self.paused = None;
        self.phase = Phase::RollingBack {
            why,
            deployed: false,
        };
    }

    /// Stays where it is after all: the version before was deleted before it was deployed again.
    fn stay(&mut self, why: String) {
        let gone = self.to.clone();
        if let Some(failed) = self.from.take() {
            self.swap(failed);
        }
        self.phase = Phase::Failed {
            why: format!(
                "{why} (it stays half-way: version {gone}, to go back to, was deleted; deploy another one)"
            ),
        };
    }

    /// Goes the other way, from its beginning.
    fn swap(&mut self, to: String) {
        self.from = Some(std::mem::replace(&mut self.to, to));
        self.at = 0;
        for part in &mut self.parts {
            if let Some(before) = part.old.first_mut() {
                std::mem::swap(before, &mut part.new);
            }
            part.updated.clear();
            part.baseline.clear();
            part.step = 0;
        }
    }

    fn progress(&mut self, view: &View, now: Moment) {
        let (Some(part), pending) = (self.parts.get(self.at), self.pending(view)) else {
            return self.grant(view, now);
        };
        let Some(seen) = view.parts.get(&part.id).filter(|seen| seen.is_placed) else {
            return;
        };
        let gate = seen.properties.health.as_ref();
        match self.phase {
            Phase::Progressing { .. } if !pending.is_empty() => {}
            Phase::Progressing { .. } => match gate {
                Some(_) if !part.updated.is_empty() && !seen.hosts.is_empty() => {
                    self.phase = Phase::Watching {
                        until: now.after(WATCH),
                    };
                }
                _ => self.grant(view, now),
            },
            Phase::Watching { until } => {
                let seen_enough = until.since(now) <= WATCH.saturating_sub(WATCH_LEAST);
                let is_kept = gate.is_none_or(|gate| judge(gate, part, seen) == Verdict::Kept);
                if now >= until || (is_kept && seen_enough) {
                    self.grant(view, now);
                }
            }
            Phase::Holding { until } if now >= until => {
                if let Some(part) = self.parts.get_mut(self.at) {
                    part.step = part.step.saturating_add(1);
                }
                self.grant(view, now);
            }
            _ => {}
        }
    }

    /// The hosts that may run the new release and don't run it well.
    fn pending<'v>(&self, view: &'v View) -> Vec<&'v HostView> {
        let Some(part) = self.parts.get(self.at) else {
            return Vec::new();
        };
        let hosts = view.parts.get(&part.id).map(|seen| &seen.hosts);
        hosts
            .into_iter()
            .flatten()
            .filter(|(id, host)| part.updated.contains(*id) && !host.is_healthy)
            .map(|(_, host)| host)
            .collect()
    }

    /// After the last part, goes back to one whose hosts could not be seen when it was its turn, and now are.
    fn turn_to_who_is_behind(&mut self, view: &View) {
        if self.at < self.parts.len() {
            return;
        }
        let is_behind = |part: &PartRollout| {
            let hosts = view.parts.get(&part.id).map(|seen| &seen.hosts);
            let mut hosts = hosts.into_iter().flatten();
            hosts.any(|(id, host)| !host.is_new && !part.updated.contains(id))
        };
        if let Some(behind) = self.parts.iter().position(is_behind) {
            self.at = behind;
        }
    }

    /// Gives the next batch of hosts the new release, or ends.
    fn grant(&mut self, view: &View, now: Moment) {
        let is_back = self.is_back();
        self.turn_to_who_is_behind(view);
        loop {
            let Some(part) = self.parts.get_mut(self.at) else {
                // Who can't be seen has the old release still, and needs what belongs to it.
                if view.parts.values().any(|seen| seen.unseen > 0) {
                    return;
                }
                self.phase = match &self.phase {
                    Phase::RollingBack { why, .. } => Phase::RolledBack { why: why.clone() },
                    _ => Phase::Done,
                };
                self.parts.iter_mut().for_each(|part| part.baseline.clear());
                return;
            };
            let Some(seen) = view.parts.get(&part.id).filter(|seen| seen.is_placed) else {
                return;
            };
            // With no host there is nothing to say yet. But what else is new must not wait for that for ever.
            if seen.hosts.is_empty() && seen.instances > 0 && seen.unseen == 0 {
                let since = match self.phase {
                    Phase::Progressing { since } => since,
                    _ => now,
                };
                if now.since(since) < seen.properties.deadline.0 && !is_back {
                    self.phase = Phase::Progressing { since };
                    return;
                }
                self.at = self.at.saturating_add(1);
                if !is_back {
                    self.phase = Phase::Progressing { since: now };
                }
                continue;
            }
            part.updated.retain(|host| seen.hosts.contains_key(host));
            let changing =
                |(id, host): &(&HostId, &HostView)| part.updated.contains(*id) || !host.is_new;
            part.hosts = seen.hosts.iter().filter(changing).count();
            // A host that was well meanwhile fell back: first that.
            let is_behind = seen
                .hosts
                .iter()
                .any(|(id, host)| part.updated.contains(id) && !host.is_healthy);
            let batch = match is_behind {
                true => BTreeSet::new(),
                false => match batch(part, seen, is_back) {
                    Batch::Hosts(batch) => batch,
                    Batch::Hold(pause) if pause.is_zero() => {
                        part.step = part.step.saturating_add(1);
                        continue;
                    }
                    Batch::Hold(pause) => {
                        self.phase = Phase::Holding {
                            until: now.after(pause),
                        };
                        return;
                    }
                    Batch::Complete => {
                        self.at = self.at.saturating_add(1);
                        continue;
                    }
                },
            };
            if !is_back {
                part.baseline = baseline(seen, &batch);
                self.phase = Phase::Progressing { since: now };
            }
            part.updated.extend(batch);
            return;
        }
    }
}

/// What comes next for a part whose updated hosts are all well.
enum Batch {
    /// These hosts.
    Hosts(BTreeSet<HostId>),
    /// The canary's step is reached and held for so long.
    Hold(Duration),
    /// Every host has it.
    Complete,
}

fn batch(part: &PartRollout, seen: &PartView, is_back: bool) -> Batch {
    let has_it = |id: &HostId, host: &HostView| host.is_new || part.updated.contains(id);
    let mut rest: Vec<_> = seen
        .hosts
        .iter()
        .filter(|(id, host)| !has_it(id, host))
        .collect();
    // Where nothing runs nothing is lost.
    rest.sort_by_key(|(id, host)| (host.runs, *id));
    let canary = match seen.properties.strategy {
        Strategy::Canary if !is_back => seen.properties.steps.get(part.step),
        _ => None,
    };
    let instances = |host: &HostView| u64::from(host.instances);
    let mut wanted = u64::MAX;
    if let Some(step) = canary {
        let all: u64 = seen.hosts.values().map(instances).sum();
        let has: u64 = seen
            .hosts
            .iter()
            .filter(|(id, host)| has_it(id, host))
            .map(|(_, host)| instances(host))
            .sum();
        let share = all.saturating_mul(u64::from(step.weight)).div_ceil(100);
        if has >= share || rest.is_empty() {
            return Batch::Hold(step.pause.0);
        }
        wanted = share.saturating_sub(has);
    }
    if rest.is_empty() {
        return Batch::Complete;
    }
    let properties = &seen.properties;
    let room = match seen.is_provider {
        true => 1,
        false => u64::from(
            properties
                .max_unavailable
                .saturating_add(properties.max_surge),
        ),
    };
    let mut batch = BTreeSet::new();
    let mut taken: u64 = 0;
    for (id, host) in rest {
        let with = taken.saturating_add(instances(host));
        if !batch.is_empty() && (with > room || taken >= wanted) {
            break;
        }
        taken = with;
        batch.insert(id.clone());
    }
    Batch::Hosts(batch)
}

/// How calls went until now, of the hosts that go on counting when these ones get the new release.
fn baseline(seen: &PartView, batch: &BTreeSet<HostId>) -> BTreeMap<HostId, Counters> {
    seen.hosts
        .iter()
        .filter(|(id, host)| host.is_new || (batch.contains(*id) && host.keeps_counters))
        .filter_map(|(id, host)| Some((id.clone(), host.counters.clone()?)))
        .filter(|(_, counters)| counters.calls > 0)
        .collect()
}

/// Judges the calls of all hosts that run the new release since the step began.
fn judge(gate: &HealthGate, part: &PartRollout, seen: &PartView) -> Verdict {
    let mut sum = Counters::default();
    let nothing = Counters::default();
    for (id, host) in seen.hosts.iter().filter(|(_, host)| host.is_new) {
        if let Some(counters) = &host.counters {
            sum.add(&counters.since(part.baseline.get(id).unwrap_or(&nothing)));
        }
    }
    gate::judge(gate, &sum)
}

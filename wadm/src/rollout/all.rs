//! The rollouts of all applications: begun when another version is deployed, noted, and followed to their end. What is
//! not noted yet has no effect, so nothing that was done is ever unknown to whoever leads next.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use trellis_lattice::{ComponentId, HostId};

use super::{
    Moment, Phase, Rolling, Rollout, View, Wish,
    begin::{Start, begin},
};
use crate::{
    attempts::Attempts,
    desired::App,
    observed::Observed,
    plan::{Plan, Running},
};

/// The wait before something that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The rollouts of a lattice.
#[derive(Debug, Default)]
pub struct Rollouts {
    by_app: BTreeMap<String, Tracked>,
    /// Versions of which nothing has to be rolled out, by application.
    settled: BTreeMap<String, String>,
    happened: VecDeque<Happened>,
}

/// One application's.
#[derive(Debug, Default)]
struct Tracked {
    /// As it is noted.
    noted: Option<Rollout>,
    /// As it ought to be noted.
    wanted: Option<Rollout>,
    /// What is being noted.
    noting: Wait,
    /// Whether the version before is being deployed.
    deploying: Wait,
    /// When it goes on by itself.
    wakes: Option<Moment>,
    /// Whether how calls go decides about it now.
    is_gated: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Wait {
    #[default]
    No,
    Answer,
    Until(Moment),
}

impl Wait {
    fn is_due(self, now: Moment) -> bool {
        match self {
            Self::No => true,
            Self::Answer => false,
            Self::Until(time) => now >= time,
        }
    }
}

/// A step of a rollout, for whoever wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happened {
    /// The application.
    pub app: String,
    /// The event's name: `rollout_started`, `rollout_progressed`, `rollout_paused`, `rollout_resumed`,
    /// `rollout_failed`, `rollout_rolling_back`, `rollout_rolled_back`, `rollout_done`.
    pub event: &'static str,
    /// The version that it goes to.
    pub version: String,
    /// What happened, for people.
    pub message: String,
}

/// The version before has to be deployed again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoBack {
    /// The application.
    pub app: String,
    /// The version that failed; nothing is done where another one is deployed by now.
    pub from: String,
    /// The version before.
    pub to: String,
    /// Why.
    pub why: String,
}

impl Rollouts {
    /// As they were noted.
    pub fn new(noted: BTreeMap<String, Rollout>) -> Self {
        let track = |(app, rollout): (String, Rollout)| {
            let tracked = Tracked {
                noted: Some(rollout.clone()),
                wanted: Some(rollout),
                ..Tracked::default()
            };
            (app, tracked)
        };
        Self {
            by_app: noted.into_iter().map(track).collect(),
            ..Self::default()
        }
    }

    /// Begins the rollouts of versions that were deployed, and forgets those of applications that are no longer.
    /// `others` gives an application's other stored versions, newest first.
    pub fn begin(
        &mut self,
        desired: &BTreeMap<String, App>,
        others: &dyn Fn(&str, &str) -> Vec<App>,
        wish: &dyn Fn(&str) -> Wish,
        observed: &Observed,
        now: Moment,
    ) {
        self.settled.retain(|app, _| desired.contains_key(app));
        for (app, tracked) in &mut self.by_app {
            if !desired.contains_key(app) {
                tracked.wanted = None;
            }
        }
        let running = OnceCell::new();
        for (name, app) in desired {
            let before = self
                .by_app
                .get(name)
                .and_then(|tracked| tracked.wanted.as_ref());
            let is_known = match before {
                Some(before) => before.to == app.version || awaits(before, &app.version),
                None => self.settled.get(name) == Some(&app.version),
            };
            if is_known {
                continue;
            }
            let begun = begin(&Start {
                name,
                app,
                others: &|| others(name, &app.version),
                running: running.get_or_init(|| Running::new(observed)),
                observed,
                before,
                retries: wish(name).retries,
                now,
            });
            match begun {
                Some(rollout) => {
                    self.by_app.entry(name.clone()).or_default().wanted = Some(rollout);
                }
                None => {
                    self.settled.insert(name.clone(), app.version.clone());
                }
            }
        }
    }

    /// What the planner has to know.
    pub fn rolling(
        &self,
        desired: &BTreeMap<String, App>,
    ) -> BTreeMap<String, BTreeMap<ComponentId, Rolling>> {
        let mut all = BTreeMap::new();
        for (name, tracked) in &self.by_app {
            let (Some(wanted), Some(app)) = (&tracked.wanted, desired.get(name)) else {
                continue;
            };
            let is_noted = tracked.noted.as_ref() == Some(wanted);
            if !wanted.is_open() && is_noted {
                continue;
            }
            let status = wanted.status();
            // What is not noted yet is not allowed yet.
            let allowed = match &tracked.noted {
                Some(noted)
                    if is_noted || (noted.to == wanted.to && noted.began == wanted.began) =>
                {
                    noted
                }
                _ => wanted,
            };
            let counts = is_noted || !std::ptr::eq(allowed, wanted);
            let parts = wanted.parts.iter().map(|part| {
                let mut rolling = Rolling {
                    old: part.old.clone(),
                    updated: BTreeSet::new(),
                    status: status.clone(),
                };
                if app.version != wanted.to {
                    // The version before is not deployed yet: what runs stays.
                    rolling.old.insert(0, part.new.clone());
                } else if counts
                    && let Some(part) = allowed.parts.iter().find(|one| one.id == part.id)
                {
                    rolling.updated.clone_from(&part.updated);
                }
                (part.id.clone(), rolling)
            });
            all.insert(name.clone(), parts.collect());
        }
        all
    }

    /// Goes on with what the plan says and what is seen.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is another part of what is known"
    )]
    pub fn step(
        &mut self,
        desired: &BTreeMap<String, App>,
        is_stored: &dyn Fn(&str, &str) -> bool,
        wish: &dyn Fn(&str) -> Wish,
        plan: &Plan,
        observed: &Observed,
        attempts: &Attempts,
        now: Moment,
    ) {
        for (name, tracked) in &mut self.by_app {
            let (Some(wanted), Some(app)) = (&tracked.wanted, desired.get(name)) else {
                continue;
            };
            if !wanted.is_open() || tracked.noted.as_ref() != Some(wanted) {
                continue;
            }
            let mut view = View::new(name, app, wanted, plan, observed, attempts);
            view.wish = wish(name);
            let before = match wanted.is_back() {
                true => Some(&wanted.to),
                false => wanted.from.as_ref(),
            };
            view.can_go_back = before.is_some_and(|before| is_stored(name, before));
            tracked.wakes = wanted.wakes(&view);
            if let Some(next) = wanted.step(&view, now) {
                tracked.wakes = next.wakes(&view);
                tracked.wanted = Some(next);
            }
            tracked.is_gated = tracked
                .wanted
                .as_ref()
                .is_some_and(|rollout| rollout.is_gated(&view));
        }
    }

    /// What has to be noted now: a rollout, or that there is none.
    pub fn to_note(&mut self, now: Moment) -> Vec<(String, Option<Rollout>)> {
        let mut notes = Vec::new();
        for (name, tracked) in &mut self.by_app {
            if tracked.wanted != tracked.noted && tracked.noting.is_due(now) {
                tracked.noting = Wait::Answer;
                notes.push((name.clone(), tracked.wanted.clone()));
            }
        }
        notes
    }

    /// It is noted.
    pub fn noted(&mut self, app: &str, rollout: Option<Rollout>) {
        let Some(tracked) = self.by_app.get_mut(app) else {
            return;
        };
        tracked.noting = Wait::No;
        if let Some(after) = &rollout {
            let before = tracked.noted.as_ref();
            self.happened.extend(happened(app, before, after));
        }
        tracked.noted = rollout;
        if tracked.noted.is_none() && tracked.wanted.is_none() {
            self.by_app.remove(app);
        }
    }

    /// It could not be noted.
    pub fn not_noted(&mut self, app: &str, now: Moment) {
        if let Some(tracked) = self.by_app.get_mut(app) {
            tracked.noting = Wait::Until(now.after(RETRY));
        }
    }

    /// An application whose version before has to be deployed again now.
    pub fn to_go_back(&mut self, desired: &BTreeMap<String, App>, now: Moment) -> Option<GoBack> {
        for (name, tracked) in &mut self.by_app {
            let (Some(noted), Some(app)) = (&tracked.noted, desired.get(name)) else {
                continue;
            };
            if tracked.wanted.as_ref() != Some(noted) || !awaits(noted, &app.version) {
                continue;
            }
            if let Phase::RollingBack { why, .. } = &noted.phase
                && tracked.deploying.is_due(now)
            {
                tracked.deploying = Wait::Answer;
                return Some(GoBack {
                    app: name.clone(),
                    from: app.version.clone(),
                    to: noted.to.clone(),
                    why: why.clone(),
                });
            }
        }
        None
    }

    /// The version before was deployed, or could not be: then it is tried again in a while.
    pub fn went_back(&mut self, app: &str, now: Moment) {
        if let Some(tracked) = self.by_app.get_mut(app) {
            tracked.deploying = Wait::Until(now.after(RETRY));
        }
    }

    /// When something is due without anything happening in the lattice.
    pub fn next(&self) -> Option<Moment> {
        let waits = self.by_app.values().flat_map(|tracked| {
            let until = |wait: Wait| match wait {
                Wait::Until(time) => Some(time),
                _ => None,
            };
            let noting = until(tracked.noting).filter(|_| tracked.wanted != tracked.noted);
            let awaited = tracked.noted.as_ref().is_some_and(|noted| {
                matches!(
                    noted.phase,
                    Phase::RollingBack {
                        deployed: false,
                        ..
                    }
                )
            });
            let deploying = until(tracked.deploying).filter(|_| awaited);
            let wakes = tracked
                .wakes
                .filter(|_| tracked.wanted.as_ref().is_some_and(Rollout::is_open));
            [noting, deploying, wakes]
        });
        waits.flatten().min()
    }

    /// Whether it has to be known each second how calls go.
    pub fn is_watching(&self) -> bool {
        self.by_app.values().any(|tracked| tracked.is_gated)
    }

    /// The hosts of which it has to be known each second how calls go.
    pub fn watched(&self) -> BTreeSet<&HostId> {
        let gated = self
            .by_app
            .values()
            .filter(|tracked| tracked.is_gated)
            .filter_map(|tracked| tracked.noted.as_ref());
        gated
            .filter_map(|rollout| rollout.parts.get(rollout.at))
            .flat_map(|part| &part.updated)
            .collect()
    }

    /// The next thing that happened and was not told of.
    pub fn happened(&mut self) -> Option<Happened> {
        self.happened.pop_front()
    }

    /// An application's, as it is noted.
    pub fn of(&self, app: &str) -> Option<&Rollout> {
        self.by_app.get(app)?.noted.as_ref()
    }
}

/// Whether it goes back, and the version that failed is still the deployed one.
fn awaits(rollout: &Rollout, version: &str) -> bool {
    matches!(
        rollout.phase,
        Phase::RollingBack {
            deployed: false,
            ..
        }
    ) && rollout.from.as_deref() == Some(version)
}

fn happened(app: &str, before: Option<&Rollout>, after: &Rollout) -> Option<Happened> {
    let is_same = before.is_some_and(|before| before.began == after.began);
    let before = before.filter(|_| is_same);
    let hosts =
        |rollout: &Rollout| -> usize { rollout.parts.iter().map(|part| part.updated.len()).sum() };
    let event = match (&after.phase, before) {
        (Phase::Done, _) if after.parts.is_empty() => return None,
        (Phase::Done, _) => "rollout_done",
        (Phase::RolledBack { .. }, _) => "rollout_rolled_back",
        (Phase::Failed { .. }, _) => "rollout_failed",
        (Phase::RollingBack { .. }, Some(before)) if before.is_back() => return None,
        (Phase::RollingBack { .. }, _) => "rollout_rolling_back",
        (_, None) => "rollout_started",
        (_, Some(before)) if before.paused.is_none() && after.paused.is_some() => "rollout_paused",
        (_, Some(before)) if before.paused.is_some() && after.paused.is_none() => "rollout_resumed",
        (_, Some(before)) if hosts(before) != hosts(after) || before.phase != after.phase => {
            "rollout_progressed"
        }
        _ => return None,
    };
    Some(Happened {
        app: app.to_owned(),
        event,
        version: after.to.clone(),
        message: after.status(),
    })
}

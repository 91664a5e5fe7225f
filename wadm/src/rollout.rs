//! Rollouts: another release of a component or provider takes the old one's place host by host, watched, and gives way
//! to it again when it fails. Pure: a rollout and what is seen of the lattice go in, the rollout as it goes on comes
//! out. It is noted before anything follows from it, so whoever leads next goes on where this one was.
//!
//! - [`Release`]: what something is started from; [`Rolling`]: what the planner has to know
//! - [`Rollout`]: how far an application is; `begin` where it starts, `step` how it goes on, `gate` what the new release
//!   has to keep to, [`View`] what it sees
//! - [`Rollouts`]: those of all applications, noted and followed

mod all;
mod begin;
mod gate;
mod release;
mod report;
mod step;
mod view;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use trellis_lattice::{ComponentId, HostId};

pub use all::{GoBack, Happened, Rollouts};
pub use gate::Counters;
pub use release::{Release, Rolling};
pub use view::{HostView, PartView, View, Wish};

/// A time, as milliseconds since 1970: it is noted, and read by others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(pub u64);

impl Moment {
    /// So much later.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        let span = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(span))
    }

    /// This one, by this machine's clock.
    pub fn now() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self::default().after(since.unwrap_or_default())
    }

    /// How long it is since then; nothing where that is yet to come.
    pub fn since(self, then: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(then.0))
    }
}

/// How far an application is from one version to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// The version that it goes back to when this one fails, where one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The version that it goes to.
    pub to: String,
    /// When it began.
    pub began: Moment,
    /// How far it is.
    #[serde(flatten)]
    pub phase: Phase,
    /// Since when it is held by its user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Moment>,
    /// How often its user let it go on after it had failed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retries: u32,
    /// What changes, in the manifest's order: one after the other.
    pub parts: Vec<PartRollout>,
    /// Which of them is being changed; their number when none is left.
    #[serde(default)]
    pub at: usize,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// How far a rollout is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "kebab-case")]
pub enum Phase {
    /// Hosts take the new release.
    Progressing {
        /// Since when without progress.
        since: Moment,
    },
    /// The hosts have it; whether it keeps to its health gate is being seen.
    Watching {
        /// The longest.
        until: Moment,
    },
    /// A canary's step is reached and held.
    Holding {
        /// Until then.
        until: Moment,
    },
    /// It failed or was undone: `to` is the version before now, and hosts go back to it.
    RollingBack {
        /// Why.
        why: String,
        /// Whether that version is the deployed one already.
        deployed: bool,
    },
    /// Every host has the new release.
    Done,
    /// Every host has the version before again.
    RolledBack {
        /// Why.
        why: String,
    },
    /// It stopped half-way and stays so.
    Failed {
        /// Why.
        why: String,
    },
}

/// One component or provider of a rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRollout {
    /// Its id in the lattice.
    pub id: ComponentId,
    /// The release that it goes to.
    pub new: Release,
    /// The releases that it comes from. The first one is that of the version before, where that is known; else the one
    /// that most of it runs.
    pub old: Vec<Release>,
    /// The hosts that may run the new one.
    #[serde(default)]
    pub updated: BTreeSet<HostId>,
    /// How many hosts change, as was seen last.
    #[serde(default)]
    pub hosts: usize,
    /// The canary's step that it is in.
    #[serde(default)]
    pub step: usize,
    /// How calls had gone when the present step began, where that is not nothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub baseline: BTreeMap<HostId, Counters>,
}

impl Rollout {
    /// Whether hosts are still on their way, or held half-way.
    pub fn is_open(&self) -> bool {
        !matches!(self.phase, Phase::Done | Phase::RolledBack { .. })
    }

    /// Whether it goes back.
    pub fn is_back(&self) -> bool {
        matches!(
            self.phase,
            Phase::RollingBack { .. } | Phase::RolledBack { .. }
        )
    }

    /// How far it is, for people.
    pub fn status(&self) -> String {
        let to = &self.to;
        let held = if self.paused.is_some() {
            ", paused"
        } else {
            ""
        };
        match &self.phase {
            Phase::Done => format!("version {to} is everywhere"),
            Phase::RolledBack { why } => format!("rolled back to version {to}: {why}"),
            Phase::Failed { why } => format!("the rollout of version {to} failed: {why}"),
            Phase::RollingBack { why, .. } => {
                format!("rolling back to version {to}{}: {why}", self.place())
            }
            Phase::Progressing { .. } => {
                format!("rolling out version {to}{}{held}", self.place())
            }
            Phase::Watching { .. } => {
                format!("rolling out version {to}{}, watched{held}", self.place())
            }
            Phase::Holding { .. } => {
                format!("rolling out version {to}{}, step held{held}", self.place())
            }
        }
    }

    /// Where it is at present, for people.
    fn place(&self) -> String {
        match self.parts.get(self.at) {
            Some(part) => {
                let of = match self.parts.len() {
                    1 => String::new(),
                    parts => format!(" ({} of {parts})", self.at.saturating_add(1)),
                };
                format!(
                    ": {}{of} on {} of {} host(s)",
                    part.id,
                    part.updated.len(),
                    part.hosts
                )
            }
            None => String::new(),
        }
    }
}

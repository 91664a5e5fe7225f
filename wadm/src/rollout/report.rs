//! A rollout as its users see it.

use trellis_lattice::app::rollout::{RolloutPartReport, RolloutReport};

use super::{Phase, Rollout};

impl Phase {
    /// Its name, as it is stored and told.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Progressing { .. } => "progressing",
            Self::Watching { .. } => "watching",
            Self::Holding { .. } => "holding",
            Self::RollingBack { .. } => "rolling-back",
            Self::Done => "done",
            Self::RolledBack { .. } => "rolled-back",
            Self::Failed { .. } => "failed",
        }
    }
}

impl Rollout {
    /// What its users see of it.
    pub fn report(&self) -> RolloutReport {
        let parts = self.parts.iter().enumerate().map(|(index, part)| {
            let state = match index.cmp(&self.at) {
                std::cmp::Ordering::Less => "done",
                std::cmp::Ordering::Equal => "current",
                std::cmp::Ordering::Greater => "waiting",
            };
            let is_held = index == self.at && matches!(self.phase, Phase::Holding { .. });
            RolloutPartReport {
                id: part.id.to_string(),
                from: part.old.first().map(|release| release.image.clone()),
                to: part.new.image.clone(),
                state: state.to_owned(),
                hosts: part.hosts,
                updated: part.updated.len(),
                step: (is_held || part.step > 0).then(|| part.step.saturating_add(1)),
            }
        });
        RolloutReport {
            from: self.from.clone(),
            to: self.to.clone(),
            phase: self.phase.as_str().to_owned(),
            paused: self.paused.is_some(),
            began: self.began.0,
            until: match self.phase {
                Phase::Watching { until } | Phase::Holding { until } => Some(until.0),
                _ => None,
            },
            message: self.status(),
            parts: parts.collect(),
        }
    }
}

//! Ours: how a new version takes the old one's place. `wadm.api.{lattice}.model.rollout.{application}`.

use serde::{Deserialize, Serialize};

use super::AppResult;

/// What to do about an application's rollout; nothing: tell how far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutRequest {
    /// What.
    #[serde(default)]
    pub action: RolloutAction,
}

/// What can be done about a rollout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RolloutAction {
    /// Tell how far it is.
    #[default]
    Status,
    /// Give no further host the new version until resumed. What is broken still goes back.
    Pause,
    /// Go on, also after it failed half-way.
    Resume,
    /// Go back to the version before.
    Undo,
}

/// Answer to rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutReply {
    /// Found, accepted, nothing to do, or not found.
    pub result: AppResult,
    /// For a person.
    pub message: String,
    /// The deployed version.
    #[serde(default)]
    pub deployed: Option<String>,
    /// The last rollout; none when nothing was ever rolled out.
    #[serde(default)]
    pub rollout: Option<RolloutReport>,
}

/// A rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutReport {
    /// The version that it comes from, and goes back to when it fails.
    #[serde(default)]
    pub from: Option<String>,
    /// The version that it goes to.
    pub to: String,
    /// `progressing`, `watching`, `holding`, `rolling-back`, `done`, `rolled-back` or `failed`.
    pub phase: String,
    /// Whether it is paused.
    #[serde(default)]
    pub paused: bool,
    /// When it began, in milliseconds since 1970.
    pub began: u64,
    /// Until when its present step lasts, in milliseconds since 1970, where that is known.
    #[serde(default)]
    pub until: Option<u64>,
    /// All of it in one sentence, with the reason of a failure.
    pub message: String,
    /// What changes, in order: one after the other.
    #[serde(default)]
    pub parts: Vec<RolloutPartReport>,
}

impl RolloutReport {
    /// Whether nothing more will happen by itself.
    pub fn is_over(&self) -> bool {
        matches!(self.phase.as_str(), "done" | "rolled-back" | "failed")
    }
}

/// A component or provider of a rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutPartReport {
    /// Its id.
    pub id: String,
    /// The image that it comes from.
    #[serde(default)]
    pub from: Option<String>,
    /// The image that it goes to.
    pub to: String,
    /// How far: `waiting`, `current` or `done`.
    pub state: String,
    /// How many hosts change.
    pub hosts: usize,
    /// How many of them were given the new image.
    pub updated: usize,
    /// The canary's step that it is in, counted from 1; none when there is none.
    #[serde(default)]
    pub step: Option<usize>,
}

//! Ours: how an application is in detail, and why. Asked for by `wadm.api.{lattice}.model.explain.{application}`, answered by
//! the application manager that leads, as only it knows what it tried.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{AppResult, StatusInfo};
use crate::id::{ComponentId, HostId};

/// Answer to explain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainReply {
    /// Found or not.
    pub result: AppResult,
    /// For a person.
    pub message: String,
    /// What is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation: Option<Explanation>,
}

/// How an application is, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Its name.
    pub name: String,
    /// The deployed version.
    #[serde(default)]
    pub version: Option<String>,
    /// The whole.
    pub status: StatusInfo,
    /// How many hosts there are in the lattice.
    #[serde(default)]
    pub hosts: usize,
    /// Components and providers, in the manifest's order.
    #[serde(default)]
    pub components: Vec<WorkloadReport>,
    /// Links, in the manifest's order.
    #[serde(default)]
    pub links: Vec<LinkReport>,
    /// Configurations, by name.
    #[serde(default)]
    pub configs: Vec<ConfigReport>,
    /// What is there but ought not to be.
    #[serde(default)]
    pub leftovers: Vec<String>,
    /// Hosts that were lost lately, the latest first.
    #[serde(default)]
    pub lost_hosts: Vec<LostHost>,
    /// PoPs that can't be seen now, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unseen_pops: Vec<UnseenPop>,
}

/// A PoP that can't be seen: all of its hosts fell silent together, and none said goodbye.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnseenPop {
    /// The PoP.
    pub pop: String,
    /// When it was heard of last, as RFC 3339 has it.
    pub since: String,
    /// The names of its hosts.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// What they ran of this application when they were seen last.
    #[serde(default)]
    pub ran: Vec<ComponentId>,
}

/// A component or provider: what ought to run where, and what does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadReport {
    /// Its id; where it can't have one, its name in the manifest.
    pub id: String,
    /// Whether it is a provider.
    pub is_provider: bool,
    /// Its image's reference, where it has one.
    #[serde(default)]
    pub image: Option<String>,
    /// What cares for it, in 1.x's words.
    pub scaler: String,
    /// How it is.
    pub status: StatusInfo,
    /// How many instances (of a provider: hosts) ought to run.
    pub desired: u32,
    /// How many do, as they ought to.
    pub running: u32,
    /// The hosts that ought to run it, or do.
    #[serde(default)]
    pub hosts: Vec<HostReport>,
    /// The other hosts, by what keeps it from them.
    #[serde(default)]
    pub others: Vec<OtherHosts>,
    /// Instances that have no place, and why.
    #[serde(default)]
    pub missing: Vec<MissingReport>,
    /// What else is to be known: how even it is, labels that can't be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A component or provider on a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostReport {
    /// The host.
    pub host: HostId,
    /// Its name.
    pub name: String,
    /// How many instances ought to run there.
    pub desired: u32,
    /// How many do.
    pub running: u32,
    /// How many of them each spread wants.
    #[serde(default)]
    pub spreads: BTreeMap<String, u32>,
    /// Why it is there, or why it still is.
    pub why: String,
    /// Whether the host can't be seen, with its whole PoP: what runs there is as it was when it was seen last.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unseen: bool,
    /// What is wrong there, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What is being done about it, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<AttemptReport>,
}

/// What is being done, and how it went so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptReport {
    /// What.
    pub command: String,
    /// How often it failed.
    pub failures: u32,
    /// Why it failed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it is tried again, in milliseconds; none while it is on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_in_ms: Option<u64>,
}

/// Hosts that are not used, for the same reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherHosts {
    /// By which spread.
    pub spread: String,
    /// Which rule: `labels`, `avoid`, `taint`, `topologyLabel`, `room`, `skew`, `once` or `notNeeded`.
    pub rule: String,
    /// The reason.
    pub why: String,
    /// How many.
    pub count: usize,
    /// The names of the first few.
    pub names: Vec<String>,
}

/// Instances that have no place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingReport {
    /// How many.
    pub instances: u32,
    /// Of which spread.
    pub spread: String,
    /// Which rule stands in the way: one of [`OtherHosts::rule`], or `noHost`.
    pub rule: String,
    /// The same for people, and what helps.
    pub why: String,
}

/// A link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkReport {
    /// From which to which, by which package.
    pub link: String,
    /// Whether it is there as it ought to be.
    pub there: bool,
    /// How it is.
    pub status: StatusInfo,
    /// What is being done about it, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<AttemptReport>,
}

/// A configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigReport {
    /// Its name in the lattice.
    pub name: String,
    /// Whether the manifest gives its values; else somebody else puts it.
    pub is_own: bool,
    /// Whether it is there as it ought to be.
    pub there: bool,
    /// Why not, if it isn't.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// What is being done about it, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<AttemptReport>,
}

/// A host that was lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostHost {
    /// The host.
    pub host: HostId,
    /// Its name.
    pub name: String,
    /// How long ago, in milliseconds.
    pub ago_ms: u64,
    /// What it ran of this application.
    #[serde(default)]
    pub ran: Vec<ComponentId>,
}

//! Messages of the application manager's API (`wasmcloud-v1.md`, Application manager). Manifests
//! themselves are wadm's own; here they are JSON values.

mod event;
mod explain;
pub mod rollout;

use serde::{Deserialize, Serialize};

pub use event::AppEvent;
pub use explain::{
    AttemptReport, ConfigReport, ExplainReply, Explanation, HostReport, LinkReport, LostHost,
    MissingReport, OtherHosts, UnseenPop, WorkloadReport,
};

/// How a request ended. Each request knows some of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AppResult {
    /// A new application.
    Created,
    /// A new version of one.
    NewVersion,
    /// Accepted; it goes on.
    Acknowledged,
    /// Removed.
    Deleted,
    /// Nothing to do.
    Noop,
    /// Found.
    Success,
    /// Found (status).
    Ok,
    /// No such application or version.
    NotFound,
    /// Refused; the message says why.
    Error,
}

/// Answer to a put.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutReply {
    /// Created, a new version, or an error.
    pub result: AppResult,
    /// How many versions there are now.
    #[serde(default)]
    pub total_versions: usize,
    /// The new version's id.
    #[serde(default)]
    pub current_version: String,
    /// For a person.
    pub message: String,
    /// The application.
    #[serde(default)]
    pub name: String,
    /// Ours: what is probably a mistake in the manifest but stops nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A refusal where nothing else is known: what 1.x answers to a manifest it can't take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorReply {
    /// Always an error.
    pub result: AppResult,
    /// What is wrong.
    pub message: String,
}

/// Which version to get; none: the newest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Get {
    /// The version's id, or `latest`.
    #[serde(default)]
    pub version: Option<String>,
}

/// Which version to delete; none: the application with all its versions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delete {
    /// The version's id, or `latest`.
    #[serde(default)]
    pub version: Option<String>,
}

/// Answer to a get without a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListReply {
    /// Found, or an error.
    pub result: AppResult,
    /// For a person.
    pub message: String,
    /// The applications, by name.
    #[serde(default)]
    pub models: Vec<AppSummary>,
}

/// What to explain; no component: the whole application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explain {
    /// A component's or provider's id, or its name in the manifest.
    #[serde(default)]
    pub component: Option<String>,
}

/// Which version to deploy; none: the newest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deploy {
    /// The version's id, or `latest`.
    #[serde(default)]
    pub version: Option<String>,
}

/// Answer to a deploy or undeploy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployReply {
    /// Acknowledged, not found, or an error.
    pub result: AppResult,
    /// For a person.
    pub message: String,
    /// The application.
    #[serde(default)]
    pub name: String,
    /// The version that is deployed now.
    #[serde(default)]
    pub version: Option<String>,
}

/// Answer to a delete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteReply {
    /// Deleted, nothing to do, or an error.
    pub result: AppResult,
    /// For a person.
    pub message: String,
    /// Whether it was deployed and had to be undeployed.
    #[serde(default)]
    pub undeploy: bool,
}

/// Answer to a get.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GetReply {
    /// Found or not.
    pub result: AppResult,
    /// For a person.
    pub message: String,
    /// The manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<serde_json::Value>,
}

/// Answer to versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionsReply {
    /// Found or not.
    pub result: AppResult,
    /// For a person.
    pub message: String,
    /// The versions, oldest first.
    #[serde(default)]
    pub versions: Vec<VersionInfo>,
}

/// A version of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionInfo {
    /// Its id.
    pub version: String,
    /// Whether it is the deployed one.
    pub deployed: bool,
}

/// Answer to history, which is ours: versions, and what became of them when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryReply {
    /// Found or not.
    pub result: AppResult,
    /// For a person.
    pub message: String,
    /// The versions, oldest first.
    #[serde(default)]
    pub versions: Vec<HistoryVersion>,
    /// What happened, oldest first.
    #[serde(default)]
    pub happened: Vec<Happened>,
}

/// A version of a manifest, with its times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryVersion {
    /// Its id.
    pub version: String,
    /// Whether it is the deployed one.
    pub deployed: bool,
    /// The manifest's description.
    #[serde(default)]
    pub description: Option<String>,
    /// When it was put (RFC 3339), where that is known.
    #[serde(default)]
    pub put: Option<String>,
    /// When it was last deployed (RFC 3339), where that is known.
    #[serde(default)]
    pub last_deployed: Option<String>,
}

/// Something that was done to an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    /// When (RFC 3339).
    pub at: String,
    /// What.
    pub what: Deed,
    /// The version it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Why, where nobody asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What can be done to an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Deed {
    /// A version was put.
    Put,
    /// A version was deployed.
    Deployed,
    /// It was undeployed.
    Undeployed,
}

/// Answer to status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReply {
    /// Ok or an error.
    pub result: AppResult,
    /// For a person.
    pub message: String,
    /// The status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<AppStatus>,
}

/// An application's status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppStatus {
    /// The whole.
    pub status: StatusInfo,
    /// Each thing it is made of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scalers: Vec<ScalerStatus>,
    /// Unused in 1.x.
    #[serde(default)]
    pub version: String,
    /// Unused in 1.x.
    #[serde(default)]
    pub components: Vec<serde_json::Value>,
}

/// The status of one component, provider, link or configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScalerStatus {
    /// A stable id.
    pub id: String,
    /// `SpreadScaler`, `DaemonScaler`, `LinkScaler`, `ConfigScaler`.
    pub kind: String,
    /// What it is about, for a person.
    pub name: String,
    /// Its status.
    pub status: StatusInfo,
}

/// A status and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusInfo {
    /// Which.
    #[serde(rename = "type")]
    pub ty: StatusType,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// How far an application, or a part of it, is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StatusType {
    /// Not deployed.
    #[default]
    Undeployed,
    /// Not yet looked at.
    Waiting,
    /// On its way.
    Reconciling,
    /// As declared.
    Deployed,
    /// Can't get there; the message says why.
    Failed,
    /// Some of it is deployed.
    Unhealthy,
}

/// An application in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppSummary {
    /// Its name.
    pub name: String,
    /// Its newest version.
    pub version: String,
    /// The manifest's description.
    #[serde(default)]
    pub description: Option<String>,
    /// The deployed version.
    #[serde(default)]
    pub deployed_version: Option<String>,
    /// Each thing it is made of.
    pub detailed_status: AppStatus,
    /// The whole, again.
    pub status: StatusType,
    /// Why.
    #[serde(default)]
    pub status_message: String,
}

//! Components: auctions, scaling, updating, describing.

use serde::{Deserialize, Serialize};

use super::{Annotations, Labels};
use crate::id::{ComponentId, HostId};

/// Asks which hosts could run a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentAuction {
    /// The image's reference.
    pub component_ref: String,
    /// The id it would have. Free text: 1.x's CLI sends ids and hosts answer with references here.
    pub component_id: String,
    /// Labels a bidding host must have.
    #[serde(default)]
    pub constraints: Labels,
}

/// A host's bid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentBid {
    /// Who bids.
    pub host_id: HostId,
    /// As asked.
    pub component_ref: String,
    /// As asked.
    pub component_id: String,
    /// As asked.
    #[serde(default)]
    pub constraints: Labels,
}

/// Sets how many calls of a component may run at once on a host; zero stops it there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScaleComponent {
    /// The image's reference.
    pub component_ref: String,
    /// The component's id.
    pub component_id: ComponentId,
    /// The host that is asked.
    pub host_id: HostId,
    /// How many at once; zero stops it.
    pub count: u32,
    /// Who manages it and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Annotations>,
    /// Names of configurations it can read; later ones win.
    #[serde(default)]
    pub config: Vec<String>,
    /// Whether a running component may be replaced by another image.
    #[serde(default)]
    pub allow_update: bool,
    /// Limits for its instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ComponentLimits>,
    /// Ours: keep it unloaded until its next call. A 1.x host runs it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dormant: bool,
}

/// Limits of a component's instances. All are ours but `max_memory`-like fields of 1.x, which are kept as they came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentLimits {
    /// The most linear memory of one instance, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_memory_limit: Option<u64>,
    /// The longest one call may run, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_execution_time: Option<u64>,
    /// Ours: an instance that answered a call may answer another. A 1.x host makes one for each call.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reuse: bool,
}

/// Replaces a running component's image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateComponent {
    /// The component.
    pub component_id: ComponentId,
    /// The host that is asked.
    pub host_id: HostId,
    /// The new image's reference.
    pub new_component_ref: String,
    /// New annotations, where they change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Annotations>,
}

/// Ours: what a running component exports, so that it can be called without its binary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComponentExports {
    /// The component.
    pub component_id: ComponentId,
    /// Its exported functions.
    pub functions: Vec<ExportedFunction>,
}

/// An exported function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExportedFunction {
    /// The interface with its version; empty for a function of the world itself.
    pub instance: String,
    /// The function's wire name.
    pub function: String,
    /// Its type, in the form that `trellis-rpc` reads and writes; null when it can't be called by values alone.
    #[serde(default, rename = "type")]
    pub ty: serde_json::Value,
}

//! Hosts: who is there, what they run, and stopping one.

use serde::{Deserialize, Serialize};

use super::{Annotations, Labels};
use crate::id::{ComponentId, HostId, LatticeName};

/// What a host says of itself when pinged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Its public key.
    pub id: HostId,
    /// Its name for people.
    #[serde(default)]
    pub friendly_name: String,
    /// Its labels.
    #[serde(default)]
    pub labels: Labels,
    /// The lattice it is in.
    pub lattice: LatticeName,
    /// The NATS server its calls go over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpc_host: Option<String>,
    /// The NATS server its control goes over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ctl_host: Option<String>,
    /// Its JetStream domain, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub js_domain: Option<String>,
    /// How long it has run, for people.
    #[serde(default)]
    pub uptime_human: String,
    /// How long it has run, in seconds.
    #[serde(default)]
    pub uptime_seconds: u64,
    /// The host program's version.
    #[serde(default)]
    pub version: String,
}

/// Everything a host runs; the heartbeat's data too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostInventory {
    /// Its public key.
    pub host_id: HostId,
    /// Its name for people.
    #[serde(default)]
    pub friendly_name: String,
    /// Its labels.
    #[serde(default)]
    pub labels: Labels,
    /// Who issued its credentials, where it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The components it runs.
    #[serde(default)]
    pub components: Vec<ComponentDescription>,
    /// The providers it runs.
    #[serde(default)]
    pub providers: Vec<ProviderDescription>,
    /// How long it has run, for people.
    #[serde(default)]
    pub uptime_human: String,
    /// How long it has run, in seconds.
    #[serde(default)]
    pub uptime_seconds: u64,
    /// The host program's version.
    #[serde(default)]
    pub version: String,
}

/// A component on a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentDescription {
    /// Its id.
    pub id: ComponentId,
    /// Its image's reference.
    pub image_ref: String,
    /// Its signed name; unsigned ones have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it was started with.
    #[serde(default)]
    pub annotations: Annotations,
    /// Its signed revision.
    #[serde(default)]
    pub revision: i32,
    /// How many calls of it may run at once.
    #[serde(default)]
    pub max_instances: u32,
    /// Limits, where it was started with some. 1.x writes null for none.
    #[serde(default)]
    pub limits: Option<serde_json::Value>,
}

/// A provider on a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderDescription {
    /// Its id.
    pub id: ComponentId,
    /// Its image's reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_ref: Option<String>,
    /// Its signed name, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its signed revision.
    #[serde(default)]
    pub revision: i32,
    /// What it was started with.
    #[serde(default)]
    pub annotations: Annotations,
}

/// Stops a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopHost {
    /// Which.
    pub host_id: HostId,
    /// How long it may take to drain, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
}

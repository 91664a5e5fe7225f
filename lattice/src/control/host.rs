//! Hosts: who is there, what they run, and stopping one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Annotations, Labels};
use crate::id::{ComponentId, HostId, LatticeName};

/// How often a host says that it is alive ([`crate::subject::Subjects::beat`]).
pub const BEAT_EVERY: Duration = Duration::from_millis(400);

/// Label: how many instances of components a host takes; without it any number.
pub const CAPACITY: &str = "trellis.dev/capacity";

/// Labels that begin so are taints: `trellis.dev/taint.KEY=VALUE` keeps away all that doesn't tolerate `KEY: VALUE`.
pub const TAINT: &str = "trellis.dev/taint.";

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
    /// Ours: how its calls went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<ComponentStats>,
    /// Ours: it is unloaded and wakes at its next call.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dormant: bool,
}

/// How the calls of a component, or of a provider, went on a host, since it runs there with its present image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentStats {
    /// Calls that ended.
    #[serde(default)]
    pub calls: u64,
    /// Those of them that failed: trapped, ran out of time or memory, or were refused for want of room. What a component
    /// itself answers as a result's error is no failure; a status of 500 or more of its HTTP answer is one.
    #[serde(default)]
    pub errors: u64,
    /// Calls that run now.
    #[serde(default)]
    pub in_flight: u32,
    /// The most calls that ran or waited at once within the last seconds, whoever asked meanwhile; where nobody asked for
    /// longer, since then.
    #[serde(default)]
    pub peak: u32,
    /// How long calls took, to the answer's head: the number at index `i` counts those of less than `2^i` microseconds and
    /// not less than half of that. The last index counts all longer ones too; at most [`Self::BUCKETS`] numbers.
    #[serde(default)]
    pub latency: Vec<u64>,
    /// Ours: the calls that it made itself, since it was first linked on this host.
    #[serde(default, skip_serializing_if = "CallsMade::is_none")]
    pub made: CallsMade,
}

/// Calls that a component or a provider made and that a callee took, by the way they went; those over NATS by where they
/// were served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CallsMade {
    /// Within the host's process.
    pub in_process: u64,
    /// Over the host's socket.
    pub socket: u64,
    /// Over NATS, served in the caller's PoP.
    pub own_pop: u64,
    /// Over NATS, served in another PoP.
    pub other_pop: u64,
    /// Over NATS, where caller or callee is in no PoP or does not say.
    pub unknown_pop: u64,
}

impl CallsMade {
    /// All of them.
    pub fn all(&self) -> u64 {
        self.in_process + self.socket + self.own_pop + self.other_pop + self.unknown_pop
    }

    /// Whether there was none.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl ComponentStats {
    /// How many numbers [`Self::latency`] has at most: up to about 67 seconds.
    pub const BUCKETS: usize = 27;

    /// A time that so large a part of the calls (0.99 for 99 of 100) did not take; none without calls, or where it is longer
    /// than what is counted.
    pub fn within(&self, part: f64) -> Option<Duration> {
        let all: u64 = self.latency.iter().sum();
        if all == 0 {
            return None;
        }
        let wanted = all as f64 * part;
        let mut counted = 0;
        let index = self.latency.iter().position(|count| {
            counted += count;
            counted as f64 >= wanted
        })?;
        (index + 1 < Self::BUCKETS).then(|| Duration::from_micros(1 << index))
    }
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
    /// Ours: why it does not work yet, such as that it is being started; none once it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_ready: Option<String>,
    /// Ours: why it is unhealthy, as it says itself or as its host sees it; none while it is healthy, or was not asked yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unhealthy: Option<String>,
    /// Ours: how the calls to it went, and how many it made, as it said when its health was last asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<ComponentStats>,
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

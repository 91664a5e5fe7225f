//! Providers: auctions, starting, stopping.

use serde::{Deserialize, Serialize};

use super::{Annotations, Labels};
use crate::id::{ComponentId, HostId};

/// Asks which hosts could run a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderAuction {
    /// The provider's reference.
    pub provider_ref: String,
    /// The id it would have. Free text, as in a component's auction.
    pub provider_id: String,
    /// Labels a bidding host must have.
    #[serde(default)]
    pub constraints: Labels,
}

/// A host's bid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderBid {
    /// Who bids.
    pub host_id: HostId,
    /// As asked.
    pub provider_ref: String,
    /// As asked.
    pub provider_id: String,
    /// As asked.
    #[serde(default)]
    pub constraints: Labels,
}

/// Starts a provider on a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartProvider {
    /// The provider's id.
    pub provider_id: ComponentId,
    /// `builtin:NAME`, `file://` of an archive or an executable, or an OCI reference.
    pub provider_ref: String,
    /// The host that is asked.
    pub host_id: HostId,
    /// Names of configurations it gets; later ones win.
    #[serde(default)]
    pub config: Vec<String>,
    /// Who manages it and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Annotations>,
}

/// Stops a provider on a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopProvider {
    /// The provider.
    pub provider_id: ComponentId,
    /// The host that is asked.
    pub host_id: HostId,
}

//! What a host and its providers say to each other (`wasmcloud-v1.md`, Providers).

use std::{collections::BTreeMap, fmt, net::IpAddr, path::PathBuf};

use base64::Engine as _;
use serde::{Deserialize, Serialize};

use crate::{
    config::Config,
    control::host::ComponentStats,
    decode::{DecodeError, from_json},
    id::{ComponentId, HostId, LatticeName},
    link::ResolvedLink,
    place::Place,
};

/// The largest line of host data a provider reads.
pub const MAX_HOST_DATA_BYTES: usize = 16 * 1024 * 1024;

/// What a host gives a provider on its standard input: one line of base64 with this JSON in it.
#[derive(Clone, Serialize, Deserialize)]
pub struct HostData {
    /// The host.
    pub host_id: HostId,
    /// The lattice, which is also the prefix of every call's subject.
    pub lattice_rpc_prefix: LatticeName,
    /// Always `default`.
    #[serde(default)]
    pub link_name: String,
    /// Credentials for NATS: a user JWT, or empty.
    #[serde(default)]
    pub lattice_rpc_user_jwt: String,
    /// Credentials for NATS: the user's seed, or empty.
    #[serde(default)]
    pub lattice_rpc_user_seed: String,
    /// The NATS server.
    pub lattice_rpc_url: String,
    /// The provider's id.
    pub provider_key: ComponentId,
    /// Environment variables for the provider.
    #[serde(default)]
    pub env_values: BTreeMap<String, String>,
    /// This run of the provider.
    #[serde(default)]
    pub instance_id: String,
    /// Its links so far, as source or as target.
    #[serde(default)]
    pub link_definitions: Vec<ResolvedLink>,
    /// Trusted issuers; empty in 1.x.
    #[serde(default)]
    pub cluster_issuers: Vec<String>,
    /// Its own configuration.
    #[serde(default)]
    pub config: Config,
    /// Its own secrets.
    #[serde(default)]
    pub secrets: BTreeMap<String, serde_json::Value>,
    /// The key that links with secrets are encrypted by.
    #[serde(default)]
    pub host_xkey_public_key: String,
    /// The provider's own key to decrypt them.
    #[serde(default)]
    pub provider_xkey_private_key: String,
    /// How long a call may take when nothing else is said, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_rpc_timeout_ms: Option<u64>,
    /// Whether logs are JSON.
    #[serde(default)]
    pub structured_logging: bool,
    /// The log level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_level: Option<String>,
    /// Where traces and metrics go; passed on as it is.
    #[serde(default)]
    pub otel_config: serde_json::Value,
    /// Ours: the host keeps the provider's standard input open for as long as it lives, so its end means that the
    /// host is gone. 1.x closes it after the line.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_stdin: bool,
    /// Ours: where the host takes and makes calls without NATS. A 1.x provider ignores it and stays with NATS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trellis_socket: Option<LocalSocket>,
    /// Ours: where the host, and so the provider, is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trellis_place: Option<Place>,
    /// Ours: the JetStream domain of the lattice's state, where it isn't that of the server which the provider connects to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trellis_js_domain: Option<String>,
    /// Ours: the address that a provider listens at which is told to listen at none in particular (`0.0.0.0` or `[::]`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trellis_bind: Option<IpAddr>,
    /// Ours: how the host begins TLS with NATS, where that isn't what everybody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trellis_tls: Option<NatsTls>,
}

/// What TLS with NATS needs beside the system's authorities.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatsTls {
    /// The file of an authority (PEM) that is trusted, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Whether connections begin with TLS instead of upgrading to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub first: bool,
}

/// The host's Unix socket, for the provider that the token was made for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalSocket {
    /// The socket's file.
    pub path: PathBuf,
    /// Shown when connecting. Good for this run of the provider only.
    pub token: String,
}

impl fmt::Debug for LocalSocket {
    /// The token is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSocket")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for HostData {
    /// Seeds, keys and secrets are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostData")
            .field("host_id", &self.host_id)
            .field("lattice", &self.lattice_rpc_prefix)
            .field("provider_key", &self.provider_key)
            .field("instance_id", &self.instance_id)
            .field("links", &self.link_definitions.len())
            .finish_non_exhaustive()
    }
}

/// Host data that can't be read.
#[derive(Debug, thiserror::Error)]
pub enum HostDataError {
    /// Not base64.
    #[error(
        "host data is not base64: {0}. A provider is started by a host; see `trellis provider --help`"
    )]
    Base64(#[from] base64::DecodeError),
    /// Not the JSON it should be.
    #[error(transparent)]
    Json(#[from] DecodeError),
    /// Larger than it can be.
    #[error("host data has {0} bytes, more than the {MAX_HOST_DATA_BYTES} allowed")]
    TooLarge(usize),
}

impl HostData {
    /// The line for the provider's standard input, with its line end.
    ///
    /// # Errors
    /// Only when secrets hold something that JSON can't.
    pub fn to_line(&self) -> Result<String, serde_json::Error> {
        let mut line = base64::engine::general_purpose::STANDARD.encode(serde_json::to_vec(self)?);
        line.push('\n');
        Ok(line)
    }

    /// Reads the line.
    ///
    /// # Errors
    /// Says whether the base64 or which field is wrong.
    pub fn from_line(line: &str) -> Result<Self, HostDataError> {
        if line.len() > MAX_HOST_DATA_BYTES {
            return Err(HostDataError::TooLarge(line.len()));
        }
        let json = base64::engine::general_purpose::STANDARD.decode(line.trim())?;
        Ok(from_json("host data", &json)?)
    }
}

/// A provider's answer to a health request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Whether it can do its work.
    pub healthy: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What a provider answers to a health request: its health, and more where it is ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthAnswer {
    /// All that 1.x knows.
    #[serde(flatten)]
    pub health: Health,
    /// Ours: how its calls went since it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<ComponentStats>,
}

/// A host asks a provider to drain and exit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shutdown {
    /// The host that asks; a provider obeys only its own.
    pub host_id: HostId,
}

//! Why a provider ended, or refused a link.

use std::time::Duration;

use trellis_lattice::{connect::ConnectError, provider::HostDataError};

use crate::{config::ConfigError, secrets::SecretsError};

/// Why a provider could not run, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Standard input ended or failed before the host data came.
    #[error(
        "no host data on standard input: {0}. A provider is started by a host, which writes one line of base64 to it"
    )]
    NoHostData(std::io::Error),
    /// The host data can't be read.
    #[error(transparent)]
    HostData(#[from] HostDataError),
    /// Its keys or secrets can't be used.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The provider's own configuration can't be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// NATS can't be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// NATS was reached and refused or ended a subscription.
    #[error("NATS: {0}")]
    Nats(String),
    /// The provider itself did not start.
    #[error("the provider did not start: {0}")]
    Start(String),
    /// A part of the provider panicked: a bug. The host starts it again.
    #[error("a part of the provider failed: {0}")]
    Panicked(String),
    /// Work was still going on when the time to end it was over.
    #[error("shut down with work still going on after {}", humantime::format_duration(*.0))]
    NotDrained(Duration),
}

impl RunError {
    /// The process's exit code, as of every `trellis` command: 2 for input that has to be changed (host data,
    /// configuration), 4 when NATS can't be reached, 1 for everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NoHostData(_) | Self::HostData(_) | Self::Secrets(_) | Self::Config(_) => 2,
            Self::Connect(_) | Self::Nats(_) => 4,
            Self::Start(_) | Self::Panicked(_) | Self::NotDrained(_) => 1,
        }
    }
}

/// Why a provider can't do what a link asks.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LinkError {
    /// The link's configuration can't be used. It is not tried again before the link is put again.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Whatever it needs isn't there now: a port in use, a server that doesn't answer. It is tried again, and until
    /// it succeeds the provider reports itself unhealthy.
    #[error("{0}")]
    Unavailable(String),
    /// The provider doesn't do this at all. It is not tried again.
    #[error("{0}")]
    Refused(String),
}

impl LinkError {
    /// Whether trying again can help.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

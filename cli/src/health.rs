//! `trellis health`: whether a role does its work, for whoever looks after its process (a container's health check, a
//! service manager). It asks over the lattice, as every other peer would, so that a process that is merely there does
//! not pass.

use std::{fmt, path::PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use serde::Serialize;
use trellis_lattice::{claims::HostKey, control::host::HostInventory, id::HostId};

use crate::{app::client::AppClient, exit::Usage, session::Options};

/// Which role is looked at.
#[derive(Subcommand, Debug)]
pub enum Health {
    /// Whether the host with this key answers over its NATS server.
    #[command(
        after_help = "Example:\n  trellis health host --host-key /var/lib/trellis/keys/host.nk"
    )]
    Host {
        /// The host's seed file, the one that `trellis host` was given.
        #[arg(long, env = "TRELLIS_HOST_KEY", value_name = "FILE")]
        host_key: Option<PathBuf>,
    },
    /// Whether an application manager answers for the lattice; where several share it, whichever leads.
    #[command(after_help = "Example:\n  trellis health wadm --timeout 2s")]
    Wadm,
}

/// A host that answered.
#[derive(Serialize)]
struct HostHealth {
    host: String,
    name: String,
    uptime_seconds: u64,
    components: usize,
    providers: usize,
}

impl HostHealth {
    fn of(inventory: &HostInventory) -> Self {
        Self {
            host: inventory.host_id.to_string(),
            name: inventory.friendly_name.clone(),
            uptime_seconds: inventory.uptime_seconds,
            components: inventory.components.len(),
            providers: inventory.providers.len(),
        }
    }
}

impl fmt::Display for HostHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "host {} ({}) answers: {} components, {} providers, up {} s",
            self.name, self.host, self.components, self.providers, self.uptime_seconds
        )
    }
}

/// A manager that answered.
#[derive(Serialize)]
struct WadmHealth {
    lattice: String,
    applications: usize,
}

impl fmt::Display for WadmHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "the application manager of lattice {} answers: {} applications",
            self.lattice, self.applications
        )
    }
}

impl Health {
    /// Asks, and prints who answered.
    ///
    /// # Errors
    /// Nobody answered within `--timeout`, or there is no key to know the host by.
    pub async fn run(self, options: &Options) -> anyhow::Result<()> {
        match self {
            Self::Host { host_key } => {
                // Which of a lattice's hosts is meant can't be told from its name: names are not unique.
                let key = key(host_key)?;
                let session = options.connect().await?;
                let id = HostId::new(key.public().as_str()).context("the host's id")?;
                let inventory = session.control.inventory(&id).await?;
                options.output.print(&HostHealth::of(&inventory))?;
            }
            Self::Wadm => {
                let session = options.connect().await?;
                let applications = AppClient::new(&session).list().await?.len();
                options.output.print(&WadmHealth {
                    lattice: session.lattice().to_string(),
                    applications,
                })?;
            }
        }
        Ok(())
    }
}

/// The host's key, from where `trellis host` takes it too.
fn key(file: Option<PathBuf>) -> anyhow::Result<HostKey> {
    if let Some(file) = file {
        return Ok(HostKey::read_file(&file)?);
    }
    let seed = std::env::var("TRELLIS_HOST_SEED").map_err(|_| {
        Usage(
            "which host? Give the seed file that `trellis host` was given, by --host-key or TRELLIS_HOST_KEY".into(),
        )
    })?;
    HostKey::from_seed(&seed).context("TRELLIS_HOST_SEED")
}

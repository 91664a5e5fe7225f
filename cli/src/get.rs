//! `trellis get`: what the lattice has.

mod claims;
mod config;
mod hosts;
mod inventory;
mod links;

use clap::Subcommand;

use crate::{output::Listing, session::Options};

/// What to show.
#[derive(Subcommand, Debug)]
pub enum Get {
    /// The hosts. A lattice without any is no error.
    #[command(after_help = "Example:\n  trellis get hosts")]
    Hosts,
    /// What a host runs; without a name, what every host runs. A lattice without any is no error.
    #[command(after_help = "Example:\n  trellis get inventory edge-1")]
    Inventory {
        /// The host: its id or name, or the beginning of one.
        host: Option<String>,
    },
    /// The links. A host answers for all, so there must be one.
    #[command(after_help = "Example:\n  trellis get links --output json")]
    Links,
    /// The claims of what was started in this lattice. A host answers for all, so there must be one.
    #[command(after_help = "Example:\n  trellis get claims")]
    Claims,
    /// A named configuration; without a name, the names of all.
    #[command(after_help = "Example:\n  trellis get config shop-http")]
    Config {
        /// The configuration.
        name: Option<String>,
    },
}

impl Get {
    /// Shows it.
    ///
    /// # Errors
    /// No answer, or nothing of that name.
    pub async fn run(self, options: &Options) -> anyhow::Result<()> {
        let session = options.connect().await?;
        match self {
            Self::Hosts => {
                let hosts = session.control.hosts().await?;
                session.output.print(&Listing::new(hosts))?;
            }
            Self::Inventory { host: Some(host) } => {
                let host = session.host(Some(&host)).await?;
                let inventory = session.control.inventory(&host.id).await?;
                session.output.print(&inventory::Inventory(inventory))?;
            }
            Self::Inventory { host: None } => {
                let hosts = session.control.hosts().await?;
                let inventories = session.inventories_of(hosts).await?;
                session
                    .output
                    .print(&inventory::Inventories::new(inventories))?;
            }
            Self::Links => session
                .output
                .print(&Listing::new(session.control.links().await?))?,
            Self::Claims => {
                let claims = session.control.claims().await?;
                session.output.print(&Listing::new(claims::read(claims)))?;
            }
            Self::Config { name: Some(name) } => config::show(&session, &name).await?,
            Self::Config { name: None } => config::list(&session).await?,
        }
        Ok(())
    }
}

//! `trellis app`: applications, by way of the application manager.

pub mod client;
pub mod deploy;
mod events;
mod explain;
mod history;
mod list;
pub mod manifest;
mod rollout;
mod status;
mod validate;
pub mod wait;

use clap::Subcommand;
use serde_json::json;

use crate::{
    output::{Done, Listing},
    session::Options,
};
use client::AppClient;

/// What to do with an application.
#[derive(Subcommand, Debug)]
pub enum App {
    /// Deploy a manifest's file, or a version that the lattice has already, and wait until it runs.
    #[command(after_help = "Example:\n  trellis app deploy app.yaml --wait 30s")]
    Deploy(deploy::Deploy),
    /// List the applications.
    #[command(after_help = "Example:\n  trellis app list")]
    List,
    /// Show how far an application is: each part of it, host by host, and why it is not as declared.
    #[command(after_help = "Example:\n  trellis app status shop --watch")]
    Status(status::Status),
    /// Explain each instance's place, and what stands in the way of what is missing.
    #[command(after_help = "Example:\n  trellis app explain shop --component cart")]
    Explain(explain::Explain),
    /// Follow what is done for applications and what happens to them.
    #[command(after_help = "Example:\n  trellis app events shop")]
    Events(events::Events),
    /// Show the manifest that the lattice has, as JSON.
    #[command(after_help = "Example:\n  trellis app get shop --version v2")]
    Get {
        /// The application.
        name: String,
        /// The manifest's version [default: the newest].
        #[arg(long)]
        version: Option<String>,
    },
    /// List the versions that the lattice has of a manifest.
    #[command(after_help = "Example:\n  trellis app versions shop")]
    Versions {
        /// The application.
        name: String,
    },
    /// How a new version takes the old one's place: show it, hold it, let it go on, or go back.
    #[command(
        subcommand,
        after_help = "Example:\n  trellis app rollout status shop --watch"
    )]
    Rollout(rollout::Rollout),
    /// Stop an application. Its manifest stays.
    #[command(after_help = "Example:\n  trellis app undeploy shop")]
    Undeploy {
        /// Its name.
        name: String,
    },
    /// Stop an application and delete its manifest.
    #[command(after_help = "Example:\n  trellis app delete shop")]
    Delete {
        /// Its name.
        name: String,
        /// Delete this version only.
        #[arg(long)]
        version: Option<String>,
    },
    /// List the versions of an application's manifest, and what was done with them when.
    #[command(after_help = "Example:\n  trellis app history shop")]
    History {
        /// The application.
        name: String,
    },
    /// Deploy the version that was deployed before the present one, or any older one, and wait until it runs.
    #[command(after_help = "Example:\n  trellis app rollback shop --to v1")]
    Rollback(history::Rollback),
    /// Check manifests' files: every mistake with its line, column and field. Needs no lattice.
    #[command(after_help = "Example:\n  trellis app validate app.yaml")]
    Validate(validate::Validate),
    /// Print the JSON schema of manifests, for editors and other tools. Needs no lattice.
    #[command(after_help = "Example:\n  trellis app schema > trellis.schema.json")]
    Schema,
}

impl App {
    /// Does it.
    ///
    /// # Errors
    /// A bad manifest, refused, nothing of that name, or no answer.
    pub async fn run(self, options: &Options) -> anyhow::Result<()> {
        let output = options.output;
        let client = async || anyhow::Ok(AppClient::new(&options.connect().await?));
        match self {
            Self::Deploy(deploy) => deploy.run(options).await?,
            Self::List => output.print(&Listing::new(client().await?.list().await?))?,
            Self::Status(status) => status.run(options).await?,
            Self::Explain(explain) => explain.run(options).await?,
            Self::Events(events) => events.run(options).await?,
            Self::Get { name, version } => {
                let manifest = client().await?.get(&name, version.as_deref()).await?;
                output.print(&manifest::Stored(manifest))?;
            }
            Self::Versions { name } => {
                output.print(&Listing::new(client().await?.versions(&name).await?))?;
            }
            Self::Rollout(rollout) => rollout.run(options).await?,
            Self::Undeploy { name } => {
                client().await?.undeploy(&name).await?;
                output.print(&Done::new(
                    format!("application {name} undeployed"),
                    json!({ "name": name }),
                ))?;
            }
            Self::Delete { name, version } => {
                client().await?.delete(&name, version.as_deref()).await?;
                let message = match &version {
                    Some(version) => format!("version {version} of application {name} deleted"),
                    None => format!("application {name} deleted"),
                };
                output.print(&Done::new(
                    message,
                    json!({ "name": name, "version": version }),
                ))?;
            }
            Self::History { name } => {
                let history = client().await?.history(&name).await?;
                output.print(&history::History::new(name, history))?;
            }
            Self::Rollback(rollback) => rollback.run(options).await?,
            Self::Validate(validate) => validate.run(options)?,
            Self::Schema => {
                output.print(&manifest::Stored(trellis_wadm::manifest::schema()))?;
            }
        }
        Ok(())
    }
}

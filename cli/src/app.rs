//! `trellis app`: applications, by way of the application manager.

pub mod client;
pub mod deploy;
mod list;
pub mod manifest;
mod rollout;
mod status;
pub mod wait;

use std::path::PathBuf;

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
    /// Show how far an application, and each part of it, is.
    #[command(after_help = "Example:\n  trellis app status shop")]
    Status {
        /// Its name.
        name: String,
    },
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
    /// Check a manifest's file. Needs no lattice.
    #[command(after_help = "Example:\n  trellis app validate app.yaml")]
    Validate {
        /// The file; - for standard input.
        file: PathBuf,
    },
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
            Self::Status { name } => {
                let status = client().await?.status(&name).await?;
                output.print(&status::AppReport { name, status })?;
            }
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
            Self::Validate { file } => {
                let manifest = manifest::Local::read(&file)?;
                manifest.warn();
                let message = format!(
                    "{}: application {} is valid",
                    file.display(),
                    manifest.name()
                );
                let about = json!({ "name": manifest.name(), "warnings": manifest.warnings });
                output.print(&Done::new(message, about))?;
            }
        }
        Ok(())
    }
}

//! `trellis app deploy`: a manifest put, deployed, and waited for.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::{client::AppClient, manifest::Local, wait};
use crate::{exit::Usage, output::Done, session::Options};

/// What to deploy.
#[derive(Args, Debug)]
pub struct Deploy {
    /// A manifest's file (- for standard input), or the name of an application that the lattice knows.
    #[arg(value_name = "FILE|NAME")]
    what: PathBuf,
    /// The version to deploy, of an application that the lattice knows [default: the newest].
    #[arg(long)]
    version: Option<String>,
    /// How long to wait until it runs.
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = humantime::parse_duration)]
    wait: Duration,
    /// Don't wait until it runs.
    #[arg(long, conflicts_with = "wait")]
    no_wait: bool,
}

impl Deploy {
    /// Deploys it.
    ///
    /// # Errors
    /// A bad manifest, nothing of that name, refused, failed, or not in time.
    pub async fn run(self, options: &Options) -> anyhow::Result<()> {
        let manifest = self
            .is_file()
            .then(|| Local::read(&self.what))
            .transpose()?;
        let session = options.connect().await?;
        let apps = AppClient::new(&session);
        let (name, version) = match manifest {
            Some(_) if self.version.is_some() => {
                return Err(Usage(
                    "--version is for an application that the lattice knows; a file has its own"
                        .into(),
                )
                .into());
            }
            Some(manifest) => {
                manifest.warn();
                put(&apps, &manifest).await?
            }
            None => (
                self.what.to_str().context("a name in UTF-8")?.to_owned(),
                self.version.clone(),
            ),
        };
        let deployed = apps.deploy(&name, version).await?;
        let mut message = format!("application {name} is being deployed");
        if !self.no_wait {
            wait::until_deployed(&apps, &name, self.wait, |now| eprintln!("{name}: {now}")).await?;
            message = format!("application {name} is deployed");
        }
        let about = json!({ "name": name, "version": deployed.version, "done": !self.no_wait });
        Ok(session.output.print(&Done::new(message, about))?)
    }

    fn is_file(&self) -> bool {
        let extension = self
            .what
            .extension()
            .and_then(|extension| extension.to_str());
        self.what.as_os_str() == "-"
            || matches!(extension, Some("yaml" | "yml" | "json"))
            || self.what.components().count() > 1
            || self.what.is_file()
    }
}

/// Puts a manifest unless its very version is there; returns its name and the version to deploy.
///
/// # Errors
/// Refused, or no answer.
pub async fn put(apps: &AppClient, manifest: &Local) -> anyhow::Result<(String, Option<String>)> {
    let reply = apps.put(&manifest.json).await?;
    let version = Some(reply.current_version).filter(|version| !version.is_empty());
    Ok((manifest.name().to_owned(), version))
}

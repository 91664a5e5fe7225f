//! `trellis app deploy`: a manifest put, deployed, and waited for.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::{
    client::AppClient,
    manifest::{Finding, Local},
    wait,
};
use crate::{
    exit::Usage,
    output::{Done, Format},
    session::{Options, Session},
};

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
        let mut warnings = Vec::new();
        let (name, version) = match manifest {
            Some(_) if self.version.is_some() => {
                return Err(Usage(
                    "--version is for an application that the lattice knows; a file has its own"
                        .into(),
                )
                .into());
            }
            Some(manifest) => {
                if options.output == Format::Text {
                    manifest.warn();
                }
                let put = put(&apps, &manifest).await?;
                warnings = manifest.warnings;
                put
            }
            None => (
                self.what.to_str().context("a name in UTF-8")?.to_owned(),
                self.version.clone(),
            ),
        };
        let wait = (!self.no_wait).then_some(self.wait);
        self::version(&session, &apps, &name, version, wait, &warnings).await
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

/// Deploys a version, and waits until it runs unless told not to; tells what came of it.
///
/// # Errors
/// Nothing of that name, refused, failed, or not in time.
pub async fn version(
    session: &Session,
    apps: &AppClient,
    name: &str,
    version: Option<String>,
    wait: Option<Duration>,
    warnings: &[Finding],
) -> anyhow::Result<()> {
    let deployed = apps.deploy(name, version).await?;
    let of = deployed
        .version
        .as_ref()
        .map(|version| format!(" (version {version})"))
        .unwrap_or_default();
    let mut message = format!("application {name}{of} is being deployed");
    if let Some(within) = wait {
        // To programs only the outcome is told.
        let progress = |now: &str| {
            if session.output == Format::Text {
                eprintln!("{name}: {now}");
            }
        };
        wait::until_deployed(apps, name, within, progress).await?;
        message = format!("application {name}{of} is deployed");
    }
    let about = json!({
        "name": name, "version": deployed.version, "done": wait.is_some(), "warnings": warnings,
    });
    Ok(session.output.print(&Done::new(message, about))?)
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

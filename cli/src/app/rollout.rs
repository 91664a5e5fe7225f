//! `trellis app rollout`: how a new version takes the old one's place, and a hand on it.

use std::{fmt, time::Duration};

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use trellis_lattice::app::rollout::{RolloutAction, RolloutReply};

use super::client::AppClient;
use crate::{
    exit::NoAnswer,
    output::{self, Done, Format, or_dash, table},
    session::Options,
};

/// How often it is asked for while it is watched.
const INTERVAL: Duration = Duration::from_millis(500);

/// What to do about a rollout.
#[derive(Subcommand, Debug)]
pub enum Rollout {
    /// Show how far the last rollout is.
    #[command(after_help = "Example:\n  trellis app rollout status shop --watch")]
    Status(Status),
    /// Give no further host the new version until resumed. What turns out broken still goes back.
    #[command(after_help = "Example:\n  trellis app rollout pause shop")]
    Pause {
        /// The application.
        name: String,
    },
    /// Go on after a pause, or try again after a rollout that failed half-way.
    #[command(after_help = "Example:\n  trellis app rollout resume shop")]
    Resume {
        /// The application.
        name: String,
    },
    /// Go back to the version before.
    #[command(after_help = "Example:\n  trellis app rollout undo shop")]
    Undo {
        /// The application.
        name: String,
    },
}

/// Whose rollout.
#[derive(Args, Debug)]
pub struct Status {
    /// The application.
    name: String,
    /// Go on and show each step, until it is over. JSON is one line a step.
    #[arg(long)]
    watch: bool,
}

impl Rollout {
    /// Does it.
    ///
    /// # Errors
    /// Nothing of that name, nothing to do it to, or no answer.
    pub async fn run(self, options: &Options) -> anyhow::Result<()> {
        let (name, action) = match self {
            Self::Status(status) => return status.run(options).await,
            Self::Pause { name } => (name, RolloutAction::Pause),
            Self::Resume { name } => (name, RolloutAction::Resume),
            Self::Undo { name } => (name, RolloutAction::Undo),
        };
        let apps = AppClient::new(&options.connect().await?);
        let reply = apps.rollout(&name, action).await?;
        let about = json!({ "name": name, "result": reply.result });
        Ok(options.output.print(&Done::new(reply.message, about))?)
    }
}

impl Status {
    async fn run(self, options: &Options) -> anyhow::Result<()> {
        let session = options.connect().await?;
        let apps = AppClient::new(&session);
        let mut report = Report::ask(&apps, &self.name).await?;
        if !self.watch {
            return Ok(session.output.print(&report)?);
        }
        let mut shown = None;
        loop {
            let now = match session.output {
                Format::Text => report.to_string(),
                Format::Json => format!("{}\n", serde_json::to_string(&report)?),
            };
            if shown.as_ref() != Some(&now) {
                output::write(now.as_bytes())?;
                shown = Some(now);
            }
            if report.is_over() {
                return Ok(());
            }
            tokio::select! {
                ended = tokio::signal::ctrl_c() => return Ok(ended?),
                () = tokio::time::sleep(INTERVAL) => {}
            }
            match Report::ask(&apps, &self.name).await {
                Ok(now) => report = now,
                // One manager is followed by another, a connection comes back.
                Err(error) if error.is::<NoAnswer>() => tracing::warn!(%error, "no answer"),
                Err(error) => return Err(error),
            }
        }
    }
}

/// The version that is deployed; none where the manager doesn't tell.
pub async fn deployed(apps: &AppClient, name: &str) -> Option<String> {
    let reply = apps.rollout(name, RolloutAction::Status).await.ok()?;
    reply.deployed
}

/// Whether a version that was deployed still is to be.
///
/// # Errors
/// It went back to the version before, and why; or another one was deployed.
pub async fn stays(apps: &AppClient, name: &str, version: &str) -> anyhow::Result<()> {
    let Ok(reply) = apps.rollout(name, RolloutAction::Status).await else {
        return Ok(());
    };
    if let Some(rollout) = &reply.rollout
        && rollout.from.as_deref() == Some(version)
        && rollout.phase.starts_with("roll")
    {
        anyhow::bail!("application {name}: {}", rollout.message);
    }
    match &reply.deployed {
        Some(other) if other != version => {
            anyhow::bail!("application {name}: version {other} was deployed meanwhile")
        }
        _ => Ok(()),
    }
}

/// How far a rollout is.
#[derive(Serialize)]
struct Report {
    /// The application.
    name: String,
    /// All of it.
    #[serde(flatten)]
    reply: RolloutReply,
}

impl Report {
    async fn ask(apps: &AppClient, name: &str) -> anyhow::Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            reply: apps.rollout(name, RolloutAction::Status).await?,
        })
    }

    /// Whether nothing more is to come of the deployed version's.
    fn is_over(&self) -> bool {
        match &self.reply.rollout {
            Some(rollout) => {
                rollout.is_over()
                    && (self.reply.deployed.as_ref() == Some(&rollout.to)
                        || self.reply.deployed.is_none())
            }
            None => true,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {}",
            self.name,
            self.reply.message.replace('\n', " ")
        )?;
        let parts = self.reply.rollout.iter().flat_map(|rollout| &rollout.parts);
        let rows: Vec<Vec<String>> = parts
            .map(|part| {
                vec![
                    part.id.clone(),
                    part.state.clone(),
                    format!("{}/{}", part.updated, part.hosts),
                    or_dash(part.step.map(|step| step.to_string()).unwrap_or_default()),
                    or_dash(part.from.clone().unwrap_or_default()),
                    part.to.clone(),
                ]
            })
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        let columns = ["COMPONENT", "STATE", "HOSTS", "STEP", "FROM", "TO"];
        table(f, "  ", &columns, rows.into_iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollout_is_a_sentence_and_a_line_for_each_component() {
        let reply = json!({
            "result": "success", "message": "rolling out version v2: shop-cart on 1 of 3 host(s)", "deployed": "v2",
            "rollout": {
                "from": "v1", "to": "v2", "phase": "progressing", "began": 1, "message": "x",
                "parts": [
                    {"id": "shop-cart", "from": "file:///a.wasm", "to": "file:///b.wasm", "state": "current", "hosts": 3, "updated": 1},
                    {"id": "shop-http", "to": "builtin:http-server", "state": "waiting", "hosts": 0, "updated": 0, "step": 1},
                ],
            },
        });
        let report = Report {
            name: "shop".into(),
            reply: serde_json::from_value(reply).unwrap(),
        };
        assert!(!report.is_over());
        assert_eq!(
            report.to_string(),
            "\
shop: rolling out version v2: shop-cart on 1 of 3 host(s)
  COMPONENT  STATE    HOSTS  STEP  FROM            TO
  shop-cart  current  1/3    -     file:///a.wasm  file:///b.wasm
  shop-http  waiting  0/0    1     -               builtin:http-server
"
        );
    }
}

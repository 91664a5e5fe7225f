//! `trellis label`: a host's labels, by which manifests place what runs.

use std::collections::BTreeMap;

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::json;
use trellis_lattice::control::label::{DeleteLabel, PutLabel};

use crate::{config::pair, output::Done, session::Options};

/// What to do with a label.
#[derive(Subcommand, Debug)]
pub enum LabelCommand {
    /// Put labels on a host.
    #[command(after_help = "Example:\n  trellis label put edge-1 pop=fra region=eu")]
    Put {
        /// The host: its id or name, or the beginning of one.
        host: String,
        /// The labels.
        #[arg(required = true, value_name = "KEY=VALUE", value_parser = pair)]
        labels: Vec<(String, String)>,
    },
    /// Take labels off a host.
    #[command(after_help = "Example:\n  trellis label del edge-1 pop")]
    Del {
        /// The host: its id or name, or the beginning of one.
        host: String,
        /// The labels.
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
}

impl LabelCommand {
    /// Does it.
    ///
    /// # Errors
    /// No such host, a label of the host program itself, or no answer.
    pub async fn run(self, options: &Options) -> anyhow::Result<()> {
        let session = options.connect().await?;
        match self {
            Self::Put { host, labels } => {
                let host = session.host(Some(&host)).await?;
                let mut texts = Vec::new();
                for (key, value) in &labels {
                    let label = PutLabel {
                        key: key.clone(),
                        value: value.clone(),
                    };
                    let outcome = session.control.put_label(&host.id, &label).await;
                    outcome.with_context(|| after(&texts, key))?;
                    texts.push(format!("{key}={value}"));
                }
                let message = format!("{}: {}", host.friendly_name, texts.join(", "));
                let labels: BTreeMap<_, _> = labels.into_iter().collect();
                let about = json!({ "host_id": host.id, "labels": labels });
                session.output.print(&Done::new(message, about))?;
            }
            Self::Del { host, keys } => {
                let host = session.host(Some(&host)).await?;
                for (index, key) in keys.iter().enumerate() {
                    let label = DeleteLabel { key: key.clone() };
                    let outcome = session.control.delete_label(&host.id, &label).await;
                    outcome.with_context(|| after(&keys[..index], key))?;
                }
                let message = format!("{}: no {} any more", host.friendly_name, keys.join(", "));
                let about = json!({ "host_id": host.id, "keys": keys });
                session.output.print(&Done::new(message, about))?;
            }
        }
        Ok(())
    }
}

/// Which label it was, and what had been done before.
fn after(done: &[String], key: &str) -> String {
    match done {
        [] => format!("label {key}"),
        done => format!("done: {}; label {key}", done.join(", ")),
    }
}

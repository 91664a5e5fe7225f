//! `trellis label`: a host's labels, by which manifests place what runs.

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
        /// The host: its id, the beginning of its id, or its name.
        host: String,
        /// The labels.
        #[arg(required = true, value_name = "KEY=VALUE", value_parser = pair)]
        labels: Vec<(String, String)>,
    },
    /// Take labels off a host.
    #[command(after_help = "Example:\n  trellis label del edge-1 pop")]
    Del {
        /// The host: its id, the beginning of its id, or its name.
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
                for (key, value) in labels {
                    let label = PutLabel { key, value };
                    session.control.put_label(&host.id, &label).await?;
                    let message = format!("{}: {}={}", host.friendly_name, label.key, label.value);
                    session.output.print(&Done::new(
                        message,
                        json!({ "host_id": host.id, "label": label }),
                    ))?;
                }
            }
            Self::Del { host, keys } => {
                let host = session.host(Some(&host)).await?;
                for key in keys {
                    let label = DeleteLabel { key };
                    session.control.delete_label(&host.id, &label).await?;
                    let message = format!("{}: no {} any more", host.friendly_name, label.key);
                    session.output.print(&Done::new(
                        message,
                        json!({ "host_id": host.id, "label": label }),
                    ))?;
                }
            }
        }
        Ok(())
    }
}

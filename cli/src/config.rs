//! `trellis config`: the lattice's named configurations.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::json;
use trellis_lattice::config::{self, Config};

use crate::{exit::Usage, get::Get, output::Done, session::Options};

/// What to do with a configuration.
#[derive(Subcommand, Debug)]
pub enum ConfigCommand {
    /// Put a configuration; what uses it sees the change at once.
    #[command(after_help = "Example:\n  trellis config put shop-http address=0.0.0.0:8080")]
    Put(Put),
    /// Show a configuration.
    #[command(after_help = "Example:\n  trellis config get shop-http")]
    Get {
        /// Its name.
        name: String,
    },
    /// Delete a configuration. One that isn't there is no error.
    #[command(after_help = "Example:\n  trellis config del shop-http")]
    Del {
        /// Its name.
        name: String,
    },
}

#[derive(Args, Debug)]
pub struct Put {
    /// Its name.
    name: String,
    /// Its values.
    #[arg(value_name = "KEY=VALUE", value_parser = pair)]
    values: Vec<(String, String)>,
    /// A JSON object of strings to begin with.
    #[arg(long, value_name = "FILE", required_unless_present = "values")]
    file: Option<PathBuf>,
}

impl ConfigCommand {
    /// Does it.
    ///
    /// # Errors
    /// Refused, no answer, or nothing of that name.
    pub async fn run(self, options: &Options) -> anyhow::Result<()> {
        match self {
            Self::Put(put) => {
                let config = put.config()?;
                let session = options.connect().await?;
                session.control.put_config(&put.name, &config).await?;
                let keys: Vec<&String> = config.keys().collect();
                // Values may be secrets: they are not repeated.
                let about = json!({ "name": put.name, "keys": keys });
                session
                    .output
                    .print(&Done::new(format!("put configuration {}", put.name), about))?;
            }
            Self::Get { name } => Get::Config { name: Some(name) }.run(options).await?,
            Self::Del { name } => {
                config::check_name(&name).map_err(|error| Usage(error.to_string()))?;
                let session = options.connect().await?;
                session.control.delete_config(&name).await?;
                let message = format!("no configuration {name} any more");
                session
                    .output
                    .print(&Done::new(message, json!({ "name": name })))?;
            }
        }
        Ok(())
    }
}

impl Put {
    fn config(&self) -> anyhow::Result<Config> {
        let mut config = Config::new();
        if let Some(path) = &self.file {
            let text = std::fs::read(path).with_context(|| format!("file {}", path.display()))?;
            config = trellis_lattice::from_json("configuration", &text).with_context(|| {
                format!(
                    "file {}: a JSON object of strings is wanted",
                    path.display()
                )
            })?;
        }
        config.extend(self.values.iter().cloned());
        config::check_name(&self.name).map_err(|error| Usage(error.to_string()))?;
        config::check_size(&self.name, &config).map_err(|error| Usage(error.to_string()))?;
        Ok(config)
    }
}

/// Reads `KEY=VALUE`.
///
/// # Errors
/// There is no `=`, or nothing before it.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        _ => Err("write KEY=VALUE".into()),
    }
}

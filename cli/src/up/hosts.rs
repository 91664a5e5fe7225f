//! Hosts in processes of their own, as on machines of their own.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use tokio::process::Command;

use super::child::Child;

/// Variables that say who a process is in NATS: each host is told that itself.
const NOT_PASSED_ON: [&str; 9] = [
    "NATS_URL",
    "TRELLIS_NATS_URL",
    "TRELLIS_NATS_CREDS",
    "TRELLIS_NATS_JWT",
    "TRELLIS_NATS_SEED",
    "TRELLIS_NATS_TLS_CA",
    "TRELLIS_NATS_TLS_FIRST",
    "TRELLIS_HOST_SEED",
    "TRELLIS_ISSUERS_FILE",
];

/// How a host is started.
#[derive(Clone, Debug)]
pub struct HostCommand {
    /// Its name.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// What it is told.
    pub arguments: Vec<OsString>,
    /// Where its log goes.
    pub log: PathBuf,
    /// How long it may take to end.
    pub stop_time: Duration,
}

/// A running host.
pub struct HostProcess {
    command: HostCommand,
    child: Child,
}

impl HostProcess {
    /// Starts it. That it answers, the lattice tells.
    ///
    /// It ends with this process whatever happens, as long as the calling thread is the process' first one.
    ///
    /// # Errors
    /// It can't be started.
    pub fn start(command: HostCommand) -> anyhow::Result<Self> {
        let mut process = Command::new(&command.program);
        process.args(&command.arguments);
        for variable in NOT_PASSED_ON {
            process.env_remove(variable);
        }
        Ok(Self {
            child: Child::start(&format!("host {}", command.name), process, &command.log)?,
            command,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.command.name
    }

    /// Why it ended, if it has.
    ///
    /// # Errors
    /// The system doesn't say.
    pub async fn why_ended(&mut self) -> anyhow::Result<Option<String>> {
        let Some(status) = self.child.has_ended()? else {
            return Ok(None);
        };
        let said = self.child.last_lines().await;
        Ok(Some(format!("ended ({status}): {said}")))
    }

    /// Waits until it ends by itself, which it shouldn't; why.
    ///
    /// # Errors
    /// The system doesn't say.
    pub async fn ended(&mut self) -> anyhow::Result<String> {
        self.child.ended().await
    }

    /// Starts it again, after it has ended.
    ///
    /// # Errors
    /// It ended soon several times in a row, or can't be started.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        let short_lives = self.child.may_follow()?;
        *self = Self::start(self.command.clone())?;
        self.child.follows(short_lives);
        Ok(())
    }

    /// Ends it; at once when it doesn't end in time.
    pub async fn stop(&mut self) {
        self.child.stop(self.command.stop_time).await;
    }
}

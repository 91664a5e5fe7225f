//! A NATS server by a configuration, that a test can crash, freeze and start again.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use trellis_lattice::connect::NatsSettings;

use crate::{nats, process::Process, wait::until};

/// A NATS server.
#[derive(Debug)]
pub struct Server {
    name: String,
    folder: PathBuf,
    /// As the operator there.
    settings: NatsSettings,
    process: Option<Process>,
}

impl Server {
    /// Starts one by a configuration that is written into its folder, and waits until it answers.
    ///
    /// # Errors
    /// It does not start or answer.
    pub(super) async fn start(
        name: &str,
        folder: PathBuf,
        config: &str,
        settings: NatsSettings,
    ) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("nats.conf"), config)?;
        let mut server = Self {
            name: name.to_owned(),
            folder,
            settings,
            process: None,
        };
        server.resume().await?;
        Ok(server)
    }

    /// Its name: the hub's or a PoP's.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.settings.url
    }

    /// Its process id.
    ///
    /// # Errors
    /// It is not running.
    pub fn id(&self) -> Result<u32> {
        Ok(self.running()?.id())
    }

    /// Ends it at once, as a crash would; what is in its store stays.
    ///
    /// # Errors
    /// It is not running.
    pub async fn crash(&mut self) -> Result<()> {
        let mut process = self.process.take().context("nats-server is not running")?;
        process.signal(Signal::SIGKILL)?;
        process.ended().await?;
        Ok(())
    }

    /// Ends it in order.
    ///
    /// # Errors
    /// It is not running, or does not end.
    pub async fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().context("nats-server is not running")?;
        process.signal(Signal::SIGTERM)?;
        process.ended().await?;
        Ok(())
    }

    /// Starts it again on the same port and store, and waits until it answers.
    ///
    /// # Errors
    /// It does not start or answer.
    pub async fn resume(&mut self) -> Result<()> {
        let mut command = Command::new(nats::program());
        command.arg("--config").arg(self.folder.join("nats.conf"));
        let name = format!("nats-{}", self.name);
        let process = Process::start(&name, &self.folder, command)?;
        let process = self.process.insert(process);
        let settings = self.settings.clone();
        let answer = until("nats-server answers", || async {
            Ok(settings.connect("probe").await?)
        });
        answer.await.with_context(|| process.output())?;
        Ok(())
    }

    /// Freezes it (`true`) or lets it go on.
    ///
    /// # Errors
    /// It is not running.
    pub fn freeze(&self, frozen: bool) -> Result<()> {
        self.running()?.signal(if frozen {
            Signal::SIGSTOP
        } else {
            Signal::SIGCONT
        })
    }

    /// What it has logged.
    pub fn output(&self) -> String {
        self.process
            .as_ref()
            .map(Process::output)
            .unwrap_or_default()
    }

    fn running(&self) -> Result<&Process> {
        self.process.as_ref().context("nats-server is not running")
    }
}

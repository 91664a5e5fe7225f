//! A NATS server of its own for each test.

use std::{path::PathBuf, process::Command};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use trellis_lattice::connect::NatsSettings;

use crate::{port, process::Process, wait::until};

/// A nats-server on the loopback.
#[derive(Debug)]
pub struct NatsServer {
    port: u16,
    jetstream: bool,
    directory: TempDir,
    process: Option<Process>,
}

impl NatsServer {
    /// Starts one with JetStream on a free port, and waits until it answers.
    ///
    /// # Errors
    /// There is no `nats-server` (`cargo xtask setup` gets one), or it does not answer.
    pub async fn start() -> Result<Self> {
        Self::start_with(true).await
    }

    /// Starts one without JetStream.
    ///
    /// # Errors
    /// As [`NatsServer::start`].
    pub async fn without_jetstream() -> Result<Self> {
        Self::start_with(false).await
    }

    async fn start_with(jetstream: bool) -> Result<Self> {
        let mut server = Self {
            port: port::free()?,
            jetstream,
            directory: TempDir::new()?,
            process: None,
        };
        server.resume().await?;
        Ok(server)
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Its port on the loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A connection of the test's own.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn connect(&self) -> Result<async_nats::Client> {
        Ok(NatsSettings::new(self.url()).connect("test").await?)
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

    /// Starts it again on the same port and store, and waits until it answers.
    ///
    /// # Errors
    /// It does not start or answer.
    pub async fn resume(&mut self) -> Result<()> {
        let mut command = Command::new(program());
        command.args(["--addr", "127.0.0.1", "--port", &self.port.to_string()]);
        if self.jetstream {
            command
                .arg("--jetstream")
                .arg("--store_dir")
                .arg(self.directory.path().join("store"));
        }
        let process = Process::start("nats-server", self.directory.path(), command)?;
        let process = self.process.insert(process);
        let settings = NatsSettings::new(format!("nats://127.0.0.1:{}", self.port));
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
        let process = self
            .process
            .as_ref()
            .context("nats-server is not running")?;
        process.signal(if frozen {
            Signal::SIGSTOP
        } else {
            Signal::SIGCONT
        })
    }
}

/// `TRELLIS_NATS_SERVER`, which `cargo xtask test` sets to what it found, else the one on PATH.
pub fn program() -> PathBuf {
    std::env::var_os("TRELLIS_NATS_SERVER").map_or_else(|| "nats-server".into(), PathBuf::from)
}

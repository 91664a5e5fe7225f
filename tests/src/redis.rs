//! A Redis server of its own for each test.

use std::process::Command;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{port, process::Process, wait::until};

/// A redis-server on the loopback, in memory only where nothing else is said.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    password: Option<String>,
    durable: bool,
    directory: TempDir,
    process: Option<Process>,
}

impl RedisServer {
    /// Starts one on a free port, and waits until it answers.
    ///
    /// # Errors
    /// There is no `redis-server` (`cargo xtask test` gets one), or it does not answer.
    pub async fn start() -> Result<Self> {
        Self::start_with(None, false).await
    }

    /// Starts one that has on disk whatever it answered for.
    ///
    /// # Errors
    /// As [`RedisServer::start`].
    pub async fn durable() -> Result<Self> {
        Self::start_with(None, true).await
    }

    /// Starts one that wants a password.
    ///
    /// # Errors
    /// As [`RedisServer::start`].
    pub async fn with_password(password: &str) -> Result<Self> {
        Self::start_with(Some(password.to_owned()), false).await
    }

    async fn start_with(password: Option<String>, durable: bool) -> Result<Self> {
        let mut server = Self {
            port: port::free()?,
            password,
            durable,
            directory: TempDir::new()?,
            process: None,
        };
        server.resume().await?;
        Ok(server)
    }

    /// Ends it at once, as a crash would; what was in it is lost unless it is durable.
    ///
    /// # Errors
    /// It is not running.
    pub async fn crash(&mut self) -> Result<()> {
        let mut process = self.process.take().context("redis-server is not running")?;
        process.signal(Signal::SIGKILL)?;
        process.ended().await?;
        Ok(())
    }

    /// Starts it again on the same port, and waits until it answers.
    ///
    /// # Errors
    /// It does not start or answer.
    pub async fn resume(&mut self) -> Result<()> {
        let mut command = Command::new("redis-server");
        let append = if self.durable { "yes" } else { "no" };
        command
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--save", "", "--appendonly", append])
            .args(["--appendfsync", "always", "--dir"])
            .arg(self.directory.path())
            .args(
                self.password
                    .iter()
                    .flat_map(|word| ["--requirepass", word]),
            );
        let process = Process::start("redis-server", self.directory.path(), command)?;
        self.process = Some(process);
        let answer = until("redis-server answers", || self.command("PING")).await;
        answer.with_context(|| {
            self.process
                .as_ref()
                .map(Process::output)
                .unwrap_or_default()
        })?;
        Ok(())
    }

    /// Wants another password from now on, also of those that are connected.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn change_password(&mut self, password: &str) -> Result<()> {
        let answer = self
            .command(&format!("CONFIG SET requirepass {password}"))
            .await?;
        anyhow::ensure!(answer == "+OK", "{answer}");
        self.password = Some(password.to_owned());
        self.command("CLIENT KILL TYPE normal SKIPME yes").await?;
        Ok(())
    }

    /// Its port on the loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Sends one inline command and gives the answer's first line and value as they come.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn command(&self, command: &str) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        if let Some(password) = &self.password {
            stream
                .write_all(format!("AUTH {password}\r\n").as_bytes())
                .await?;
            let mut ok = [0; 5];
            stream.read_exact(&mut ok).await?;
            anyhow::ensure!(&ok == b"+OK\r\n", "{ok:?}");
        }
        stream
            .write_all(format!("{command}\r\n").as_bytes())
            .await?;
        let mut answer = vec![0; 64 * 1024];
        let length = stream.read(&mut answer).await?;
        anyhow::ensure!(length > 0, "redis-server closed the connection");
        answer.truncate(length);
        Ok(String::from_utf8(answer)?.trim_end().to_owned())
    }
}

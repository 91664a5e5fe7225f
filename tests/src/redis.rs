//! A Redis server of its own for each test.

use std::process::Command;

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{port, process::Process, wait::until};

/// A redis-server on the loopback, in memory only.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    process: Process,
    _directory: TempDir,
}

impl RedisServer {
    /// Starts one on a free port, and waits until it answers.
    ///
    /// # Errors
    /// There is no `redis-server` (`cargo xtask test` gets one), or it does not answer.
    pub async fn start() -> Result<Self> {
        let directory = TempDir::new()?;
        let port = port::free()?;
        let mut command = Command::new("redis-server");
        command
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(directory.path());
        let process = Process::start("redis-server", directory.path(), command)?;
        let server = Self {
            port,
            process,
            _directory: directory,
        };
        let answer = until("redis-server answers", || server.command("PING"));
        answer.await.with_context(|| server.process.output())?;
        Ok(server)
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

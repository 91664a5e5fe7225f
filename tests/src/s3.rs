//! An S3 server of its own for each test: rclone, with a folder behind it. Buckets are folders there, objects files.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::{port, process::Process, wait::until};

/// An S3 server on the loopback, with TLS if there is a certificate.
#[derive(Debug)]
pub struct S3Server {
    port: u16,
    tls: bool,
    directory: TempDir,
    process: Option<Process>,
}

impl S3Server {
    /// The access key that it knows.
    pub const KEY: &str = "test-key";
    /// The key's secret.
    pub const SECRET: &str = "a secret of the tests";

    /// Starts one on a free port, and waits until it answers.
    ///
    /// # Errors
    /// There is no `rclone` (`cargo xtask test` gets one), or it does not answer.
    pub async fn start() -> Result<Self> {
        Self::with_tls(None).await
    }

    /// Starts one that speaks only TLS, with that certificate and key in PEM.
    ///
    /// # Errors
    /// As [`S3Server::start`].
    pub async fn with_tls(certificate: Option<(&str, &str)>) -> Result<Self> {
        let mut server = Self {
            port: port::free()?,
            tls: certificate.is_some(),
            directory: TempDir::new()?,
            process: None,
        };
        fs::create_dir(server.data())?;
        if let Some((certificate, key)) = certificate {
            fs::write(server.directory.path().join("cert.pem"), certificate)?;
            fs::write(server.directory.path().join("key.pem"), key)?;
        }
        server.resume().await?;
        Ok(server)
    }

    /// Ends it at once, as a crash would. What it answered for stays.
    ///
    /// # Errors
    /// It is not running.
    pub async fn crash(&mut self) -> Result<()> {
        let mut process = self.process.take().context("rclone is not running")?;
        process.signal(Signal::SIGKILL)?;
        process.ended().await?;
        Ok(())
    }

    /// Starts it again on the same port, and waits until it takes connections.
    ///
    /// # Errors
    /// It does not.
    pub async fn resume(&mut self) -> Result<()> {
        let folder = self.directory.path();
        let mut command = Command::new(program());
        command
            .args(["serve", "s3", "--config", "", "--auth-key"])
            .arg(format!("{},{}", Self::KEY, Self::SECRET))
            .args(["--addr", &format!("{}:{}", Ipv4Addr::LOCALHOST, self.port)])
            // What is put into its folder is seen soon.
            .args(["--dir-cache-time", "100ms"])
            .arg("--cache-dir")
            .arg(folder.join("cache"));
        if self.tls {
            command.arg("--cert").arg(folder.join("cert.pem"));
            command.arg("--key").arg(folder.join("key.pem"));
        }
        command.arg(self.data());
        let mut process = Process::start("rclone", folder, command)?;
        let (port, started) = (self.port, &mut process);
        until("rclone takes connections", || {
            let running = started.running();
            let said = started.output();
            async move {
                if !running? {
                    bail!("it ended: {said}");
                }
                TcpStream::connect((Ipv4Addr::LOCALHOST, port))
                    .await
                    .context(said)
            }
        })
        .await?;
        self.process = Some(process);
        Ok(())
    }

    /// Stops it without ending it, so that connections stay and nothing is answered, or lets it go on.
    ///
    /// # Errors
    /// It is not running.
    pub fn freeze(&self, frozen: bool) -> Result<()> {
        let process = self.process.as_ref().context("rclone is not running")?;
        process.signal(if frozen {
            Signal::SIGSTOP
        } else {
            Signal::SIGCONT
        })
    }

    /// Where it is.
    pub fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// The port it is at.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its buckets are, as folders.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Makes a bucket beside the server.
    ///
    /// # Errors
    /// It is there already.
    pub fn make_bucket(&self, name: &str) -> Result<PathBuf> {
        let path = self.data().join(name);
        fs::create_dir(&path)?;
        Ok(path)
    }

    /// All files of a bucket, by their paths in it, also those that are no objects: what is being written.
    ///
    /// # Errors
    /// They can't be read.
    pub fn files(&self, bucket: &str) -> Result<Vec<String>> {
        let root = self.data().join(bucket);
        let mut found = Vec::new();
        walk(&root, &mut |path| {
            let path = path.strip_prefix(&root)?;
            found.push(path.to_string_lossy().into_owned());
            Ok(())
        })?;
        found.sort();
        Ok(found)
    }

    /// What it has printed so far.
    pub fn output(&self) -> String {
        self.process
            .as_ref()
            .map(Process::output)
            .unwrap_or_default()
    }
}

fn walk(folder: &Path, found: &mut dyn FnMut(&Path) -> Result<()>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => walk(&path, found)?,
            false => found(&path)?,
        }
    }
    Ok(())
}

/// `TRELLIS_RCLONE`, which `cargo xtask test` sets to what it found, else the one on PATH.
fn program() -> PathBuf {
    std::env::var_os("TRELLIS_RCLONE").map_or_else(|| "rclone".into(), PathBuf::from)
}

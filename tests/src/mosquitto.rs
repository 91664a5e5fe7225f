//! A Mosquitto broker of its own for each test.

use std::{
    ffi::OsString,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::{port, process::Process, wait::until};

/// Where Debian has the broker: on nobody's PATH but root's.
const DEBIAN: &str = "/usr/sbin/mosquitto";

/// A broker on the loopback that keeps sessions over a restart.
#[derive(Debug)]
pub struct MosquittoServer {
    port: u16,
    directory: TempDir,
    process: Option<Process>,
}

/// What a broker asks of its clients.
#[derive(Clone, Copy, Debug, Default)]
pub struct Access<'a> {
    /// A user and a password, without which nobody comes in.
    pub user: Option<(&'a str, &'a str)>,
    /// A certificate and its key in PEM: TLS and nothing else is spoken.
    pub certificate: Option<(&'a str, &'a str)>,
    /// Further lines of its configuration.
    pub lines: &'a str,
}

impl MosquittoServer {
    /// Starts one on a free port that lets everybody in, and waits until it listens.
    ///
    /// # Errors
    /// Mosquitto is not installed (`cargo xtask test` installs it), or does not listen.
    pub async fn start() -> Result<Self> {
        Self::with(Access::default()).await
    }

    /// Starts one that asks something of its clients.
    ///
    /// # Errors
    /// As [`MosquittoServer::start`].
    pub async fn with(access: Access<'_>) -> Result<Self> {
        let mut server = Self {
            port: port::free()?,
            directory: TempDir::new()?,
            process: None,
        };
        server.write_configuration(access).await?;
        server.resume().await?;
        Ok(server)
    }

    async fn write_configuration(&self, access: Access<'_>) -> Result<()> {
        let folder = self.directory.path();
        let shown = folder.display();
        // Started by root it would become a user who may not write here.
        let mut text = format!(
            "user root\nlistener {} 127.0.0.1\npersistence true\npersistence_location {shown}/\nmax_queued_messages 0\n",
            self.port
        );
        match access.user {
            Some((user, password)) => {
                let file = folder.join("passwords");
                let mut command = tokio::process::Command::new("mosquitto_passwd");
                command.args(["-b", "-c"]).arg(&file).args([user, password]);
                let output = command.output().await.context("mosquitto_passwd")?;
                let said = String::from_utf8_lossy(&output.stderr);
                ensure!(output.status.success(), "mosquitto_passwd: {said}");
                writeln!(
                    text,
                    "allow_anonymous false\npassword_file {}",
                    file.display()
                )?;
            }
            None => writeln!(text, "allow_anonymous true")?,
        }
        if let Some((certificate, key)) = access.certificate {
            for (name, field, content) in [
                ("server.crt", "certfile", certificate),
                ("server.key", "keyfile", key),
            ] {
                let file = folder.join(name);
                fs::write(&file, content)?;
                writeln!(text, "{field} {}", file.display())?;
            }
        }
        text.push_str(access.lines);
        Ok(fs::write(folder.join("mosquitto.conf"), text)?)
    }

    /// Ends it at once, as a crash would; what it has not saved is lost.
    ///
    /// # Errors
    /// It is not running.
    pub async fn crash(&mut self) -> Result<()> {
        self.end(Signal::SIGKILL).await
    }

    /// Asks it to end: it saves its sessions and their messages.
    ///
    /// # Errors
    /// It is not running, or does not end.
    pub async fn stop(&mut self) -> Result<()> {
        self.end(Signal::SIGTERM).await
    }

    async fn end(&mut self, signal: Signal) -> Result<()> {
        let mut process = self.process.take().context("mosquitto is not running")?;
        process.signal(signal)?;
        process.ended().await?;
        Ok(())
    }

    /// Starts it again on the same port, and waits until it listens.
    ///
    /// # Errors
    /// It does not start or listen.
    pub async fn resume(&mut self) -> Result<()> {
        let folder = self.directory.path();
        let mut command = Command::new(program());
        command.arg("-c").arg(folder.join("mosquitto.conf"));
        self.process = Some(Process::start("mosquitto", folder, command)?);
        let listens = until("mosquitto listens", || async {
            Ok(TcpStream::connect(("127.0.0.1", self.port))
                .await
                .map(drop)?)
        });
        listens.await.with_context(|| self.output())
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Its port on the loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A folder of its own.
    pub fn folder(&self) -> &Path {
        self.directory.path()
    }

    /// What it has printed.
    pub fn output(&self) -> String {
        let output = self.process.as_ref().map(Process::output);
        output.unwrap_or_default()
    }

    /// Asks by another client than ours (`mosquitto_rr`): sends a question, and gives the answer that comes within so many
    /// seconds.
    ///
    /// # Errors
    /// The program is not installed, or no answer comes.
    pub async fn ask(&self, topic: &str, question: &str, seconds: u32) -> Result<String> {
        let seconds = seconds.to_string();
        let arguments = [
            "-W",
            &seconds,
            "-t",
            topic,
            "-e",
            "answers/of-mosquitto-rr",
            "-m",
            question,
        ];
        let correlation = ["-D", "publish", "correlation-data", question];
        self.tool("mosquitto_rr", &[&arguments[..], &correlation].concat())
            .await
    }

    /// Publishes by another client than ours (`mosquitto_pub`).
    ///
    /// # Errors
    /// The program is not installed, or the broker does not take the message.
    pub async fn say(&self, topic: &str, message: &str) -> Result<()> {
        let said = self
            .tool("mosquitto_pub", &["-t", topic, "-m", message])
            .await;
        said.map(drop)
    }

    /// The next message on a topic, by another client than ours (`mosquitto_sub`), within so many seconds.
    ///
    /// # Errors
    /// The program is not installed, or no message comes.
    pub async fn hear(&self, topic: &str, seconds: u32) -> Result<String> {
        let seconds = seconds.to_string();
        self.tool("mosquitto_sub", &["-C", "1", "-W", &seconds, "-t", topic])
            .await
    }

    async fn tool(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let port = self.port.to_string();
        let mut command = tokio::process::Command::new(program);
        command
            .args(["-V", "5", "-q", "1", "-h", "127.0.0.1", "-p", &port])
            .args(arguments)
            .kill_on_drop(true);
        let output = command.output().await.with_context(|| program.to_owned())?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "{program}: {} {said}",
            output.status
        );
        Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
    }
}

fn program() -> OsString {
    let debian = PathBuf::from(DEBIAN);
    match debian.is_file() {
        true => debian.into(),
        false => "mosquitto".into(),
    }
}

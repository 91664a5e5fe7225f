//! A nats-server whose counters and processor time can be read.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use trellis_lattice::connect::NatsSettings;
use trellis_tests::{nats, port, process::Process, wait::until};

/// Ticks of a process's times in a second: the same on every Linux that Rust runs on (proc(5), `USER_HZ`).
const TICKS: f64 = 100.0;

/// The server; it ends with this value.
pub(super) struct Server {
    port: u16,
    monitor: u16,
    process_id: u32,
    _process: Process,
}

/// What a server took in, and what that cost it.
pub(super) struct Usage {
    pub(super) messages: f64,
    pub(super) bytes: f64,
    pub(super) processor_seconds: f64,
}

impl Usage {
    /// What came since then.
    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            messages: self.messages - before.messages,
            bytes: self.bytes - before.bytes,
            processor_seconds: self.processor_seconds - before.processor_seconds,
        }
    }
}

impl Server {
    /// Starts one with JetStream, and waits until it answers.
    pub(super) async fn start(directory: &Path) -> Result<Self> {
        let (port, monitor) = (port::free()?, port::free()?);
        let id = directory.join("nats.pid");
        let mut command = Command::new(nats::program());
        command
            .args(["--addr", "127.0.0.1", "--port", &port.to_string()])
            .args(["--http_port", &monitor.to_string(), "--jetstream"])
            .arg("--store_dir")
            .arg(directory.join("store"))
            .arg("--pid")
            .arg(&id);
        let process = Process::start("nats-server", directory, command)?;
        let settings = NatsSettings::new(format!("nats://127.0.0.1:{port}"));
        until("nats-server answers", || async {
            Ok(settings.connect("probe").await?)
        })
        .await
        .with_context(|| process.output())?;
        // The program may be a script that starts the server.
        let process_id = fs::read_to_string(&id)?.trim().parse()?;
        Ok(Self {
            port,
            monitor,
            process_id,
            _process: process,
        })
    }

    pub(super) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// All that it took in until now.
    pub(super) async fn usage(&self) -> Result<Usage> {
        let mut connection = TcpStream::connect(("127.0.0.1", self.monitor)).await?;
        connection
            .write_all(b"GET /varz HTTP/1.0\r\nHost: localhost\r\n\r\n")
            .await?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await?;
        let (_, body) = answer.split_once("\r\n\r\n").context("/varz has no body")?;
        let counters: Value = serde_json::from_str(body).context("/varz")?;
        let counter = |name: &str| {
            let counter = counters[name].as_f64();
            counter.with_context(|| format!("/varz has no {name}"))
        };
        Ok(Usage {
            messages: counter("in_msgs")?,
            bytes: counter("in_bytes")?,
            processor_seconds: processor_time(self.process_id)?,
        })
    }
}

/// The processor time that a process has had, in seconds.
pub(super) fn processor_time(process: u32) -> Result<f64> {
    let path = format!("/proc/{process}/stat");
    let stat = fs::read_to_string(&path).with_context(|| path.clone())?;
    // The program's name, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(") ").with_context(|| path.clone())?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks = |index: usize| -> Result<f64> {
        let field = fields.get(index).with_context(|| path.clone())?;
        Ok(field.parse()?)
    };
    // User and system time: the 14th and 15th field of all, of which two were cut off.
    Ok((ticks(11)? + ticks(12)?) / TICKS)
}

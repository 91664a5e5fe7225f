//! A NATS server of the test's own.

use std::{
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::process::{Child, Command};
use trellis_lattice::connect::NatsSettings;

/// How long anything may take that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Nats {
    pub port: u16,
    directory: TempDir,
    jetstream: bool,
    process: Option<Child>,
}

impl Nats {
    pub async fn start(jetstream: bool) -> Self {
        // Freed at once, and taken by the server a moment later.
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut nats = Self {
            port,
            directory: TempDir::new().unwrap(),
            jetstream,
            process: None,
        };
        nats.resume().await;
        nats
    }

    pub fn settings(&self) -> NatsSettings {
        NatsSettings::new(format!("nats://127.0.0.1:{}", self.port))
    }

    pub async fn connect(&self) -> async_nats::Client {
        self.settings().connect("test").await.unwrap()
    }

    /// Ends it as a crash would.
    pub async fn crash(&mut self) {
        self.process.take().unwrap().kill().await.unwrap();
    }

    /// Starts it (again) on the same port and store.
    pub async fn resume(&mut self) {
        let program = std::env::var_os("TRELLIS_NATS_SERVER")
            .map_or_else(|| "nats-server".into(), PathBuf::from);
        let mut command = Command::new(program);
        command
            .args(["--addr", "127.0.0.1", "--port", &self.port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        if self.jetstream {
            command
                .arg("--jetstream")
                .arg("--store_dir")
                .arg(self.directory.path().join("store"));
        }
        self.process = Some(
            command
                .spawn()
                .expect("nats-server: `cargo xtask setup` gets it"),
        );
        let settings = self.settings();
        until("nats-server answers", || async {
            settings.connect("probe").await.is_ok()
        })
        .await;
    }
}

/// Waits for a condition.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

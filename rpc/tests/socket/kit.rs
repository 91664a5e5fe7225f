//! A socket in a folder of the test's own, who may come in by it, and a way there that can be cut.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::future::BoxFuture;
use tempfile::TempDir;
use tokio::{
    net::{UnixListener, UnixStream},
    task::JoinSet,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use trellis_lattice::ComponentId;
use trellis_rpc::{
    Call, CallError, Incoming, Route, RouteKind,
    socket::{Admission, SocketOptions, SocketRpc},
};
pub use trellis_rpc_conformance::kit::*;

/// The tokens that are known, and whose they are.
#[derive(Default)]
pub struct Tokens(pub HashMap<&'static str, &'static str>);

impl Admission for Tokens {
    fn admit(&self, token: &str) -> Option<ComponentId> {
        Some(ComponentId::new(self.0.get(token)?).unwrap())
    }
}

/// A host's side, with a folder for its socket.
pub struct Host {
    pub folder: TempDir,
    pub rpc: SocketRpc,
}

impl Host {
    /// One where `callee` and `shop` may come in, each with its name as its token.
    pub fn start(options: SocketOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens([("callee", "callee"), ("shop", "shop")].into());
        let path = folder.path().join("host.sock");
        let rpc = SocketRpc::listen(&path, Arc::new(tokens), options).unwrap();
        Self { folder, rpc }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("host.sock")
    }

    /// A provider's side, connected.
    pub async fn provider(&self, token: &str) -> SocketRpc {
        let rpc = SocketRpc::connect(self.path(), token.to_owned(), SocketOptions::default());
        soon("the connection", rpc.connected()).await;
        rpc
    }
}

/// Stands where NATS would: counts the calls that come by and answers that nobody is there.
#[derive(Debug, Default)]
pub struct Elsewhere {
    pub calls: AtomicUsize,
}

impl Route for Elsewhere {
    fn call(&self, _call: Call) -> BoxFuture<'_, Result<Incoming, CallError>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let target = target().to_string();
        Box::pin(async { Err(CallError::NoResponder { target }) })
    }

    fn kind(&self) -> RouteKind {
        RouteKind::Nats
    }
}

/// Waits until calls by a route go over a socket.
pub async fn over_socket(route: &Arc<dyn Route>) {
    until_true("the route goes over the socket", || {
        route.kind() == RouteKind::UnixSocket
    })
    .await;
}

/// Passes bytes on to a socket until it is cut, and then those of new connections.
pub struct Passage {
    cut: Arc<std::sync::Mutex<CancellationToken>>,
    _task: AbortOnDropHandle<()>,
}

impl Passage {
    pub fn new(from: &Path, to: PathBuf) -> Self {
        let listener = UnixListener::bind(from).unwrap();
        let cut = Arc::new(std::sync::Mutex::new(CancellationToken::new()));
        let cuts = cut.clone();
        let task = tokio::spawn(async move {
            let mut passing = JoinSet::new();
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let cut = cuts.lock().unwrap().clone();
                let Ok(mut far) = UnixStream::connect(&to).await else {
                    continue;
                };
                passing.spawn(async move {
                    let passed = tokio::io::copy_bidirectional(&mut near, &mut far);
                    _ = cut.run_until_cancelled(passed).await;
                });
            }
        });
        Self {
            cut,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// Cuts the connections that there are.
    pub fn cut(&self) {
        std::mem::take(&mut *self.cut.lock().unwrap()).cancel();
    }
}

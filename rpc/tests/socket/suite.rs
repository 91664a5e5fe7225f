//! What every route has to do, over a socket: from a host to its provider and the other way round.

use std::{marker::PhantomData, path::PathBuf, sync::Arc};

use futures::future::BoxFuture;
use tokio::runtime::{Builder, Runtime};
use trellis_lattice::ComponentId;
use trellis_rpc::{
    Handler, Route, ServeOptions,
    socket::{Serving, SocketOptions, SocketRpc},
};
use trellis_rpc_conformance::{Bounds, Served, Setting};

use crate::kit::{Elsewhere, Passage, Tokens, over_socket, soon};

/// Which side is which.
trait Way: Send + Sync + 'static {
    const CALLER_LISTENS: bool;
}

/// The host calls.
struct ToProvider;

impl Way for ToProvider {
    const CALLER_LISTENS: bool = true;
}

/// The provider calls.
struct ToHost;

impl Way for ToHost {
    const CALLER_LISTENS: bool = false;
}

/// A caller and a callee, one of them listening, and a way between them that can be cut.
struct Socket<W> {
    _folder: tempfile::TempDir,
    caller: Option<SocketRpc>,
    callee: Option<SocketRpc>,
    passage: Passage,
    process: Option<Runtime>,
    way: PhantomData<W>,
}

struct Over(Serving);

impl Served for Over {
    fn drain(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(self.0.drain())
    }
}

fn listen(path: PathBuf, options: SocketOptions) -> SocketRpc {
    let tokens = Tokens([("of the callee", "callee"), ("of the shop", "shop")].into());
    SocketRpc::listen(&path, Arc::new(tokens), options).unwrap()
}

fn options(max_message_bytes: usize) -> SocketOptions {
    SocketOptions {
        max_message_bytes,
        ..SocketOptions::default()
    }
}

impl<W: Way> Socket<W> {
    fn caller(&self) -> &SocketRpc {
        self.caller.as_ref().unwrap()
    }
}

impl<W: Way> Setting for Socket<W> {
    async fn start(bounds: Bounds) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let process = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let (host, door) = (folder.path().join("host"), folder.path().join("door"));
        let (ours, theirs) = (options(bounds.caller_bytes), options(bounds.callee_bytes));
        let (caller, callee, passage);
        {
            let _callee_s = process.enter();
            match W::CALLER_LISTENS {
                false => callee = listen(host.clone(), theirs),
                true => callee = SocketRpc::connect(door.clone(), "of the callee".into(), theirs),
            }
        }
        match W::CALLER_LISTENS {
            true => {
                caller = listen(host.clone(), ours);
                passage = Passage::new(&door, host);
            }
            false => {
                passage = Passage::new(&door, host);
                caller = SocketRpc::connect(door, "of the shop".into(), ours);
            }
        }
        soon("the connection", async {
            caller.connected().await;
            callee.connected().await;
        })
        .await;
        Self {
            _folder: folder,
            caller: Some(caller),
            callee: Some(callee),
            passage,
            process: Some(process),
            way: PhantomData,
        }
    }

    async fn serve_target(
        &self,
        target: ComponentId,
        handler: Arc<dyn Handler>,
        options: ServeOptions,
    ) -> Box<dyn Served> {
        let callee = self.callee.as_ref().unwrap();
        let serving = callee.serve(&target, handler, options);
        over_socket(&self.route_to(&target)).await;
        Box::new(Over(serving))
    }

    fn route_to(&self, target: &ComponentId) -> Arc<dyn Route> {
        self.caller().route(target, Arc::new(Elsewhere::default()))
    }

    async fn interrupt(&mut self) {
        self.passage.cut();
    }

    fn kill_callee(&mut self) {
        // As a killed process, it says nothing more, and the system closes its connections.
        self.process.take().unwrap().shutdown_background();
        self.callee = None;
    }

    fn serves_several() -> bool {
        !W::CALLER_LISTENS
    }
}

impl<W> Drop for Socket<W> {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            process.shutdown_background();
        }
    }
}

mod to_provider {
    trellis_rpc_conformance::suite!(super::Socket<super::ToProvider>);
}

mod to_host {
    trellis_rpc_conformance::suite!(super::Socket<super::ToHost>);
}

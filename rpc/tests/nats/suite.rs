//! What every route has to do, over NATS.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use tokio::runtime::{Builder, Runtime};
use trellis_lattice::ComponentId;
use trellis_rpc::{
    Handler, Route, ServeOptions,
    nats::{NatsOptions, NatsRpc, Serving},
};
use trellis_rpc_conformance::{Bounds, Served, Setting};

use crate::kit::Server;

/// A caller and a callee with a connection each.
struct Nats {
    server: Server,
    caller: NatsRpc,
    callee: NatsRpc,
    process: Option<Runtime>,
}

struct Over(Serving);

impl Served for Over {
    fn drain(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(self.0.drain())
    }
}

fn options(max_message_bytes: usize) -> NatsOptions {
    NatsOptions {
        max_message_bytes,
        probe_interval: Duration::from_millis(100),
        ..NatsOptions::default()
    }
}

impl Setting for Nats {
    async fn start(bounds: Bounds) -> Self {
        let server = Server::start().await;
        let caller = server.rpc_with(options(bounds.caller_bytes)).await;
        let process = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let url = server.url();
        let callee = process
            .spawn(async move { Server::rpc_at(&url, options(bounds.callee_bytes)).await })
            .await
            .unwrap();
        Self {
            server,
            caller,
            callee,
            process: Some(process),
        }
    }

    async fn serve_target(
        &self,
        target: ComponentId,
        handler: Arc<dyn Handler>,
        options: ServeOptions,
    ) -> Box<dyn Served> {
        let callee = self.callee.clone();
        let serving = self
            .process
            .as_ref()
            .unwrap()
            .spawn(async move { callee.serve(&target, handler, options).await });
        Box::new(Over(serving.await.unwrap().unwrap()))
    }

    fn route_to(&self, target: &ComponentId) -> Arc<dyn Route> {
        self.caller.route(target)
    }

    async fn interrupt(&mut self) {
        self.server.restart().await;
    }

    fn kill_callee(&mut self) {
        // Its connection closes and it says nothing more.
        self.process.take().unwrap().shutdown_background();
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            process.shutdown_background();
        }
    }
}

trellis_rpc_conformance::suite!(Nats);

//! What every route has to do, over NATS: between members who are nowhere in particular, in one PoP, and in two.

use std::{marker::PhantomData, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use tokio::runtime::{Builder, Runtime};
use trellis_lattice::{ComponentId, LatticeName, Place};
use trellis_rpc::{
    Handler, Route, ServeOptions,
    nats::{NatsOptions, NatsRpc, Serving, Whereabouts},
};
use trellis_rpc_conformance::{Bounds, Served, Setting};

use crate::{
    kit::{Server, connect},
    pops::place_near,
};

/// Where caller and callee are.
trait Places: Send + Sync + 'static {
    fn caller() -> Option<Place>;
    fn callee() -> Option<Place>;
}

struct Nowhere;

impl Places for Nowhere {
    fn caller() -> Option<Place> {
        None
    }

    fn callee() -> Option<Place> {
        None
    }
}

struct SamePop;

impl Places for SamePop {
    fn caller() -> Option<Place> {
        Some(place_near("fra.eu", &[]))
    }

    fn callee() -> Option<Place> {
        Some(place_near("fra.eu", &[]))
    }
}

/// Every call is tried at home first, where nobody is.
struct OtherPop;

impl Places for OtherPop {
    fn caller() -> Option<Place> {
        Some(place_near("fra.eu", &[("iad", 80)]))
    }

    fn callee() -> Option<Place> {
        Some(place_near("iad.us", &[]))
    }
}

/// A caller and a callee with a connection each.
struct Nats<P> {
    server: Server,
    caller: NatsRpc,
    callee: NatsRpc,
    process: Option<Runtime>,
    places: PhantomData<P>,
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

async fn rpc(url: &str, options: NatsOptions, place: Option<Place>) -> NatsRpc {
    let whereabouts = Whereabouts { host: None, place };
    NatsRpc::at(
        connect(url).await,
        LatticeName::default(),
        options,
        whereabouts,
    )
}

impl<P: Places> Setting for Nats<P> {
    async fn start(bounds: Bounds) -> Self {
        let server = Server::start().await;
        let url = server.url();
        let caller = rpc(&url, options(bounds.caller_bytes), P::caller()).await;
        let process = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let callee = process
            .spawn(async move { rpc(&url, options(bounds.callee_bytes), P::callee()).await })
            .await
            .unwrap();
        Self {
            server,
            caller,
            callee,
            process: Some(process),
            places: PhantomData,
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

impl<P> Drop for Nats<P> {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            process.shutdown_background();
        }
    }
}

mod nowhere {
    use super::*;

    trellis_rpc_conformance::suite!(Nats<Nowhere>);
}

mod same_pop {
    use super::*;

    trellis_rpc_conformance::suite!(Nats<SamePop>);
}

mod other_pop {
    use super::*;

    trellis_rpc_conformance::suite!(Nats<OtherPop>);
}

//! The ways from this host to the lattice's components and providers.

use std::sync::Arc;

use trellis_lattice::ComponentId;
use trellis_rpc::{Route, nats::NatsRpc};

use crate::{
    links::Routes,
    nearby::Nearby,
    runtime::{Local, LocalActors},
};

/// Chooses the route to a target: in process to a component of this host, over the socket to a provider beside it, over
/// NATS to everything else.
#[derive(Debug)]
pub(crate) struct HostRoutes {
    locals: Arc<LocalActors>,
    nearby: Arc<Nearby>,
    rpc: NatsRpc,
}

impl HostRoutes {
    pub(crate) fn new(locals: Arc<LocalActors>, nearby: Arc<Nearby>, rpc: NatsRpc) -> Self {
        Self {
            locals,
            nearby,
            rpc,
        }
    }
}

impl Routes for HostRoutes {
    fn route(&self, target: &ComponentId) -> Arc<dyn Route> {
        let elsewhere = self.nearby.route(target, self.rpc.route(target));
        self.locals.route(target, elsewhere)
    }

    fn place(&self, target: &ComponentId) -> Option<Arc<Local>> {
        Some(self.locals.place(target))
    }
}

//! The ways from this host to the lattice's components and providers.

use std::sync::Arc;

use trellis_lattice::ComponentId;
use trellis_rpc::{Route, nats::NatsRpc};

use crate::{links::Routes, runtime::LocalActors};

/// Chooses the route to a target: in process to a component of this host, over NATS to everything else.
#[derive(Debug)]
pub(crate) struct HostRoutes {
    locals: Arc<LocalActors>,
    rpc: NatsRpc,
}

impl HostRoutes {
    pub(crate) fn new(locals: Arc<LocalActors>, rpc: NatsRpc) -> Self {
        Self { locals, rpc }
    }
}

impl Routes for HostRoutes {
    fn route(&self, target: &ComponentId) -> Arc<dyn Route> {
        self.locals.route(target, self.rpc.route(target))
    }
}

//! The ways from this host to the lattice's components and providers.

use std::sync::Arc;

use trellis_lattice::ComponentId;
use trellis_rpc::{Route, nats::NatsRpc};

use crate::links::Routes;

/// Chooses the route to a target. Everything goes over NATS; the routes within the process and over Unix sockets
/// are chosen here too, once there are such.
#[derive(Debug)]
pub(crate) struct HostRoutes {
    rpc: NatsRpc,
}

impl HostRoutes {
    pub(crate) fn new(rpc: NatsRpc) -> Self {
        Self { rpc }
    }
}

impl Routes for HostRoutes {
    fn route(&self, target: &ComponentId) -> Arc<dyn Route> {
        self.rpc.route(target)
    }
}

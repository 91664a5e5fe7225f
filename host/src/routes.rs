//! The ways from this host to the lattice's components and providers.

use std::sync::Arc;

use trellis_lattice::{ComponentId, Link};
use trellis_rpc::{
    CallCounts, CallError, Route,
    nats::{NatsRpc, RouteOptions},
};

use crate::{
    links::Routes,
    nearby::Nearby,
    runtime::{Local, LocalActors},
};

/// Chooses the route to a target: in process to a component of this host, over the socket to a provider beside it, over
/// NATS to everything else, in the own PoP before any other.
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
        let elsewhere = self.nearby.route(target, self.rpc.route(target), None);
        self.locals.route(target, elsewhere)
    }

    fn route_of(&self, link: &Link, counts: &Arc<CallCounts>) -> Result<Arc<dyn Route>, CallError> {
        let target = &link.target;
        if let Some(within) = &link.within {
            let what = format_args!("link {} {target}", link.key());
            within
                .check(self.rpc.place(), what, "this host")
                .map_err(|outside| CallError::OutOfBounds(outside.to_string()))?;
        }
        let options = RouteOptions {
            within: link.within.clone(),
            counts: Some(counts.clone()),
        };
        let anywhere = self.rpc.route_with(target, options);
        let elsewhere = self.nearby.route(target, anywhere, Some(counts));
        let route = self
            .locals
            .route_counted(target, elsewhere, Some(counts.clone()));
        Ok(route)
    }

    fn place(&self, target: &ComponentId) -> Option<Arc<Local>> {
        Some(self.locals.place(target))
    }
}

//! What the cases need of a route.

use std::sync::Arc;

use futures::future::BoxFuture;
use trellis_lattice::ComponentId;
use trellis_rpc::{Handler, Route, ServeOptions};

use crate::kit::target;

/// Bounds that a case sets for itself.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The most that the callee takes or gives as values.
    pub callee_bytes: usize,
    /// The most that the caller gives or takes.
    pub caller_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            callee_bytes: 64 << 20,
            caller_bytes: 64 << 20,
        }
    }
}

/// A target being served; dropping it ends the serving.
pub trait Served: Send {
    /// Takes no more calls and ends with those that run.
    fn drain(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// A caller and a callee that the route under test connects. The callee runs in a tokio runtime of its own, as it would
/// in a process of its own.
pub trait Setting: Sized + Send + Sync + 'static {
    /// Sets both up, with nothing served.
    fn start(bounds: Bounds) -> impl Future<Output = Self> + Send;

    /// Serves a target; when this ends, calls reach it.
    fn serve_target(
        &self,
        target: ComponentId,
        handler: Arc<dyn Handler>,
        options: ServeOptions,
    ) -> impl Future<Output = Box<dyn Served>> + Send;

    /// The caller's way to a target.
    fn route_to(&self, target: &ComponentId) -> Arc<dyn Route>;

    /// Breaks the way between the two, and lets it be made again.
    fn interrupt(&mut self) -> impl Future<Output = ()> + Send;

    /// Ends the callee as if its process was killed.
    fn kill_callee(&mut self);

    /// Whether the callee may serve a second target.
    fn serves_several() -> bool {
        true
    }

    /// Serves the cases' target with the default options.
    fn serve(&self, handler: Arc<dyn Handler>) -> impl Future<Output = Box<dyn Served>> + Send {
        self.serve_target(target(), handler, ServeOptions::default())
    }

    /// The way to the cases' target.
    fn route(&self) -> Arc<dyn Route> {
        self.route_to(&target())
    }
}

/// Default bounds.
pub async fn start<S: Setting>() -> S {
    S::start(Bounds::default()).await
}

//! The NATS route.

use std::{sync::Arc, time::Duration};

use async_nats::Client;
use trellis_lattice::{ComponentId, LatticeName};

use crate::{CallError, Handler, Route};

/// How calls are served.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// How many calls run at once; one more is refused at once with [`CallError::Overloaded`].
    pub max_in_flight: usize,
    /// The deadline of a call that comes without one.
    pub default_deadline: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self { max_in_flight: 1024, default_deadline: Duration::from_secs(30) }
    }
}

/// Calls over one NATS connection. Cheap to clone.
#[derive(Clone, Debug)]
pub struct NatsRpc {
    client: Client,
    lattice: LatticeName,
}

impl NatsRpc {
    /// Calls over that connection, in that lattice.
    pub fn new(client: Client, lattice: LatticeName) -> Self {
        Self { client, lattice }
    }

    /// The way to one target.
    pub fn route(&self, target: &ComponentId) -> Arc<dyn Route> {
        let _ = (&self.client, &self.lattice, target);
        unreachable!()
    }

    /// Serves a target's calls until the [`Serving`] is drained or dropped.
    ///
    /// # Errors
    /// [`CallError::Transport`] when the connection is closed.
    pub async fn serve(
        &self,
        target: &ComponentId,
        handler: Arc<dyn Handler>,
        options: ServeOptions,
    ) -> Result<Serving, CallError> {
        let _ = (target, handler, options);
        Err(CallError::Transport("not connected".to_owned()))
    }
}

/// A target being served. Dropping it ends serving and the calls that run.
#[derive(Debug)]
pub struct Serving {}

impl Serving {
    /// Takes no more calls, lets those that run finish, and ends.
    pub async fn drain(self) {}
}

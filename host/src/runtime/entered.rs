//! A call that an actor took: it is answered even if the actor is stopped meanwhile, and counted when it ends.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Instant,
};

use tokio_util::task::task_tracker::TaskTrackerToken;
use trellis_rpc::{CallError, IncomingCall, Outgoing};

use super::{Actor, actor::Shared};

/// A call that an actor took.
pub(crate) struct Entered {
    pub(super) actor: Arc<Actor>,
    /// How many calls of actors on this host led to it.
    pub(super) depth: u32,
    /// Whoever stops the actor waits for its calls.
    _running: TaskTrackerToken,
}

impl Entered {
    pub(super) fn new(actor: Arc<Actor>, running: TaskTrackerToken) -> Self {
        Self {
            actor,
            depth: 0,
            _running: running,
        }
    }

    /// One that so many calls of actors on this host led to.
    pub(super) fn at_depth(self, depth: u32) -> Self {
        Self { depth, ..self }
    }

    /// Answers the call, which came then.
    pub(crate) async fn handle(
        self,
        call: IncomingCall,
        started: Instant,
    ) -> Result<Outgoing, CallError> {
        let shared = self.actor.shared.clone();
        let mut counted = Counted::new(&shared, started);
        match self.actor.answer(call, started, self.depth).await {
            Ok(answered) => {
                counted.failed = answered.failed;
                Ok(answered.outgoing)
            }
            Err(error) => Err(counted.failed_by(error)),
        }
    }
}

/// A call that is counted when it ends; one that is dropped has ended too.
pub(super) struct Counted<'a> {
    shared: &'a Shared,
    started: Instant,
    failed: bool,
}

impl<'a> Counted<'a> {
    /// Of a call that began then.
    pub(super) fn new(shared: &'a Shared, started: Instant) -> Self {
        shared.counters.calls.fetch_add(1, Relaxed);
        Self {
            shared,
            started,
            failed: false,
        }
    }

    /// Counts it as failed, and hands the error on.
    pub(super) fn failed_by(&mut self, error: CallError) -> CallError {
        self.failed = !matches!(error, CallError::Cancelled);
        self.shared.counters.failed.fetch_add(1, Relaxed);
        error
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.shared.stats.ended(self.started.elapsed(), self.failed);
    }
}

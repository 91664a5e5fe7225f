//! How long a client may stand still while bodies travel: an instance of the component waits with it.

use std::{
    future::poll_fn,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// When an exchange's bodies last moved, and whether the client was given up. Clones are about the same exchange.
#[derive(Clone, Debug)]
pub struct Idle {
    limit: Duration,
    moved: Arc<Mutex<Instant>>,
    cut: CancellationToken,
}

impl Idle {
    /// An exchange that begins now and whose client may stand still for `limit`.
    pub fn new(limit: Duration) -> Self {
        Self {
            limit,
            moved: Arc::new(Mutex::new(Instant::now())),
            cut: CancellationToken::new(),
        }
    }

    /// How long the client may stand still.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// A part of a body came from the client or went to it.
    pub fn moved(&self) {
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn last(&self) -> Instant {
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the client's next step, begun with this call; `None` when neither it nor anything else of the exchange
    /// happened within the limit.
    pub async fn wait<T>(&self, mut step: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Option<T> {
        let begun = Instant::now();
        loop {
            let until = self.last().max(begun) + self.limit;
            if let Ok(came) = tokio::time::timeout_at(until, poll_fn(&mut step)).await {
                self.moved();
                return Some(came);
            }
            if self.last().max(begun) + self.limit <= Instant::now() {
                self.cut.cancel();
                return None;
            }
        }
    }

    /// Waits until the client is given up.
    pub async fn given_up(&self) {
        self.cut.cancelled().await;
    }
}

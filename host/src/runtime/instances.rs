//! Instances, as calls get them: a new one for each call, or, for an actor that asks for it (`reuse`), one that has answered
//! before. An instance is one actor's, and answers one call at a time.
//!
//! Kept is an instance whose call ended well and in full. It goes when a call fails, is cut off or leaves too much behind,
//! when the actor's configuration changes, when nobody used it for a while, when it has been used often, and when another
//! actor needs its place.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::AbortOnDropHandle;
use trellis_rpc::{CallError, Operation};
use wasmtime::{Store, component::Instance};
use wasmtime_wasi_http::p2::bindings::{Proxy, ProxyIndices};

use super::{
    Actor, Limits,
    actor::Turn,
    dynamic::handles::Handles,
    failure::explain,
    scope::Scope,
    state::{CallState, new_store},
};

/// An instance that was not used for so long goes.
const IDLE: Duration = Duration::from_secs(10);
/// After so many calls it goes, whatever it may have gathered.
const MAX_USES: u32 = 10_000;
/// How many of this host's resources (streams, buckets) it may go on holding. Guests keep their standard streams, for one.
const MAX_HELD: usize = 64;

/// An instance at a call.
pub(super) struct Live {
    pub(super) store: Store<CallState>,
    pub(super) instance: Instance,
    proxy: Option<Proxy>,
    uses: u32,
    used_at: Instant,
    /// [`Kept::generation`] when it was made.
    generation: u64,
    /// Its place in the pool.
    _pooled: OwnedSemaphorePermit,
}

impl Live {
    /// Its HTTP handler.
    pub(super) fn http(
        &mut self,
        indices: &ProxyIndices,
    ) -> wasmtime::Result<(&mut Store<CallState>, &Proxy)> {
        let proxy = match self.proxy.take() {
            Some(proxy) => proxy,
            None => indices.load(&mut self.store, &self.instance)?,
        };
        Ok((&mut self.store, self.proxy.insert(proxy)))
    }
}

/// Instances of one actor that wait for their next call.
#[derive(Default)]
pub(super) struct Kept {
    /// Counts changes of what an instance may have read when it began.
    generation: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The one used last is at the end, and is the next to be used.
    idle: Vec<Live>,
    /// Ends those that are idle for long; runs while there are any.
    sweeper: Option<AbortOnDropHandle<()>>,
    sweeping: bool,
}

impl Kept {
    /// Ends all that wait; those at a call end after it.
    pub(super) fn clear(&self) {
        self.generation.fetch_add(1, Relaxed);
        let idle = std::mem::take(&mut self.state().idle);
        drop(idle);
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.state().idle.len()
    }

    /// Ends the one that was not used for longest; says whether there was one.
    pub(super) fn give_up_one(&self) -> bool {
        let oldest = {
            let mut state = self.state();
            (!state.idle.is_empty()).then(|| state.idle.remove(0))
        };
        oldest.is_some()
    }

    fn take(&self) -> Option<Live> {
        self.state().idle.pop()
    }

    fn put(self: &Arc<Self>, live: Live) {
        let mut state = self.state();
        // Looked at under the lock, which who clears it takes after counting.
        if live.generation != self.generation.load(Relaxed) {
            drop(state);
            drop(live);
            return;
        }
        state.idle.push(live);
        if !state.sweeping {
            state.sweeping = true;
            let sweep = sweep(Arc::downgrade(self));
            state.sweeper = Some(AbortOnDropHandle::new(tokio::spawn(sweep)));
        }
    }

    /// Takes out those that are idle for long. `None` when there will be none until the next is put.
    fn expired(&self) -> Option<Vec<Live>> {
        let mut state = self.state();
        if state.idle.is_empty() {
            state.sweeping = false;
            return None;
        }
        let fresh = state
            .idle
            .iter()
            .position(|live| live.used_at.elapsed() < IDLE);
        let expired = fresh.unwrap_or(state.idle.len());
        Some(state.idle.drain(..expired).collect())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn sweep(kept: Weak<Kept>) {
    loop {
        tokio::time::sleep(IDLE / 2).await;
        let Some(kept) = kept.upgrade() else { return };
        match kept.expired() {
            Some(expired) => drop(expired),
            None => return,
        }
    }
}

impl Actor {
    /// An instance for a call.
    ///
    /// # Errors
    /// [`CallError::Overloaded`] when there is no place for it, [`CallError::Failed`] when it cannot be made.
    pub(super) async fn live(
        &self,
        scope: Scope,
        operation: &Operation,
        started: Instant,
    ) -> Result<Live, CallError> {
        if self.shared.limits.reuse
            && let Some(mut live) = self.kept.take()
        {
            live.store.data_mut().renew(scope);
            live.store.set_epoch_deadline(1);
            return Ok(live);
        }
        let generation = self.kept.generation.load(Relaxed);
        let pooled = self.pooled().await?;
        let mut store = new_store(scope, Handles::default());
        let made = self.module().pre.instantiate_async(&mut store).await;
        let instance = made.map_err(|error| explain(&error, store.data(), operation, started))?;
        Ok(Live {
            store,
            instance,
            proxy: None,
            uses: 0,
            used_at: started,
            generation,
            _pooled: pooled,
        })
    }

    /// Lets go of an instance whose call has ended; with `well`, another call may have it.
    pub(super) fn done_with(&self, mut live: Live, well: bool) {
        let keep = well && self.shared.limits.reuse && {
            live.uses += 1;
            live.uses < MAX_USES && live.store.data_mut().is_fit(&self.shared.limits, MAX_HELD)
        };
        let released = live.store.data_mut().handles.take_released(!keep);
        self.release(released);
        if keep {
            live.used_at = Instant::now();
            self.kept.put(live);
        }
    }

    /// Makes an instance without a call for it, to measure what one costs. It counts as a running call while it lives.
    ///
    /// # Errors
    /// As for a call: [`CallError::Overloaded`] when there is no place for it, [`CallError::Failed`] when it cannot be made.
    pub async fn instantiate(&self) -> Result<LiveInstance, CallError> {
        let turn = self.turn().await?;
        let began = Instant::now();
        let deadline = began + self.shared.limits.call_deadline;
        let scope = Scope::new(self.shared.clone(), deadline, None);
        let operation = Operation::new("", "");
        let live = self.live(scope, &operation, began).await?;
        Ok(LiveInstance {
            took: began.elapsed(),
            _live: live,
            _turn: turn,
        })
    }
}

/// An instance that answers no call.
pub struct LiveInstance {
    /// How long it took to make, its store included.
    pub took: Duration,
    _live: Live,
    _turn: Turn,
}

impl std::fmt::Debug for LiveInstance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveInstance")
            .field("took", &self.took)
            .finish_non_exhaustive()
    }
}

impl CallState {
    /// Whether the instance may answer another call: it has not grown too much, and holds little of the host's.
    fn is_fit(&mut self, limits: &Limits, most_held: usize) -> bool {
        self.quota.used() <= limits.memory_bytes / 2
            && self.table.iter_mut().take(most_held + 1).count() <= most_held
            && self.handles.holds_nothing()
    }
}

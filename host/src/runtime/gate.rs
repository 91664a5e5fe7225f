//! How many calls of an actor run at once. The others wait in a bounded queue.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A limit that can be changed while calls run.
pub(super) struct Gate {
    places: Arc<Semaphore>,
    size: Mutex<Size>,
    waiting: AtomicUsize,
    queue: usize,
    /// The longest that a call may have to wait.
    patience: Duration,
    /// How many places there are, for who looks without the lock.
    limit: AtomicUsize,
    /// How long calls hold a place, in microseconds: the average of the last few.
    held_us: AtomicU64,
}

/// How much the last call counts in that average: one part in so many.
const HELD_PART: u64 = 8;

struct Size {
    limit: usize,
    /// Places to be taken away when the calls that hold them end.
    debt: usize,
}

/// A call's place; dropping it lets the next one in.
pub(super) struct Place {
    permit: Option<OwnedSemaphorePermit>,
    since: Instant,
    gate: Arc<Gate>,
}

/// The queue is full, or takes too long.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full {
    pub(super) waiting: usize,
    /// How long one more would have to wait, as it looks now.
    pub(super) wait: Duration,
}

impl Gate {
    pub(super) fn new(limit: usize, queue: usize, patience: Duration) -> Arc<Self> {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            places: Arc::new(Semaphore::new(limit)),
            size: Mutex::new(Size { limit, debt: 0 }),
            waiting: AtomicUsize::new(0),
            queue,
            patience,
            limit: AtomicUsize::new(limit),
            held_us: AtomicU64::new(0),
        })
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// [`Full`], at once, when enough others wait already, or when its turn would come too late.
    pub(super) async fn enter(self: &Arc<Self>) -> Result<Place, Full> {
        let permit = match self.places.clone().try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => {
                let _waiting = Waiting::join(self)?;
                // The semaphore is never closed; if it were, the call would run without a place.
                self.places.clone().acquire_owned().await.ok()
            }
        };
        Ok(Place {
            permit,
            since: Instant::now(),
            gate: self.clone(),
        })
    }

    /// Changes how many may run at once. Those that run go on.
    pub(super) fn resize(&self, limit: usize) {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        let mut size = self.size();
        if limit >= size.limit {
            let more = limit - size.limit;
            let paid = more.min(size.debt);
            size.debt -= paid;
            self.places.add_permits(more - paid);
        } else {
            let fewer = size.limit - limit;
            size.debt += fewer - self.places.forget_permits(fewer);
        }
        size.limit = limit;
        self.limit.store(limit, Relaxed);
    }

    /// How long a call would wait behind so many others.
    fn wait(&self, waiting: usize) -> Duration {
        let turns = (waiting as u64 + 1).div_ceil((self.limit.load(Relaxed) as u64).max(1));
        Duration::from_micros(turns.saturating_mul(self.held_us.load(Relaxed)))
    }

    fn held(&self, time: Duration) {
        let last = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let before = self.held_us.load(Relaxed);
        // Two at once may lose one of them, which matters little.
        let average = before - before / HELD_PART + last / HELD_PART;
        self.held_us.store(average, Relaxed);
    }

    /// How many may run at once.
    pub(super) fn limit(&self) -> usize {
        self.size().limit
    }

    /// Whether a call would run at once.
    pub(super) fn has_room(&self) -> bool {
        self.places.available_permits() > 0
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    fn size(&self) -> MutexGuard<'_, Size> {
        self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else {
            return;
        };
        self.gate.held(self.since.elapsed());
        let mut size = self.gate.size();
        if size.debt > 0 {
            size.debt -= 1;
            permit.forget();
        }
    }
}

/// A place in the queue.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn join(gate: &'a Gate) -> Result<Self, Full> {
        let waiting = gate.waiting.fetch_add(1, Relaxed);
        let joined = Self(&gate.waiting);
        let wait = gate.wait(waiting);
        if waiting < gate.queue && wait <= gate.patience {
            Ok(joined)
        } else {
            Err(Full { waiting, wait })
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn gate(limit: usize, queue: usize) -> Arc<Gate> {
        Gate::new(limit, queue, Duration::from_secs(3600))
    }

    #[test]
    fn who_would_wait_for_too_long_is_refused_at_once() {
        let gate = Gate::new(2, 8, Duration::from_millis(100));
        let _held = (
            gate.enter().now_or_never().unwrap(),
            gate.enter().now_or_never().unwrap(),
        );
        for _ in 0..100 {
            gate.held(Duration::from_millis(60));
        }
        // Two leave every 60 ms: the third to wait would go in after 120.
        let mut queued: Vec<_> = (0..2).map(|_| Box::pin(gate.enter())).collect();
        for waiting in &mut queued {
            assert!(waiting.as_mut().now_or_never().is_none());
        }
        let full = gate.enter().now_or_never().unwrap().err().unwrap();
        assert_eq!(full.waiting, 2);
        assert!(full.wait > Duration::from_millis(100), "{full:?}");
        // With more places it goes faster.
        gate.resize(4);
        assert!(gate.enter().now_or_never().is_none());
    }

    #[test]
    fn beyond_the_limit_calls_wait_and_beyond_the_queue_they_are_refused() {
        let gate = gate(1, 1);
        let first = gate.enter().now_or_never().unwrap().unwrap();
        let mut second = Box::pin(gate.enter());
        assert!(second.as_mut().now_or_never().is_none());
        assert_eq!(gate.waiting(), 1);
        assert_eq!(
            gate.enter()
                .now_or_never()
                .unwrap()
                .err()
                .map(|full| full.waiting),
            Some(1)
        );
        drop(first);
        assert!(second.as_mut().now_or_never().unwrap().is_ok());
        assert_eq!(gate.waiting(), 0);
    }

    #[test]
    fn a_lower_limit_holds_once_running_calls_end() {
        let gate = gate(3, 8);
        let places: Vec<_> = (0..3)
            .map(|_| gate.enter().now_or_never().unwrap().unwrap())
            .collect();
        gate.resize(1);
        let mut next = Box::pin(gate.enter());
        let mut left = places.into_iter();
        drop(left.next());
        drop(left.next());
        assert!(next.as_mut().now_or_never().is_none());
        drop(left.next());
        let held = next.as_mut().now_or_never().unwrap().unwrap();
        gate.resize(2);
        assert!(gate.enter().now_or_never().unwrap().is_ok());
        drop(held);
        assert_eq!(gate.limit(), 2);
    }

    #[test]
    fn a_limit_raised_again_pays_the_debt_first() {
        let gate = gate(2, 8);
        let _held = (
            gate.enter().now_or_never().unwrap(),
            gate.enter().now_or_never().unwrap(),
        );
        gate.resize(1);
        gate.resize(2);
        assert!(gate.enter().now_or_never().is_none());
        gate.resize(3);
        assert!(gate.enter().now_or_never().is_some());
    }
}

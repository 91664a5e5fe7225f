//! Processor time is shared out among actors, not among calls.
//!
//! A call that computes for longer than a tick is stopped at the tick (`CallState::tick`), and goes on when it is its
//! actor's turn: those whose time came first in a fair division go first, so that an actor with a thousand computing calls
//! gets no more than one with one. Calls of an actor that is known to compute for long wait for their turn from the
//! beginning. Everything else, which is most calls, passes by here untouched.
//!
//! All but one of the worker threads may be taken by such calls while others come and go, so that there always is a thread for
//! those; when nothing else happens they may have all.

use std::{
    cell::Cell,
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};

use super::ticker::Clock;

/// For how many ticks after a short call began a thread is left to short calls.
const LIVELY_TICKS: u64 = 100;
/// How many ticks an actor is observed before it is judged.
const WINDOW_TICKS: u64 = 50;
/// An actor whose calls compute for longer than this part of a tick, on average, is one that computes for long.
const SHORT_PART: u64 = 10;

/// The division of processor time among the actors of a host.
pub(super) struct Fair {
    clock: Clock,
    /// When a short call began last, in ticks.
    lively: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How many long calls compute now.
    running: usize,
    /// Those that wait, by their time: that of the first is now.
    waiting: BTreeMap<(u64, u64), Waiting>,
    /// The time of the one that was let go on last.
    now: u64,
    /// Tells apart those of one time, in the order that they came.
    next: u64,
}

struct Waiting {
    waker: Waker,
    ticket: Arc<Ticket>,
}

/// Says that it may go on.
#[derive(Default)]
struct Ticket {
    granted: AtomicBool,
}

/// What an actor has had of it.
#[derive(Default)]
pub(super) struct Share {
    /// When, in the fair division's time, its last turn ends. One turn is one of it.
    due: AtomicU64,
    /// Until which tick it counts as one that computes for long.
    long_until: AtomicU64,
    observed: Mutex<Observed>,
}

/// What an actor did in a window of time.
#[derive(Default)]
struct Observed {
    since: u64,
    calls: u64,
    /// At how many ticks a call of it was found computing: a sample of the time that it takes.
    ticks: u64,
}

/// A call's part in it, which its store has too.
#[derive(Debug, Default)]
pub(super) struct Slice {
    /// A tick found it computing; it has not gone on since.
    stopped: AtomicBool,
}

impl Slice {
    /// A tick found the call computing.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Relaxed);
    }
}

impl Share {
    /// Counts a tick that found a call computing; `calls` counts the actor's calls.
    pub(super) fn ticked(&self, now: u64, calls: u64) {
        let mut observed = self.observed.lock().unwrap_or_else(PoisonError::into_inner);
        observed.ticks += 1;
        let length = now.saturating_sub(observed.since);
        if length < WINDOW_TICKS {
            return;
        }
        // Samples of so long ago that nobody looked since say nothing.
        let recent = length < 4 * WINDOW_TICKS;
        let calls_since = calls.saturating_sub(observed.calls);
        if recent && observed.ticks * SHORT_PART > calls_since && observed.ticks > 4 {
            self.long_until.store(now + 2 * WINDOW_TICKS, Relaxed);
        }
        *observed = Observed {
            since: now,
            calls,
            ticks: 0,
        };
    }

    fn is_long(&self, now: u64) -> bool {
        self.long_until.load(Relaxed) > now
    }
}

impl Fair {
    pub(super) fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            clock,
            lively: AtomicU64::new(0),
            state: Mutex::default(),
        })
    }

    /// Has a call of an actor compute in turn with others.
    pub(super) fn share<F: Future>(
        self: &Arc<Self>,
        share: &Arc<Share>,
        slice: Arc<Slice>,
        call: F,
    ) -> Shared<F> {
        let now = self.clock.ticks();
        let stage = if share.is_long(now) {
            Stage::Stopped
        } else {
            if self.lively.load(Relaxed) != now {
                self.lively.store(now, Relaxed);
            }
            Stage::Free
        };
        Shared {
            turn: TurnTaker {
                fair: self.clone(),
                share: share.clone(),
                stage,
            },
            slice,
            call,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many long calls may compute at once.
    fn room(&self) -> usize {
        let workers = tokio::runtime::Handle::try_current()
            .map_or(1, |runtime| runtime.metrics().num_workers());
        let lively = self.clock.ticks().saturating_sub(self.lively.load(Relaxed)) < LIVELY_TICKS;
        if lively {
            workers.saturating_sub(1).max(1)
        } else {
            workers
        }
    }

    /// Takes a turn, or a place among those that wait for theirs.
    fn take(&self, share: &Share, waker: &Waker) -> Option<((u64, u64), Arc<Ticket>)> {
        let room = self.room();
        let mut state = self.state();
        // An actor's next turn comes after its last one, but it cannot save up turns.
        let time = share.due.load(Relaxed).max(state.now);
        share.due.store(time + 1, Relaxed);
        if state.running < room && state.waiting.is_empty() {
            state.running += 1;
            state.now = time;
            return None;
        }
        let key = (time, state.next);
        state.next += 1;
        let ticket = Arc::<Ticket>::default();
        let waiting = Waiting {
            waker: waker.clone(),
            ticket: ticket.clone(),
        };
        state.waiting.insert(key, waiting);
        let woken = state.let_in(room);
        drop(state);
        wake(woken);
        Some((key, ticket))
    }

    /// Ends a turn, and lets others go on.
    fn give_back(&self) {
        let room = self.room();
        let mut state = self.state();
        state.running = state.running.saturating_sub(1);
        let woken = state.let_in(room);
        drop(state);
        wake(woken);
    }
}

impl State {
    /// Grants turns for as long as there is room.
    fn let_in(&mut self, room: usize) -> Vec<Waker> {
        let mut woken = Vec::new();
        while self.running < room
            && let Some(((time, _), waiting)) = self.waiting.pop_first()
        {
            self.running += 1;
            self.now = self.now.max(time);
            waiting.ticket.granted.store(true, Relaxed);
            woken.push(waiting.waker);
        }
        woken
    }
}

fn wake(wakers: Vec<Waker>) {
    for waker in wakers {
        waker.wake();
    }
}

thread_local! {
    /// A long call computes on this thread: what it polls within has its turn.
    static COMPUTING: Cell<bool> = const { Cell::new(false) };
}

/// Says so for as long as it lives.
struct Computing {
    before: bool,
}

impl Computing {
    fn begin() -> Self {
        Self {
            before: COMPUTING.replace(true),
        }
    }
}

impl Drop for Computing {
    fn drop(&mut self) {
        COMPUTING.set(self.before);
    }
}

pin_project_lite::pin_project! {
    /// A call that computes in turn with others.
    pub(super) struct Shared<F> {
        turn: TurnTaker,
        slice: Arc<Slice>,
        #[pin]
        call: F,
    }
}

struct TurnTaker {
    fair: Arc<Fair>,
    share: Arc<Share>,
    stage: Stage,
}

enum Stage {
    /// It has computed for less than a tick.
    Free,
    /// It needs a turn to go on.
    Stopped,
    Waiting {
        key: (u64, u64),
        ticket: Arc<Ticket>,
    },
    /// It has its turn, and lets everything else go first once more.
    Granted(Pin<Box<dyn Future<Output = ()> + Send>>),
    Running,
}

impl TurnTaker {
    /// Whether it may go on now; if not, it will be woken.
    fn may_go_on(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            match &mut self.stage {
                Stage::Free | Stage::Running => return true,
                // What it is part of has its turn, and would wait for it in vain.
                Stage::Stopped if COMPUTING.get() => return true,
                Stage::Stopped => {
                    self.stage = match self.fair.take(&self.share, cx.waker()) {
                        None => Stage::Running,
                        Some((key, ticket)) => Stage::Waiting { key, ticket },
                    };
                }
                Stage::Waiting { key, ticket } => {
                    // Under the lock, so that it is either granted or has the newest waker.
                    let mut state = self.fair.state();
                    if !ticket.granted.load(Relaxed) {
                        if let Some(waiting) = state.waiting.get_mut(key) {
                            waiting.waker.clone_from(cx.waker());
                        }
                        return false;
                    }
                    drop(state);
                    // One call's turn after another's would keep a thread from everything else, sockets included.
                    self.stage = Stage::Granted(Box::pin(tokio::task::yield_now()));
                }
                Stage::Granted(yielding) => {
                    if yielding.as_mut().poll(cx).is_pending() {
                        return false;
                    }
                    self.stage = Stage::Running;
                }
            }
        }
    }

    /// It computed until it had to stop, or to wait for something.
    fn paused(&mut self, stopped: bool) {
        let next = if stopped { Stage::Stopped } else { Stage::Free };
        if let Stage::Running = std::mem::replace(&mut self.stage, next) {
            self.fair.give_back();
        }
    }
}

impl Drop for TurnTaker {
    fn drop(&mut self) {
        let granted = match &self.stage {
            Stage::Free | Stage::Stopped => false,
            Stage::Waiting { key, .. } => {
                // What is not there any more was granted.
                self.fair.state().waiting.remove(key).is_none()
            }
            Stage::Granted(_) | Stage::Running => true,
        };
        if granted {
            self.fair.give_back();
        }
    }
}

impl<F: Future> Future for Shared<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if !this.turn.may_go_on(cx) {
            return Poll::Pending;
        }
        let computing = matches!(this.turn.stage, Stage::Running).then(Computing::begin);
        let polled = this.call.poll(cx);
        drop(computing);
        if polled.is_pending() {
            let stopped = this.slice.stopped.swap(false, Relaxed);
            this.turn.paused(stopped);
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A call that computes for that many slices.
    async fn compute(slice: Arc<Slice>, slices: u32, done: impl Fn()) {
        for _ in 0..slices {
            done();
            slice.stop();
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn a_turn_that_is_dropped_is_passed_on() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let fair = Fair::new(Clock::default());
            let share = Arc::<Share>::default();
            let slice = || Arc::<Slice>::default();
            // One that never ends computing holds the only turn; another waits, is granted it, and is dropped instead.
            let spawn = |slices| {
                let slice = slice();
                tokio::spawn(fair.share(&share, slice.clone(), compute(slice, slices, || ())))
            };
            let (first, second) = (spawn(u32::MAX), spawn(u32::MAX));
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            first.abort();
            second.abort();
            assert!(first.await.is_err() && second.await.is_err());
            spawn(10).await.unwrap();
            let state = fair.state();
            assert_eq!((state.running, state.waiting.len()), (0, 0));
        });
    }

    #[test]
    fn an_actor_is_known_by_the_time_that_its_calls_take() {
        let share = Share::default();
        // Found at each tick, though it had a hundred calls at each.
        for tick in 0..200 {
            share.ticked(tick, tick * 100);
        }
        assert!(!share.is_long(200));
        // Two calls a tick.
        for tick in 200..300 {
            share.ticked(tick, 20_000 + tick * 2);
        }
        assert!(share.is_long(300));
        assert!(!share.is_long(1000));
    }
}

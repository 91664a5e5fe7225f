//! The clock that interrupts running actors. A looping actor never comes back by itself: at each tick it is stopped at
//! its next loop or call, lets others run, and is ended when its time is over.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU64, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use wasmtime::Engine;

/// For how many ticks without a call the clock goes on, so that a busy host does not start and stop it all the time.
const IDLE_TICKS: u32 = 100;

/// One thread an engine. It sleeps while no actor runs, so an idle host does not wake up a hundred times a second.
pub(super) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// The time in ticks, counted while any call runs.
#[derive(Clone, Default)]
pub(super) struct Clock(Arc<Shared>);

impl Clock {
    pub(super) fn ticks(&self) -> u64 {
        self.0.ticks.load(Relaxed)
    }
}

#[derive(Default)]
struct Shared {
    ticks: AtomicU64,
    /// Calls that need the clock.
    running: AtomicUsize,
    /// The thread is parked, or about to be.
    parked: AtomicBool,
    stopped: AtomicBool,
}

/// Keeps the clock going while it lives.
pub(super) struct Running {
    shared: Arc<Shared>,
}

impl Ticker {
    /// Starts the thread.
    pub(super) fn start(engine: &Engine, tick: Duration) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread = thread::Builder::new()
            .name("trellis-ticker".into())
            .spawn({
                let shared = shared.clone();
                let engine = engine.weak();
                move || run(&shared, &engine, tick)
            })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Has the clock run from now until the answer is dropped.
    pub(super) fn running(&self) -> Running {
        self.shared.running.fetch_add(1, SeqCst);
        if self.shared.parked.load(SeqCst) && self.shared.parked.swap(false, SeqCst) {
            self.wake();
        }
        Running {
            shared: self.shared.clone(),
        }
    }

    /// The time now.
    pub(super) fn clock_ticks(&self) -> u64 {
        self.shared.ticks.load(Relaxed)
    }

    /// The time as it counts it.
    pub(super) fn clock(&self) -> Clock {
        Clock(self.shared.clone())
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.running.fetch_sub(1, SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stopped.store(true, SeqCst);
        self.wake();
        // The last owner of a runtime may be the ticker's own thread only if an engine's drop led here, which the weak
        // reference rules out.
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the ticker thread panicked: looping actors were not interrupted");
        }
    }
}

fn run(shared: &Shared, engine: &wasmtime::EngineWeak, tick: Duration) {
    let mut idle = 0;
    while !shared.stopped.load(SeqCst) {
        if shared.running.load(SeqCst) > 0 {
            idle = 0;
        } else {
            idle += 1;
        }
        if idle > IDLE_TICKS {
            shared.parked.store(true, SeqCst);
            // A call that began in between either sees `parked`, and wakes us, or is seen here.
            if shared.running.load(SeqCst) == 0 && !shared.stopped.load(SeqCst) {
                thread::park();
            }
            shared.parked.store(false, SeqCst);
            idle = 0;
            continue;
        }
        thread::sleep(tick);
        let Some(engine) = engine.upgrade() else {
            return;
        };
        shared.ticks.fetch_add(1, Relaxed);
        engine.increment_epoch();
    }
}

//! How the calls of an actor or a provider went, counted as they end: for inventories, by which people see how things go, and
//! an application manager judges a new image and scales a component. Calls take no lock, as every one comes by.

mod peak;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use trellis_lattice::control::host::{CallsMade, ComponentStats};

use peak::Peak;

/// Counters of one component with one image, or of one run of a provider. A component that slept goes on with those it had.
#[derive(Debug, Default)]
pub struct Stats {
    errors: AtomicU64,
    /// Calls by how long they took; all of them together are the calls that ended.
    latency: [AtomicU64; ComponentStats::BUCKETS],
    /// Calls that run.
    running: AtomicU32,
    /// Calls that run or wait.
    present: AtomicU32,
    peak: Peak,
}

/// A call that runs or waits, for as long as this lives.
#[derive(Debug)]
pub struct Present(Arc<Stats>);

/// A call that runs, for as long as this lives.
#[derive(Debug)]
pub struct Running(Present);

impl Stats {
    /// Counts a call in from when it waits for its turn.
    pub fn enter(self: &Arc<Self>) -> Present {
        let present = self.present.fetch_add(1, Relaxed) + 1;
        self.peak.see(present);
        Present(self.clone())
    }

    /// Counts a call that ended, by the time to its answer's head.
    pub fn ended(&self, took: Duration, failed: bool) {
        if let Some(count) = self.latency.get(bucket(took)) {
            count.fetch_add(1, Relaxed);
        }
        if failed {
            self.failed();
        }
    }

    /// Counts a failure of a call that was answered before.
    pub fn failed(&self) {
        self.errors.fetch_add(1, Relaxed);
    }

    /// What is told of them.
    pub fn tell(&self) -> ComponentStats {
        let mut latency: Vec<u64> = self
            .latency
            .iter()
            .map(|count| count.load(Relaxed))
            .collect();
        let calls = latency.iter().sum();
        let used = latency.iter().rposition(|count| *count > 0);
        latency.truncate(used.map_or(0, |last| last + 1));
        let present = self.present.load(Relaxed);
        ComponentStats {
            calls,
            errors: self.errors.load(Relaxed),
            in_flight: self.running.load(Relaxed),
            peak: self.peak.tell(present, Instant::now()),
            latency,
            // Those it made are counted where they go: by the links.
            made: CallsMade::default(),
        }
    }
}

impl Present {
    /// It has its turn.
    pub fn run(self) -> Running {
        self.0.running.fetch_add(1, Relaxed);
        Running(self)
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.present.fetch_sub(1, Relaxed);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.running.fetch_sub(1, Relaxed);
    }
}

/// The index of the power of two that the time is below.
fn bucket(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let bits = u64::BITS - micros.leading_zeros();
    (bits as usize).min(ComponentStats::BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_counted_by_powers_of_two() {
        for (micros, index) in [
            (0, 0),
            (1, 1),
            (2, 2),
            (3, 2),
            (4, 3),
            (1023, 10),
            (1024, 11),
            ((1 << 25) - 1, 25),
            (1 << 25, 26),
            (1 << 26, 26),
            (u64::MAX, 26),
        ] {
            assert_eq!(bucket(Duration::from_micros(micros)), index, "{micros} us");
        }
        assert_eq!(bucket(Duration::MAX), 26);
    }

    #[test]
    fn the_peak_is_of_calls_that_run_and_wait() {
        let stats = Arc::new(Stats::default());
        assert_eq!(stats.tell(), ComponentStats::default());
        let running = stats.enter().run();
        let waiting = stats.enter();
        drop(stats.enter());
        let told = stats.tell();
        assert_eq!((told.in_flight, told.peak), (1, 3));
        drop(waiting);
        assert_eq!(stats.tell().peak, 3, "others may have asked before");
        drop(running);
        stats.ended(Duration::from_micros(3), true);
        stats.ended(Duration::from_micros(0), false);
        let told = stats.tell();
        assert_eq!((told.calls, told.errors, told.in_flight), (2, 1, 0));
        assert_eq!(told.latency, [1, 0, 1]);
    }
}

//! A simulator: the real reconcilers and leases, several of them, against a model of hosts, messages and the store, in
//! virtual time and with random faults. Everything follows from a seed, so that a run that fails can be repeated:
//!
//! `TRELLIS_SIM_SEED=N` runs that seed alone and tells what happens; with `TRELLIS_SIM_RUNS=M` it is the first of M.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod apps;
mod chaos;
mod check;
mod host;
mod manager;
mod message;
mod partitions;
mod pops;
mod rng;
mod store;
mod world;

use std::{
    panic::AssertUnwindSafe,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use world::World;

/// How many seeds are run without being told otherwise.
const RUNS: u64 = 2_000;

/// What a run brought.
#[derive(Default)]
struct Outcome {
    /// How long it took after the faults until everything was as declared, in virtual milliseconds.
    converged_ms: u64,
    commands: u64,
    leaderships: u64,
}

/// One run: faults, then quiet, then everything is undeployed.
fn run(seed: u64, is_told: bool) -> Outcome {
    let mut world = World::new(seed, is_told);
    world.chaos();
    world.heal();
    let converged_ms = world.until_as_declared();
    world.stays_as_it_is();
    world.undeploy_all();
    world.until_as_declared();
    world.nothing_is_left();
    Outcome {
        converged_ms,
        commands: world.commands,
        leaderships: world.leaderships,
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs every seed that is asked for, and gives what each brought. One alone is told.
fn over_seeds<O: Send>(run: impl Fn(u64, bool) -> O + Sync) -> Vec<O> {
    let (first, runs) = (number("TRELLIS_SIM_SEED"), number("TRELLIS_SIM_RUNS"));
    if let (Some(seed), None) = (first, runs) {
        return vec![run(seed, true)];
    }
    let (first, runs) = (first.unwrap_or_default(), runs.unwrap_or(RUNS));
    let next = AtomicU64::new(first);
    let work = || {
        let mut outcomes = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + runs {
                return Ok(outcomes);
            }
            match std::panic::catch_unwind(AssertUnwindSafe(|| run(seed, false))) {
                Ok(outcome) => outcomes.push(outcome),
                Err(_) => return Err(seed),
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let results: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .collect()
    });
    let mut outcomes = Vec::new();
    for result in results {
        match result {
            Ok(some) => outcomes.extend(some),
            Err(seed) => panic!(
                "seed {seed} fails; again, and with all that happens: \
                 TRELLIS_SIM_SEED={seed} cargo test --release -p trellis-wadm --test sim -- --nocapture"
            ),
        }
    }
    outcomes
}

/// The middle and the worst of some times.
fn times(times: impl Iterator<Item = u64>) -> String {
    let mut times: Vec<u64> = times.collect();
    times.sort_unstable();
    format!(
        "median {} ms, worst {} ms",
        times[times.len() / 2],
        times[times.len() - 1]
    )
}

#[test]
fn whatever_happens_the_lattice_becomes_as_declared() {
    let begun = Instant::now();
    let outcomes = over_seeds(run);
    println!(
        "{} runs in {:.1} s; {} commands, {} leaderships; as declared after the faults: {}",
        outcomes.len(),
        begun.elapsed().as_secs_f64(),
        outcomes.iter().map(|outcome| outcome.commands).sum::<u64>(),
        outcomes
            .iter()
            .map(|outcome| outcome.leaderships)
            .sum::<u64>(),
        times(outcomes.iter().map(|outcome| outcome.converged_ms)),
    );
}

#[test]
fn pops_that_are_cut_off_lose_and_double_nothing() {
    let begun = Instant::now();
    let outcomes = over_seeds(partitions::run);
    let converged: Vec<u64> = outcomes.into_iter().flatten().collect();
    println!(
        "{} links mended in {:.1} s; as declared after that: {}",
        converged.len(),
        begun.elapsed().as_secs_f64(),
        times(converged.into_iter()),
    );
}

#[test]
fn a_seed_gives_the_same_run_again() {
    let (one, other) = (run(7, false), run(7, false));
    assert_eq!(one.converged_ms, other.converged_ms);
    assert_eq!(one.commands, other.commands);
    assert_eq!(one.leaderships, other.leaderships);
}

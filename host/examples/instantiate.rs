//! What an instance costs: time to make and to drop it, its memory and its kernel mappings.
//!
//! `cargo run --release -p trellis-host --example instantiate -- target/actors/http_hello.wasm [LIVE]`
#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on ends")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use trellis_host::{
    links::{LinkTable, Routes},
    runtime::{Actor, ActorOptions, Limits, Runtime, RuntimeConfig},
};
use trellis_lattice::ComponentId;
use trellis_rpc::Route;

const ROUNDS: usize = 20_000;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let wasm = std::fs::read(arguments.next().unwrap()).unwrap();
    let live: usize = arguments.next().map_or(500, |text| text.parse().unwrap());
    let wished = u32::try_from(live).unwrap().max(1000);
    let runtime = Runtime::new(RuntimeConfig {
        max_calls: wished,
        ..RuntimeConfig::default()
    })
    .unwrap();
    println!("room for {} of {wished} calls", runtime.calls());
    let module = runtime.load(wasm).await.unwrap();
    let options = ActorOptions {
        id: ComponentId::new("a").unwrap(),
        max_instances: wished,
        limits: Limits::default(),
        config: Default::default(),
        links: Arc::new(LinkTable::new(Arc::new(Nowhere))),
    };
    let actor = Actor::start(&runtime, &module, options).unwrap();

    let mut made = Vec::with_capacity(ROUNDS);
    let mut dropped = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS + 1000 {
        let instance = actor.instantiate().await.unwrap();
        made.push(instance.took);
        let began = Instant::now();
        drop(instance);
        dropped.push(began.elapsed());
    }
    for (what, times) in [("made", made), ("dropped", dropped)] {
        let mut times: Vec<Duration> = times.into_iter().skip(1000).collect();
        times.sort();
        println!(
            "{what}: p50 {:?}, p99 {:?}, mean {:?}",
            times[ROUNDS / 2],
            times[ROUNDS * 99 / 100],
            times.iter().sum::<Duration>() / ROUNDS as u32
        );
    }

    let before = (resident_kib(), mappings());
    let mut instances = Vec::new();
    for _ in 0..live {
        match actor.instantiate().await {
            Ok(instance) => instances.push(instance),
            Err(error) => {
                println!("after {}: {error}", instances.len());
                break;
            }
        }
    }
    let count = instances.len().max(1) as f64;
    println!(
        "{} live: {:.1} KiB and {:.2} mappings each; {} mappings in all",
        instances.len(),
        (resident_kib() - before.0) as f64 / count,
        (mappings() - before.1) as f64 / count,
        mappings()
    );
}

fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps")
        .unwrap()
        .lines()
        .count()
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

struct Nowhere;

impl Routes for Nowhere {
    fn route(&self, _: &ComponentId) -> Arc<dyn Route> {
        unreachable!("the actor measured here calls nobody")
    }
}

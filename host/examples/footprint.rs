//! What actors take: memory of an idle runtime and of one with many different actors, and the time of a call.
//!
//! `cargo run --release -p trellis-host --example footprint -- target/actors/http_hello.wasm 100 [CACHE FOLDER]`
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
use trellis_rpc::{
    CallContext, Channels, Handler as _, Incoming, IncomingCall, Route,
    interface::http::{Body, Method, Request, handle},
};

const CALLS: u32 = 20_000;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let wasm = std::fs::read(arguments.next().unwrap()).unwrap();
    let count: u32 = arguments.next().unwrap().parse().unwrap();
    let cache_dir = arguments.next().map(Into::into);
    println!("before:               {:>8} KiB resident", resident_kib());
    let started = Instant::now();
    let config = RuntimeConfig {
        cache_dir,
        ..RuntimeConfig::default()
    };
    let runtime = Runtime::new(config).unwrap();
    println!(
        "idle runtime:         {:>8} KiB resident, made in {:?}",
        resident_kib(),
        started.elapsed()
    );

    let links = Arc::new(LinkTable::new(Arc::new(Nowhere)));
    let started = Instant::now();
    let mut actors = Vec::new();
    for number in 0..count {
        let module = runtime.load(variant(&wasm, number)).await.unwrap();
        let options = ActorOptions {
            id: ComponentId::new(format!("actor-{number}")).unwrap(),
            max_instances: 64,
            limits: Limits::default(),
            config: Default::default(),
            links: links.clone(),
        };
        actors.push(Actor::start(&runtime, &module, options).unwrap());
    }
    println!(
        "{count} actors loaded:    {:>8} KiB resident, {:?} each",
        resident_kib(),
        started.elapsed() / count
    );
    for actor in &actors {
        call(actor).await;
    }
    println!("each called once:     {:>8} KiB resident", resident_kib());
    tokio::time::sleep(Duration::from_secs(1)).await;

    let started = Instant::now();
    for _ in 0..CALLS {
        call(&actors[0]).await;
    }
    println!(
        "one actor, {CALLS} calls one after the other: {:?} each",
        started.elapsed() / CALLS
    );
    let started = Instant::now();
    for round in 0..CALLS {
        call(&actors[(round % count) as usize]).await;
    }
    println!(
        "all actors in turn, {CALLS} calls: {:?} each",
        started.elapsed() / CALLS
    );
    let limits = Limits {
        reuse: true,
        ..Limits::default()
    };
    let options = ActorOptions {
        id: ComponentId::new("reused").unwrap(),
        max_instances: 64,
        limits,
        config: Default::default(),
        links: links.clone(),
    };
    let reused = Actor::start(&runtime, actors[0].module(), options).unwrap();
    for (what, actor) in [
        ("one actor", &actors[0]),
        ("one that reuses instances", &reused),
    ] {
        call(actor).await;
        let started = Instant::now();
        for _ in 0..CALLS {
            call(actor).await;
        }
        let alone = started.elapsed() / CALLS;
        let per_second = together(actor).await;
        println!("{what}: {alone:?} a call; 32 callers: {per_second:.0} calls a second");
    }
    println!("at the end:           {:>8} KiB resident", resident_kib());
}

/// How many calls 32 callers get answered in a second.
async fn together(actor: &Arc<Actor>) -> f64 {
    let started = Instant::now();
    let tasks: Vec<_> = (0..32)
        .map(|_| {
            let actor = actor.clone();
            tokio::spawn(async move {
                for _ in 0..CALLS / 32 {
                    call(&actor).await;
                }
            })
        })
        .collect();
    futures::future::join_all(tasks).await;
    f64::from(CALLS) / started.elapsed().as_secs_f64()
}

/// The same component with other bytes: a custom section that says which.
fn variant(wasm: &[u8], number: u32) -> Vec<u8> {
    let mut bytes = wasm.to_vec();
    let name = b"number";
    bytes.push(0);
    bytes.push(name.len() as u8 + 1 + 4);
    bytes.push(name.len() as u8);
    bytes.extend(name);
    bytes.extend(number.to_le_bytes());
    bytes
}

async fn call(actor: &Arc<Actor>) {
    let request = Request {
        method: Method::Get,
        path_with_query: Some("/".into()),
        scheme: None,
        authority: Some("localhost".into()),
        headers: vec![],
        body: Body::empty(),
    };
    let params = request.into_params();
    let call = IncomingCall {
        operation: handle().clone(),
        context: CallContext::default(),
        params: Incoming {
            root: params.root,
            channels: Channels::ready(params.channels),
        },
        cancelled: tokio_util::sync::CancellationToken::new(),
    };
    assert!(actor.clone().handle(call).await.unwrap().root.len() > 10);
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
        unreachable!("the actors measured here call nobody")
    }
}

//! Actors as they run in a host, each test with the components that `cargo xtask guests` builds from `actors/`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "runtime/kit.rs"]
mod kit;

#[path = "runtime/cache.rs"]
mod cache;
#[path = "runtime/fairness.rs"]
mod fairness;
#[path = "runtime/figures.rs"]
mod figures;
#[path = "runtime/http.rs"]
mod http;
#[path = "runtime/in_process.rs"]
mod in_process;
#[path = "runtime/keyvalue.rs"]
mod keyvalue;
#[path = "runtime/limits.rs"]
mod limits;
#[path = "runtime/load.rs"]
mod load;
#[path = "runtime/local.rs"]
mod local;
#[path = "runtime/messaging.rs"]
mod messaging;
#[path = "runtime/outbound.rs"]
mod outbound;
#[path = "runtime/overload.rs"]
mod overload;
#[path = "runtime/resources.rs"]
mod resources;
#[path = "runtime/reuse.rs"]
mod reuse;
#[path = "runtime/stats.rs"]
mod stats;
#[path = "runtime/types.rs"]
mod types;
#[path = "runtime/ways.rs"]
mod ways;

//! Trellis end to end: each test has a lattice of its own of real processes. One module a behaviour.

mod actor_limits;
mod apps;
mod bad_input;
mod blobs;
mod calls;
mod claims;
mod counter;
mod faults;
mod guide;
mod health;
mod http_client;
mod links;
mod matrix;
mod messaging;
mod mqtt;
mod nats_restart;
mod nearby;
mod permissions;
mod postgres;
mod provider_crash;
mod registry;
mod streams;
mod tls;
mod two_hosts;
mod up;
mod up_pops;

//! The trellis binary, run as people run it: one module a behaviour.

#![expect(
    clippy::unwrap_used,
    reason = "what a test can not go on without fails it"
)]

mod completions;
mod help;
mod keys;
mod lattice_without_hosts;
mod manifests;
mod pack;
mod program;
mod registry;
mod roles;
mod sign;
mod up;
mod without_nats;

//! The trellis binary, run as people run it: one module a behaviour.

mod completions;
mod help;
mod keys;
mod lattice_without_hosts;
mod manifests;
mod program;
mod sign;
mod without_nats;

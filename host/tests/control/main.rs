//! A host over a real NATS server: its control interface, its components, its providers.
#![allow(
    clippy::unwrap_used,
    reason = "a test says by a panic what it did not expect"
)]

mod alive;
mod away_from_hub;
mod components;
mod dormant;
mod garbage;
mod host_end;
mod in_process;
mod kit;
mod leaders;
mod probe;
mod requests;
mod resilience;
mod supervision;

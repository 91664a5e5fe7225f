//! Calls over a real NATS server, which each test starts for itself.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may end with a panic"
)]

mod calls;
mod faults;
mod kit;
mod locality;
mod plain;
mod pops;
mod suite;

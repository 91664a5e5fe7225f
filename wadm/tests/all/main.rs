//! All tests of this crate that use it from outside, in one program: one file a behaviour, and what they share.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod api;
mod autoscale;
mod failover;
mod manifest;
mod mend;
mod readme;
mod reconcile;
mod rollout;
mod rollout_live;
mod rules;
mod scheduler;
mod schema;
mod secrets;
mod tell;

mod hosts;
mod manager;
mod model;
mod nats;
mod stage;

//! All tests of this crate that use it from outside, in one program: one file a behaviour, and what they share.

mod api;
mod manifest;
mod reconcile;
mod scheduler;

mod hosts;
mod manager;
mod model;
mod nats;

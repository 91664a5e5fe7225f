//! Calls over Unix sockets, which each test makes for itself.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may end with a panic"
)]

mod admission;
mod fallback;
mod kit;
mod raw;
mod suite;
mod violations;

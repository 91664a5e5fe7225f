//! The value encoding: every WIT type goes there and back, and no bytes do harm.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may end with a panic"
)]

mod generate;
mod golden;
mod limits;
mod round_trip;
mod typed;

//! Rollouts: another release of a component or provider takes the old one's place host by host, watched, and gives way
//! to it again when it fails. Pure.
//!
//! - [`Release`]: what something is started from; [`Rolling`]: what the planner has to know

mod release;

pub use release::{Release, Rolling};

//! Rollouts as pure functions: a lattice that does as planned, or does not.

mod always;
mod steps;
mod world;

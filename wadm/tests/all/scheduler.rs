//! The scheduler against a model of a lattice that carries out what it is told.

mod always;
mod explain;
mod place;
mod remove;
mod update;

mod world;

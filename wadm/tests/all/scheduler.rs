//! The scheduler against a model of a lattice that carries out what it is told.

mod always;
mod explain;
mod place;
mod placement;
mod reasons;
mod remove;
mod reuse;
mod rules;
mod unseen;
mod update;

mod crowd;
mod world;

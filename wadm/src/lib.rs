//! The application manager: it takes manifests and keeps a lattice as they say.

pub mod api;
pub mod attempts;
pub mod command;
pub mod desired;
pub mod manifest;
pub mod names;
pub mod observed;
pub mod plan;
pub mod store;

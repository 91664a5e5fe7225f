//! The application manager: it takes manifests and keeps a lattice as they say.

pub mod manifest;
pub mod names;
pub mod store;

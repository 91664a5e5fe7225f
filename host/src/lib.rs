//! The host: joins a lattice, answers control requests, fetches and verifies actors, runs them in wasmtime,
//! supervises provider processes, and resolves links to routes.
//!
//! - [`run`], [`HostConfig`]: a host's life.
//! - `control`: the control interface, one room a noun; `host`: what all its rooms share.
//! - `store`: the lattice's state in JetStream, written and followed.
//! - `components`, [`runtime`], [`links`], `routes`: what runs here, and where its calls go.
//! - `resume`: what a killed host comes back with.
//! - `image`: where what runs comes from: files, the program itself, registries.
//! - `providers`: processes, supervised; `secrets`: what is asked of secrets backends for them.

mod alive;
mod components;
mod config;
mod control;
mod credentials;
mod error;
mod events;
mod fence;
mod host;
mod identity;
mod image;
mod lane;
pub mod links;
mod nearby;
mod order;
mod providers;
mod resume;
mod round_trip;
mod routes;
mod run;
pub mod runtime;
mod secrets;
mod store;

pub use config::HostConfig;
pub use error::HostError;
pub use round_trip::NoRoundTrip;
pub use run::run;
pub use store::StoreError;

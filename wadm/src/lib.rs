//! The application manager: it takes manifests and keeps a lattice as they say. It speaks 1.x's API and stores
//! manifests in 1.x's form (`wasmcloud-v1.md`, Application manager), so either can take the other's place.
//!
//! - [`manifest`]: what an application is made of; every mistake in it with its line, column and field
//! - [`api`]: requests about applications; [`store`]: what is kept in JetStream
//! - [`desired`], [`observed`], [`plan`]: what ought to be, what is, and what to do. Pure
//! - [`attempts`]: what was asked for and how it went. Pure
//! - [`autoscale`]: as many instances as calls need. Pure
//! - [`status`], [`explain`]: how an application is, in short and in detail. Pure
//! - [`rollout`]: how another image takes an image's place. Pure
//! - [`lease`]: which of several managers acts
//! - [`reconcile`]: all that decides, as one pure core
//! - [`run`]: all of it together, on NATS

pub mod api;
pub mod attempts;
pub mod autoscale;
pub mod command;
pub mod desired;
pub mod explain;
pub mod lease;
pub mod manifest;
pub mod names;
pub mod observed;
pub mod plan;
pub mod reconcile;
pub mod rollout;
mod run;
pub mod status;
pub mod store;

pub use reconcile::Settings;
pub use run::{WadmConfig, WadmError, run};

//! What a capability provider is written with: a process that a host starts, that components are linked to while both
//! run, and that can be replaced without touching them (`wasmcloud-v1.md`, Providers).
//!
//! - [`Provider`]: what a provider implements; [`run`] makes a process of it.
//! - [`Lattice`], [`Component`]: its place in the lattice, and calls to components.
//! - [`LinkConfig`], [`LinkTable`], [`Shared`]: links, with their configuration as a Rust type ([`config`]), and what is
//!   kept for them.
//! - [`Backend`], [`Linked`]: a provider whose links lead to a server somewhere; [`tls`]: whose certificates it trusts.
//! - [`generate!`], [`generated`]: Rust for a WIT world of the author's own, answered and called.
//! - [`keyvalue`], [`blobstore`], [`messaging`]: answering the interfaces that Trellis types itself.
//!
//! ```no_run
//! use std::sync::Arc;
//! use trellis_provider::{Lattice, LinkConfig, LinkError, Provider, StartError, config::NoConfig};
//!
//! /// Greets whoever is linked to it, once.
//! struct Greeter {
//!     lattice: Lattice,
//! }
//!
//! #[derive(serde::Deserialize)]
//! struct Greeting {
//!     name: String,
//! }
//!
//! trellis_rpc::wire_functions! {
//!     "acme:greeter/greet@1.0.0" {
//!         /// Greets somebody, and gives the answer.
//!         Greet = "greet"(String) -> String;
//!     }
//! }
//!
//! impl Provider for Greeter {
//!     const NAME: &'static str = "greeter";
//!     type Config = NoConfig;
//!     type SourceConfig = Greeting;
//!     type TargetConfig = NoConfig;
//!
//!     async fn start(_: NoConfig, lattice: Lattice) -> Result<Self, StartError> {
//!         Ok(Self { lattice })
//!     }
//!
//!     async fn receive_link_config_as_source(&self, link: LinkConfig<Greeting>) -> Result<(), LinkError> {
//!         let component = self.lattice.linked(&link);
//!         let answer = component.invoke::<Greet>(&link.config.name, Default::default()).await;
//!         tracing::info!(?answer, "greeted");
//!         Ok(())
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), trellis_provider::RunError> {
//!     trellis_provider::run::<Greeter>().await
//! }
//! ```

mod answers;
mod backend;
pub mod blobstore;
pub mod config;
mod control;
mod counted;
mod error;
pub mod generated;
mod help;
mod host_data;
pub mod keyvalue;
mod lattice;
mod link;
mod link_table;
mod links;
mod logging;
pub mod messaging;
mod provider;
mod run;
mod secrets;
mod shared;
pub mod tls;

pub use backend::{Backend, Linked};
pub use error::{LinkError, RunError};
pub use lattice::{CallOptions, Component, Lattice};
pub use link::{LinkConfig, Role};
pub use link_table::{LinkTable, NoLink};
pub use provider::{Provider, StartError};
pub use run::{DRAIN_LIMIT, run, run_with_host_data};
pub use secrets::{Secret, Secrets, SecretsError};
pub use shared::Shared;
pub use trellis_lattice as contract;
pub use trellis_lattice::provider::{Health, HostData};
pub use trellis_provider_macros::generate;
pub use trellis_rpc as rpc;

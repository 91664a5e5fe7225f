//! `wasmcloud:messaging` on NATS: components get the messages of their subscriptions, publish and request.
//!
//! - [`config`]: a link's configuration; [`subscription`]: one entry of its `subscriptions`.
//! - [`subjects`]: what may be published and subscribed to.
//! - [`connection`]: the lattice's connection, or another one.
//! - [`delivery`]: messages on their way to a component, at most once.
//! - [`jetstream`]: messages of a stream, each until it is handled.
//! - [`period`]: lengths of time in a configuration.
//! - [`provider`] takes the links and answers the calls.

pub mod config;
pub mod connection;
pub mod delivery;
pub mod jetstream;
pub mod period;
pub mod provider;
pub mod subjects;
pub mod subscription;

pub use provider::MessagingNats;

/// The provider's name: `builtin:messaging-nats`, `trellis provider messaging-nats`.
pub const NAME: &str = "messaging-nats";

/// Runs the provider as this process: host data comes on standard input.
///
/// # Errors
/// Why it could not run or did not end well.
pub async fn run() -> Result<(), trellis_provider::RunError> {
    trellis_provider::run::<MessagingNats>().await
}

//! `wasi:keyvalue` on NATS JetStream, for components linked to it.
//!
//! - [`config`]: a link's configuration.
//! - [`keys`]: where a component's buckets and keys are in a NATS bucket.
//! - [`placement`]: in which PoP's JetStream a bucket is; `replica`: one that is at the hub and copied here.
//! - [`bucket`]: a NATS bucket behind a link, with its [`listing`] and [`counting`].
//! - [`wanted`]: which keys a component is told of; `follow`: how they are followed.
//! - [`provider`]: what makes it a provider.

pub mod bucket;
pub mod config;
pub mod counting;
mod follow;
pub mod keys;
pub mod listing;
pub mod placement;
pub mod provider;
mod replica;
pub mod wanted;

pub use provider::KeyvalueNats;

/// The provider's name: `builtin:keyvalue-nats`, `trellis provider keyvalue-nats`.
pub const NAME: &str = "keyvalue-nats";

/// Runs the provider as this process: host data comes on standard input.
///
/// # Errors
/// Why it could not run or did not end well.
pub async fn run() -> Result<(), trellis_provider::RunError> {
    trellis_provider::run::<KeyvalueNats>().await
}

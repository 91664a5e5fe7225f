//! `wasi:keyvalue` on Redis, for components linked to it, and for those that are told of changes.
//!
//! - [`config`]: a link's configuration.
//! - [`wanted`]: of which changes a component is told.
//! - [`keys`]: where a bucket's keys are.
//! - [`redis_store`]: Redis behind a link.
//! - [`keyspace_events`]: what Redis' announcements mean, and the setting that they need.
//! - [`announcements`]: listening to them.
//! - [`provider`]: what makes it a provider.

pub mod announcements;
pub mod config;
pub mod keys;
pub mod keyspace_events;
pub mod provider;
pub mod redis_store;
pub mod wanted;

pub use provider::KeyvalueRedis;

/// The provider's name: `builtin:keyvalue-redis`, `trellis provider keyvalue-redis`.
pub const NAME: &str = "keyvalue-redis";

/// Runs the provider as this process: host data comes on standard input.
///
/// # Errors
/// Why it could not run or did not end well.
pub async fn run() -> Result<(), trellis_provider::RunError> {
    trellis_provider::run::<KeyvalueRedis>().await
}

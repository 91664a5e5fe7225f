//! `wasi:blobstore` in a folder, for components linked to it.
//!
//! - [`config`]: a link's configuration.
//! - [`names`]: where containers and objects are in the folder.
//! - [`folder`]: the folder behind a link; `listing` lists what is in a container.
//! - [`provider`]: what makes it a provider.

pub mod config;
pub mod folder;
mod listing;
pub mod names;
pub mod provider;

pub use provider::BlobstoreFs;

/// The provider's name: `builtin:blobstore-fs`, `trellis provider blobstore-fs`.
pub const NAME: &str = "blobstore-fs";

/// Runs the provider as this process: host data comes on standard input.
///
/// # Errors
/// Why it could not run or did not end well.
pub async fn run() -> Result<(), trellis_provider::RunError> {
    trellis_provider::run::<BlobstoreFs>().await
}

//! `wasi:blobstore` on any server that speaks S3, for components linked to it.
//!
//! - [`config`]: a link's configuration; [`names`]: where a link's containers and objects are, and where they never are.
//! - [`store`]: the store behind a link; [`upload`], [`download`] and [`listing`]: what streams to and from it.
//! - [`request`]: what is asked of a server, and its signature; [`server`]: asking it, once or again; [`answer`]: what it
//!   answers in XML; [`failure`]: what a component is told when it fails.
//! - [`provider`]: what makes it a provider.

pub mod answer;
pub mod config;
pub mod download;
pub mod failure;
pub mod listing;
pub mod names;
pub mod provider;
pub mod request;
pub mod server;
pub mod store;
pub mod upload;

pub use provider::BlobstoreS3;

/// The provider's name: `builtin:blobstore-s3`, `trellis provider blobstore-s3`.
pub const NAME: &str = "blobstore-s3";

/// Runs the provider as this process: host data comes on standard input.
///
/// # Errors
/// Why it could not run or did not end well.
pub async fn run() -> Result<(), trellis_provider::RunError> {
    trellis_provider::run::<BlobstoreS3>().await
}

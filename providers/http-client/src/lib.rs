//! Outgoing `wasi:http`, for components linked to it: they reach the hosts that their link allows, and no network of the
//! machine's own unless the link says so.
//!
//! - [`config`]: a link's configuration; [`hosts`] its list of hosts, [`addresses`] its list of networks.
//! - [`client`]: the HTTP client behind a link: [`request`] on its way out, [`response`] on its way back, [`failure`] when
//!   there is none.
//! - [`connector`]: connections, only to where the link allows.
//! - [`tasks`]: what runs for the connections.
//! - [`provider`]: what makes it a provider.

pub mod addresses;
pub mod client;
pub mod config;
pub mod connector;
pub mod failure;
pub mod hosts;
pub mod provider;
pub mod request;
pub mod response;
pub mod tasks;

pub use provider::HttpClient;

/// The provider's name: `builtin:http-client`, `trellis provider http-client`.
pub const NAME: &str = "http-client";

/// Runs the provider as this process: host data comes on standard input.
///
/// # Errors
/// Why it could not run or did not end well.
pub async fn run() -> Result<(), trellis_provider::RunError> {
    trellis_provider::run::<HttpClient>().await
}

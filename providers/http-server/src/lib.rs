//! An HTTP server for components that export `wasi:http/incoming-handler`: HTTP/1.1 and HTTP/2 on one port, bodies that
//! stream both ways, links that are replaced under load.
//!
//! - [`config`]: the provider's configuration and a link's.
//! - [`slot`]: where an address's requests go now.
//! - [`listener`], [`listeners`]: an address's connections; all addresses.
//! - [`exchange`]: one request and its response, with [`request`], [`reply`], [`refusal`] and [`idle`].
//! - [`provider`] takes the links.

pub mod config;
pub mod exchange;
pub mod idle;
pub mod listener;
pub mod listeners;
pub mod provider;
pub mod refusal;
pub mod reply;
pub mod request;
pub mod slot;

pub use provider::HttpServer;

/// The provider's name: `builtin:http-server`, `trellis provider http-server`.
pub const NAME: &str = "http-server";

/// Runs the provider as this process: host data comes on standard input.
///
/// # Errors
/// Why it could not run or did not end well.
pub async fn run() -> Result<(), trellis_provider::RunError> {
    trellis_provider::run::<HttpServer>().await
}

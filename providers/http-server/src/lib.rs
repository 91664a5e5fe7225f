//! An HTTP server for components that export `wasi:http/incoming-handler`: HTTP/1.1 and HTTP/2 on one port, with TLS or
//! without, several components by host and path, bodies that stream both ways, links that are replaced under load.
//!
//! - [`config`]: the provider's configuration and a link's.
//! - [`listeners`], [`listener`]: all addresses; an address's connections, which [`tls`] encrypts.
//! - [`routes`], [`table`], [`route`]: whose an address's requests are now.
//! - [`exchange`]: one request and its response, with [`request`], [`reply`], [`refusal`] and [`idle`].
//! - What a link may ask for besides: [`forwarded`], [`rate`], [`compression`], [`access`].
//! - [`provider`] takes the links.

pub mod access;
pub mod compression;
pub mod config;
pub mod exchange;
pub mod forwarded;
pub mod idle;
pub mod listener;
pub mod listeners;
pub mod provider;
pub mod rate;
pub mod refusal;
pub mod reply;
pub mod request;
pub mod route;
pub mod routes;
pub mod table;
pub mod tls;

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

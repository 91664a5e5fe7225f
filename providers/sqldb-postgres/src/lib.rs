//! `wasmcloud:postgres` and `trellis:postgres`, for components linked to a PostgreSQL database.
//!
//! - [`config`]: a link's configuration; [`tls`]: whose certificates are trusted.
//! - [`wire`]: the interfaces' types, as they travel.
//! - [`literal`]: parameters, as PostgreSQL reads them; [`column`]: results, as PostgreSQL writes them; [`calendar`],
//!   [`decimal`] and [`float`] for either.
//! - [`database`]: the database behind a link; [`lease`]: one of its connections while a call has it; [`sql`]: what its
//!   statement may leave there; [`failure`]: what a component is told when it fails.
//! - [`provider`]: what makes it a provider.

pub mod calendar;
pub mod column;
pub mod config;
pub mod database;
pub mod decimal;
pub mod failure;
pub mod float;
pub mod lease;
pub mod literal;
pub mod provider;
pub mod sql;
pub mod tls;
pub mod wire;

pub use provider::SqldbPostgres;

/// The provider's name: `builtin:sqldb-postgres`, `trellis provider sqldb-postgres`.
pub const NAME: &str = "sqldb-postgres";

/// Runs the provider as this process: host data comes on standard input.
///
/// # Errors
/// Why it could not run or did not end well.
pub async fn run() -> Result<(), trellis_provider::RunError> {
    trellis_provider::run::<SqldbPostgres>().await
}

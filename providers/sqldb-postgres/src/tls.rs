//! Whose certificates are trusted.

use tokio_postgres_rustls::MakeRustlsConnect;
use trellis_provider::{config::SettingsError, tls::Roots};

use crate::config::Settings;

/// What connections are made with; whether they need it is the connection's configuration.
///
/// # Errors
/// The file of authorities can't be read, or has none that can be used.
pub fn connector(settings: &Settings) -> Result<MakeRustlsConnect, SettingsError> {
    let roots = Roots {
        system: settings.tls_system_roots && settings.needs_tls(),
        ca_file: settings.tls_ca_file.clone(),
    };
    Ok(MakeRustlsConnect::new(roots.client_config()?))
}

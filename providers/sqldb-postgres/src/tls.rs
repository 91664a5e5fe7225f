//! Whose certificates are trusted: the authorities that this machine trusts, those of a link's own file, or both.

use std::{fmt, path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{
        CertificateDer,
        pem::{self, PemObject as _},
    },
};
use tokio_postgres_rustls::MakeRustlsConnect;
use trellis_provider::config::SettingsError;

use crate::config::Settings;

/// What connections are made with; whether they need it is the connection's configuration.
///
/// # Errors
/// The file of authorities can't be read, or has none that can be used.
pub fn connector(settings: &Settings) -> Result<MakeRustlsConnect, SettingsError> {
    let mut roots = RootCertStore::empty();
    if settings.tls_system_roots && settings.needs_tls() {
        let found = rustls_native_certs::load_native_certs();
        if found.certs.is_empty() {
            tracing::warn!(errors = ?found.errors, "this machine has no certificate authorities");
        }
        roots.add_parsable_certificates(found.certs);
    }
    if let Some(file) = &settings.tls_ca_file {
        for certificate in read(file)? {
            let added = roots.add(certificate);
            added.map_err(|error| wrong(file, error))?;
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| SettingsError {
            field: "tls_required",
            problem: error.to_string(),
        })?;
    let config = config.with_root_certificates(roots).with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn read(file: &Path) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let certificates: Vec<_> = read.map_err(|error| match error {
        pem::Error::Io(error) => wrong(file, error),
        error => wrong(file, error),
    })?;
    if certificates.is_empty() {
        return Err(wrong(file, "no certificate in it"));
    }
    Ok(certificates)
}

fn wrong(file: &Path, problem: impl fmt::Display) -> SettingsError {
    SettingsError {
        field: "tls_ca_file",
        problem: format!("{}: {problem}", file.display()),
    }
}

//! Whose certificates are trusted: the authorities that this machine trusts, those of a link's own file, or both.

use std::{
    fmt,
    path::Path,
    sync::{Arc, LazyLock},
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{
        CertificateDer,
        pem::{self, PemObject as _},
    },
};
use trellis_provider::config::SettingsError;

use crate::config::Settings;

/// This machine's authorities, read once: it takes a while.
static SYSTEM: LazyLock<Vec<CertificateDer<'static>>> = LazyLock::new(|| {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        tracing::warn!(errors = ?found.errors, "this machine has no certificate authorities");
    }
    found.certs
});

/// How a link's client speaks TLS. ALPN is left to the connector.
///
/// # Errors
/// The file of authorities can't be read, or has none that can be used.
pub fn tls(settings: &Settings) -> Result<ClientConfig, SettingsError> {
    let mut roots = RootCertStore::empty();
    if settings.tls_system_roots {
        roots.add_parsable_certificates(SYSTEM.iter().cloned());
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
            field: "tls_system_roots",
            problem: error.to_string(),
        })?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
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

//! Whose certificates a provider's clients trust: the authorities that this machine trusts, those of a link's own file, or
//! both. One room, so that `tls_ca_file` and `tls_system_roots` mean the same on every provider's link.

use std::{
    fmt,
    path::{Path, PathBuf},
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

use crate::config::SettingsError;

/// This machine's authorities, read once: it takes a while.
static SYSTEM: LazyLock<Vec<CertificateDer<'static>>> = LazyLock::new(|| {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        tracing::warn!(errors = ?found.errors, "this machine has no certificate authorities");
    }
    found.certs
});

/// Who is trusted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Roots {
    /// The authorities that this machine trusts: a link's `tls_system_roots`.
    pub system: bool,
    /// A PEM file of authorities: a link's `tls_ca_file`.
    pub ca_file: Option<PathBuf>,
}

impl Roots {
    /// How a client that trusts them speaks TLS (1.2 and 1.3, without a certificate of its own). ALPN is left to its connector.
    ///
    /// # Errors
    /// Names `tls_ca_file` when the file can't be read, or has none that can be used.
    pub fn client_config(&self) -> Result<ClientConfig, SettingsError> {
        let mut roots = RootCertStore::empty();
        if self.system {
            roots.add_parsable_certificates(SYSTEM.iter().cloned());
        }
        if let Some(file) = &self.ca_file {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn trusting(file: &Path) -> Result<ClientConfig, SettingsError> {
        let roots = Roots {
            system: false,
            ca_file: Some(file.to_owned()),
        };
        roots.client_config()
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = trusting(Path::new("/nowhere/ca.pem")).unwrap_err();
        assert_eq!(error.field, "tls_ca_file");
        assert!(error.problem.contains("/nowhere/ca.pem"), "{error}");
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        // This source file holds none.
        let error = trusting(Path::new(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/src/tls.rs"
        )))
        .unwrap_err();
        assert!(error.problem.contains("no certificate"), "{error}");
    }
}

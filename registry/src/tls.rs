//! TLS: the one implementation of cryptography that Trellis has, further authorities, and what failures mean.

use std::{error::Error as StdError, fs, io, path::Path};

use rustls::InvalidMessage;

use crate::{Reference, RegistryError};

/// What a file of certificates must have in it.
const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// Chooses the process's implementation, unless someone did. The HTTP client asks for it and brings none.
pub(crate) fn choose_provider() {
    // An error says that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Reads a file of certificates.
///
/// # Errors
/// It can't be read, or has none in it.
pub(crate) fn read_certificates(path: &Path) -> Result<Vec<u8>, RegistryError> {
    let failed = |problem: String| RegistryError::Certificates {
        path: path.to_owned(),
        problem,
    };
    let pem = fs::read(path).map_err(|error| failed(error.to_string()))?;
    if !pem.windows(BEGIN.len()).any(|window| window == BEGIN) {
        return Err(failed("it has no PEM certificate in it".into()));
    }
    Ok(pem)
}

/// What a failed request means.
pub(crate) fn failure(reference: &Reference, error: &reqwest::Error) -> RegistryError {
    let (text, registry) = (reference.to_string(), reference.registry().to_owned());
    match tls_error(error) {
        Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            RegistryError::NotTls {
                reference: text,
                registry,
            }
        }
        Some(rustls::Error::InvalidCertificate(problem)) => RegistryError::Certificate {
            reference: text,
            registry,
            problem: problem.to_string(),
        },
        _ => RegistryError::Lost {
            reference: text,
            cause: innermost(error),
        },
    }
}

/// What TLS says of it, if that is what failed.
fn tls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        // An I/O error hides what it is made of from its own chain.
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            .map(|inner| inner as &(dyn StdError + 'static));
        cause = inner.or_else(|| error.source());
    }
    None
}

/// The cause at the bottom: what is above it says that sending failed, and where to.
pub(crate) fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn StdError = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, "-----BEGIN PRIVATE KEY-----\n").unwrap();
        let error = read_certificates(&path).unwrap_err().to_string();
        assert!(
            error.contains("ca.pem: it has no PEM certificate"),
            "{error}"
        );
        assert!(read_certificates(&folder.path().join("x")).is_err());
    }

    #[test]
    fn what_tls_says_is_found_within_an_io_error() {
        let inner = rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType);
        let outer = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, inner));
        assert!(tls_error(&outer).is_some());
    }
}

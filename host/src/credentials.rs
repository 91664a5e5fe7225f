//! What providers connect to NATS with: the host's own credentials, until providers have their own.

use std::fs;

use trellis_lattice::connect::{ConnectError, NatsSettings};

/// A user's JWT and seed, each empty where there is none.
#[derive(Clone, Default)]
pub(crate) struct Credentials {
    pub(crate) jwt: String,
    pub(crate) seed: String,
}

impl std::fmt::Debug for Credentials {
    /// Both are secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl Credentials {
    /// The credentials in the settings, or in the file that they name.
    pub(crate) fn new(settings: &NatsSettings) -> Result<Self, ConnectError> {
        let Some(path) = &settings.credentials else {
            return Ok(Self {
                jwt: settings.jwt.clone().unwrap_or_default(),
                seed: settings.seed.clone().unwrap_or_default(),
            });
        };
        let text = fs::read_to_string(path).map_err(|source| ConnectError::Credentials {
            path: path.clone(),
            source,
        })?;
        Ok(Self {
            jwt: block(&text, "NATS USER JWT"),
            seed: block(&text, "USER NKEY SEED"),
        })
    }
}

/// The line between `-----BEGIN name-----` and the dashes that end it.
fn block(text: &str, name: &str) -> String {
    let begin = format!("-----BEGIN {name}-----");
    let mut lines = text
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != begin)
        .skip(1);
    lines
        .find(|line| !line.is_empty())
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credentials_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("user.creds");
        fs::write(
            &path,
            "-----BEGIN NATS USER JWT-----\neyJ0.a.b\n------END NATS USER JWT------\n\n***\n\n\
             -----BEGIN USER NKEY SEED-----\nSUAAA\n------END USER NKEY SEED------\n",
        )
        .unwrap();
        let settings = NatsSettings {
            credentials: Some(path),
            ..NatsSettings::new("nats://h")
        };
        let credentials = Credentials::new(&settings).unwrap();
        assert_eq!(
            (credentials.jwt.as_str(), credentials.seed.as_str()),
            ("eyJ0.a.b", "SUAAA")
        );
        assert!(!format!("{credentials:?}").contains("SUAAA"));
    }
}

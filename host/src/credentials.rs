//! What providers connect to NATS with: their own user where there is one, else the host's own credentials.

use std::fs;

use trellis_lattice::connect::{ConnectError, NatsSettings};

use crate::HostConfig;

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
    /// The providers' own, or else the host's.
    pub(crate) fn of_providers(config: &HostConfig) -> Result<Self, ConnectError> {
        match &config.provider_seed_file {
            Some(file) => Self::new(&NatsSettings {
                seed_file: Some(file.clone()),
                ..NatsSettings::default()
            }),
            None => Self::new(&config.nats),
        }
    }

    /// The credentials in the settings, or in the file that they name.
    fn new(settings: &NatsSettings) -> Result<Self, ConnectError> {
        let Some(path) = &settings.credentials else {
            let key = settings.user_key()?;
            return Ok(Self {
                jwt: settings.jwt.clone().unwrap_or_default(),
                seed: key.map(|key| key.seed()).unwrap_or_default(),
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
    use trellis_lattice::claims::UserKey;

    use super::*;

    #[test]
    fn providers_have_their_own_user_where_there_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let [own, theirs] = ["host.nk", "provider.nk"].map(|name| {
            let key = UserKey::generate();
            let path = folder.path().join(name);
            key.write_file(&path).unwrap();
            (path, key.seed())
        });
        let mut config = HostConfig {
            nats: NatsSettings {
                seed_file: Some(own.0),
                ..NatsSettings::new("nats://h")
            },
            ..HostConfig::default()
        };
        assert_eq!(Credentials::of_providers(&config).unwrap().seed, own.1);
        config.provider_seed_file = Some(theirs.0);
        assert_eq!(Credentials::of_providers(&config).unwrap().seed, theirs.1);
        config.provider_seed_file = Some(folder.path().join("none.nk"));
        let error = Credentials::of_providers(&config).unwrap_err().to_string();
        assert!(error.contains("none.nk"), "{error}");
    }

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

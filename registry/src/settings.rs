//! What a client is started with.

use std::{fmt, path::PathBuf};

use crate::Retry;

/// The largest image that is taken by default: 1 GiB, as large as a provider archive may be.
pub const DEFAULT_MAX_BYTES: u64 = 1024 * 1024 * 1024;

/// Settings of a client.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Registries (a host, perhaps with a port) that are asked over plain HTTP.
    pub insecure: Vec<String>,
    /// Files of certificate authorities (PEM) that are trusted besides the machine's.
    pub ca_files: Vec<PathBuf>,
    /// A user of a registry. It counts before what Docker's configuration says.
    pub login: Option<Login>,
    /// The folder of Docker's configuration; none: it is not looked at.
    pub docker_config: Option<PathBuf>,
    /// The largest image that is pulled or pushed, in bytes.
    pub max_bytes: u64,
    /// What is done about connections that drop.
    pub retry: Retry,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            insecure: Vec::new(),
            ca_files: Vec::new(),
            login: None,
            docker_config: None,
            max_bytes: DEFAULT_MAX_BYTES,
            retry: Retry::default(),
        }
    }
}

/// A user of a registry.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The registry it is of; another's is not told it.
    pub registry: String,
    /// The name.
    pub user: String,
    /// The password, or a token in its place.
    pub password: String,
}

impl fmt::Debug for Login {
    /// The password is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("registry", &self.registry)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let login = Login {
            registry: "r".into(),
            user: "u".into(),
            password: "correct horse".into(),
        };
        let settings = Settings {
            login: Some(login),
            ..Settings::default()
        };
        assert!(!format!("{settings:?}").contains("horse"));
    }
}

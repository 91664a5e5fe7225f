//! Named configurations: flat objects of strings, kept in the lattice and given to components and providers.

use std::collections::BTreeMap;

/// A configuration's values.
pub type Config = BTreeMap<String, String>;

/// The largest configuration, names and values together. A NATS message must hold it.
pub const MAX_CONFIG_BYTES: usize = 512 * 1024;

/// A configuration that can't be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Its name can't be a bucket's key and a subject's token at once.
    #[error(
        "config name {0:?}: use letters, digits, '-', '_', '/' and '=', at most 255 characters"
    )]
    Name(String),
    /// It is too large.
    #[error("config {name:?} has {bytes} bytes, more than the {MAX_CONFIG_BYTES} allowed")]
    TooLarge {
        /// The configuration.
        name: String,
        /// Its size.
        bytes: usize,
    },
}

/// Checks a configuration's name: it is the rest of a control subject and a key-value key.
///
/// # Errors
/// Says which characters may stand in it.
pub fn check_name(name: &str) -> Result<(), ConfigError> {
    let fits = !name.is_empty()
        && name.len() <= crate::id::MAX_NAME_BYTES
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_/=.".contains(&b))
        && !name.starts_with('.')
        && !name.ends_with('.')
        && !name.contains("..");
    if fits {
        Ok(())
    } else {
        Err(ConfigError::Name(name.chars().take(80).collect()))
    }
}

/// Checks a configuration's size.
///
/// # Errors
/// Says its size and the bound.
pub fn check_size(name: &str, config: &Config) -> Result<(), ConfigError> {
    let bytes = config
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    if bytes > MAX_CONFIG_BYTES {
        return Err(ConfigError::TooLarge {
            name: name.to_owned(),
            bytes,
        });
    }
    Ok(())
}

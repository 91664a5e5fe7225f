//! Secrets that come with a link or with the provider's configuration (`wasmcloud-v1.md`, Providers).

use std::collections::BTreeMap;

use nkeys::XKey;
use trellis_lattice::from_json;
pub use trellis_lattice::secret::{SecretValue as Secret, Secrets};

/// Secrets that can't be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The host gave no keys to open them with.
    #[error(
        "the link has secrets, but the host gave no key to open them with (host_xkey_public_key, provider_xkey_private_key)"
    )]
    NoKey,
    /// A key the host gave isn't one.
    #[error("host data field `{field}` is not an X key")]
    Key {
        /// Which.
        field: &'static str,
    },
    /// Not the bytes they should be, or not encrypted by this host for this provider.
    #[error("the secrets can't be opened: they are not encrypted by this host for this provider")]
    Sealed,
    /// Opened, but not of the form that secrets have.
    #[error("the secrets can't be read: {0}")]
    Content(String),
}

/// What opens the secrets of links: the provider's own key and the host's public one.
pub(crate) struct SecretKeys {
    provider: XKey,
    host: XKey,
}

impl SecretKeys {
    /// The keys of the host data; none when the host doesn't do secrets.
    pub(crate) fn new(
        provider_private: &str,
        host_public: &str,
    ) -> Result<Option<Self>, SecretsError> {
        if provider_private.is_empty() || host_public.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self {
            provider: XKey::from_seed(provider_private).map_err(|_| SecretsError::Key {
                field: "provider_xkey_private_key",
            })?,
            host: XKey::from_public_key(host_public).map_err(|_| SecretsError::Key {
                field: "host_xkey_public_key",
            })?,
        }))
    }

    /// The provider's public X key: a 1.x host also puts links, with their secrets, to it as an id.
    pub(crate) fn provider_public(&self) -> String {
        self.provider.public_key()
    }

    fn open(&self, sealed: &[u8]) -> Result<Secrets, SecretsError> {
        let opened = self
            .provider
            .open(sealed, &self.host)
            .map_err(|_| SecretsError::Sealed)?;
        // The parser's own error would repeat a part of the secret.
        from_json("secrets", &opened).map_err(|_| {
            SecretsError::Content("not an object of secrets with `kind` and `value`".into())
        })
    }
}

/// The secrets in a link's field: a list of bytes that are encrypted for this provider, or nothing.
pub(crate) fn open(
    keys: Option<&SecretKeys>,
    field: Option<&serde_json::Value>,
) -> Result<Secrets, SecretsError> {
    let Some(field) = field.filter(|value| !value.is_null()) else {
        return Ok(Secrets::new());
    };
    let sealed: Vec<u8> =
        serde_json::from_value(field.clone()).map_err(|_| SecretsError::Sealed)?;
    if sealed.is_empty() {
        return Ok(Secrets::new());
    }
    keys.ok_or(SecretsError::NoKey)?.open(&sealed)
}

/// A configuration with the secrets among its fields, so that a secret can be given wherever a field can.
pub(crate) fn merge(
    config: &BTreeMap<String, String>,
    secrets: &Secrets,
) -> BTreeMap<String, String> {
    let mut merged = config.clone();
    for (name, secret) in secrets {
        if let Some(text) = secret.as_text() {
            merged.insert(name.clone(), text.to_owned());
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_sealed_for_us_opens_and_nothing_else_does() {
        let (host, provider, stranger) = (XKey::new(), XKey::new(), XKey::new());
        let keys = SecretKeys::new(&provider.seed().unwrap(), &host.public_key())
            .unwrap()
            .unwrap();
        let plain = br#"{"password":{"kind":"String","value":"hush"}}"#;

        let sealed = serde_json::json!(host.seal(plain, &provider).unwrap());
        let secrets = open(Some(&keys), Some(&sealed)).unwrap();
        assert_eq!(secrets["password"].as_text(), Some("hush"));
        assert!(!format!("{secrets:?}").contains("hush"));
        assert!(matches!(
            open(None, Some(&sealed)),
            Err(SecretsError::NoKey)
        ));

        let foreign = serde_json::json!(stranger.seal(plain, &provider).unwrap());
        assert!(matches!(
            open(Some(&keys), Some(&foreign)),
            Err(SecretsError::Sealed)
        ));
    }

    #[test]
    fn no_secrets_need_no_keys() {
        assert!(open(None, None).unwrap().is_empty());
        assert!(
            open(None, Some(&serde_json::Value::Null))
                .unwrap()
                .is_empty()
        );
        assert!(SecretKeys::new("", "").unwrap().is_none());
    }

    #[test]
    fn a_secret_stands_in_for_a_field() {
        let config = BTreeMap::from([("url".to_owned(), "redis://h".to_owned())]);
        let secrets = Secrets::from([("url".to_owned(), Secret::String("redis://:p@h".into()))]);
        assert_eq!(merge(&config, &secrets)["url"], "redis://:p@h");
    }
}

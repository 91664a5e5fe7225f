//! A link's configuration, over the provider's own as its default. See the README for the table.

use std::path::PathBuf;

use serde::Deserialize;
use trellis_provider::{
    config::SettingsError,
    contract::{ComponentId, connect::NatsSettings},
};

/// JetStream keeps at most this many copies.
const MAX_REPLICAS: usize = 5;

/// The configuration of a link (`target_config`), and of the provider.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct BucketConfig {
    /// The NATS bucket; the component's id when not given.
    bucket: Option<String>,
    /// Whether a bucket that isn't there is made.
    #[serde(alias = "create_bucket")]
    enable_bucket_auto_create: Option<bool>,
    /// How many servers keep a bucket that is made.
    replicas: Option<usize>,
    /// Another NATS than the lattice's.
    #[serde(alias = "cluster_uris", alias = "url")]
    cluster_uri: Option<String>,
    /// The JetStream domain.
    js_domain: Option<String>,
    /// Credentials for the other NATS: a user JWT. May be given as a secret.
    #[serde(alias = "auth_jwt")]
    client_jwt: Option<String>,
    /// Credentials for the other NATS: the user's seed. May be given as a secret.
    #[serde(alias = "auth_seed")]
    client_seed: Option<String>,
    /// A certificate authority for the other NATS.
    tls_ca_file: Option<PathBuf>,
}

/// Where a link's keys are. Two links of equal settings share a connection and a bucket.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Settings {
    /// The NATS bucket.
    pub bucket: String,
    /// Whether it is made when it isn't there.
    pub create: bool,
    /// How many servers keep it when it is made.
    pub replicas: usize,
    /// Its JetStream domain.
    pub domain: Option<String>,
    /// Another NATS than the lattice's.
    pub server: Option<Server>,
}

/// A NATS that isn't the lattice's.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Server {
    url: String,
    jwt: Option<String>,
    seed: Option<String>,
    tls_ca: Option<PathBuf>,
}

impl Server {
    /// How to connect to it.
    pub fn nats_settings(&self) -> NatsSettings {
        NatsSettings {
            jwt: self.jwt.clone(),
            seed: self.seed.clone(),
            tls_ca: self.tls_ca.clone(),
            ..NatsSettings::new(&*self.url)
        }
    }
}

impl BucketConfig {
    /// The settings of a component's link with this configuration, where the provider's own fills what it leaves out.
    ///
    /// # Errors
    /// Names the field that doesn't fit.
    pub fn settings(&self, own: &Self, source: &ComponentId) -> Result<Settings, SettingsError> {
        fn first<T: Clone>(link: &Option<T>, own: &Option<T>) -> Option<T> {
            link.as_ref().or(own.as_ref()).cloned()
        }
        let bucket = first(&self.bucket, &own.bucket).unwrap_or_else(|| source.to_string());
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if bucket.is_empty() || bucket.len() > 200 || !bucket.chars().all(fits) {
            let problem = format!(
                "{:?}: a NATS bucket's name has letters, digits, '-' and '_', at most 200",
                bucket.chars().take(80).collect::<String>()
            );
            return Err(SettingsError {
                field: "bucket",
                problem,
            });
        }
        let replicas = first(&self.replicas, &own.replicas).unwrap_or(1);
        if !(1..=MAX_REPLICAS).contains(&replicas) {
            let problem = format!("{replicas} is not from 1 to {MAX_REPLICAS}");
            return Err(SettingsError {
                field: "replicas",
                problem,
            });
        }
        // Another NATS comes with its own credentials, not with the provider's for yet another.
        let place = if self.cluster_uri.is_some() {
            self
        } else {
            own
        };
        let server = place.cluster_uri.clone().map(|url| Server {
            url,
            jwt: place.client_jwt.clone(),
            seed: place.client_seed.clone(),
            tls_ca: place.tls_ca_file.clone(),
        });
        if server
            .as_ref()
            .is_some_and(|server| server.jwt.is_some() && server.seed.is_none())
        {
            let problem = "is missing: a user JWT needs its seed".to_owned();
            return Err(SettingsError {
                field: "client_seed",
                problem,
            });
        }
        Ok(Settings {
            bucket,
            create: first(
                &self.enable_bucket_auto_create,
                &own.enable_bucket_auto_create,
            )
            .unwrap_or(true),
            replicas,
            domain: first(&self.js_domain, &own.js_domain),
            server,
        })
    }
}

#[cfg(test)]
mod tests {
    use trellis_provider::config::from_config;

    use super::*;

    fn settings(link: &[(&str, &str)], own: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let read = |entries: &[(&str, &str)]| {
            let config = entries
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect();
            from_config::<BucketConfig>("test", &config).unwrap()
        };
        read(link).settings(&read(own), &ComponentId::new("shop-cart").unwrap())
    }

    #[test]
    fn without_a_word_a_component_has_a_bucket_of_its_own() {
        let settings = settings(&[], &[]).unwrap();
        assert_eq!(
            (settings.bucket.as_str(), settings.create),
            ("shop-cart", true)
        );
        assert!(settings.server.is_none());
    }

    #[test]
    fn a_link_goes_before_the_provider() {
        let own = [
            ("bucket", "own"),
            ("replicas", "3"),
            ("enable_bucket_auto_create", "false"),
        ];
        let found = settings(&[("bucket", "mine")], &own).unwrap();
        assert_eq!(
            (found.bucket.as_str(), found.replicas, found.create),
            ("mine", 3, false)
        );
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let field = |link: &[(&str, &str)]| settings(link, &[]).err().unwrap().field;
        assert_eq!(field(&[("bucket", "a.b")]), "bucket");
        assert_eq!(field(&[("replicas", "0")]), "replicas");
        assert_eq!(
            field(&[("cluster_uri", "nats://h"), ("client_jwt", "j")]),
            "client_seed"
        );
    }
}

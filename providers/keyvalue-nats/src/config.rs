//! A link's configuration, over the provider's own as its default. See the README for the table.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;
use trellis_provider::{
    config::SettingsError,
    contract::{ComponentId, Within, connect::NatsSettings},
};

use crate::{placement::Placement, wanted::Wanted};

/// JetStream keeps at most this many copies.
const MAX_REPLICAS: usize = 5;
/// What `ttl` may be.
const TTL_BOUNDS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(10 * 365 * 24 * 60 * 60);

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
    /// How long a value lasts: `500ms`, `30s`, `12h`.
    ttl: Option<String>,
    /// Another NATS than the lattice's.
    #[serde(alias = "cluster_uris", alias = "url")]
    cluster_uri: Option<String>,
    /// Where the bucket is, in a lattice of several PoPs.
    placement: Option<Placement>,
    /// What it must not leave: `region=eu`, `pop=fra`.
    residency: Option<String>,
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
    /// Which keys a component is told of, over a link from the provider to it.
    watch: Option<String>,
    /// In which bucket, by the name that the component opens it by.
    watch_bucket: Option<String>,
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
    /// How long a value lasts; as the bucket has it when not given.
    pub ttl: Option<Duration>,
    /// In which of the lattice's JetStream domains it is.
    pub placement: Placement,
    /// What it must not leave.
    pub residency: Option<Within>,
    /// Its JetStream domain, where that was named.
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
        let domain = first(&self.js_domain, &own.js_domain);
        let residency = first(&self.residency, &own.residency);
        let residency = residency
            .map(|text| text.parse::<Within>())
            .transpose()
            .map_err(|error| SettingsError {
                field: "residency",
                problem: error.to_string(),
            })?;
        let placement = match (first(&self.placement, &own.placement), &residency) {
            (Some(placement), _) => placement,
            (None, None) => Placement::Global,
            // The only one that keeps to it.
            (None, Some(_)) => Placement::Local,
        };
        let settings = Settings {
            bucket,
            create: first(
                &self.enable_bucket_auto_create,
                &own.enable_bucket_auto_create,
            )
            .unwrap_or(true),
            replicas,
            ttl: ttl(self.ttl.as_ref().or(own.ttl.as_ref()))?,
            placement,
            residency,
            domain,
            server,
        };
        settings.check_place()?;
        Ok(settings)
    }

    /// What the component is told of, if anything.
    ///
    /// # Errors
    /// Names the field that doesn't fit.
    pub fn wanted(&self) -> Result<Option<Wanted>, SettingsError> {
        Wanted::read(self.watch.as_deref(), self.watch_bucket.as_deref())
    }
}

fn ttl(text: Option<&String>) -> Result<Option<Duration>, SettingsError> {
    let Some(text) = text else {
        return Ok(None);
    };
    match humantime::parse_duration(text.trim()) {
        Ok(ttl) if TTL_BOUNDS.contains(&ttl) => Ok(Some(ttl)),
        _ => {
            let shown: String = text.chars().take(80).collect();
            let problem = format!(
                "{shown:?} is not a length of time from 100ms to ten years: write it as 500ms, 30s or 12h"
            );
            Err(SettingsError {
                field: "ttl",
                problem,
            })
        }
    }
}

impl Settings {
    /// Whether what was said of the bucket's place fits together.
    fn check_place(&self) -> Result<(), SettingsError> {
        if self.placement == Placement::Replicated && self.server.is_some() {
            return Err(SettingsError {
                field: "placement",
                problem:
                    "replicated buckets are in the lattice's own NATS: leave `cluster_uri` out"
                        .to_owned(),
            });
        }
        if self.placement == Placement::Replicated && self.ttl.is_some() {
            return Err(SettingsError {
                field: "ttl",
                problem: "a copy of a bucket does not hear when a value's time is over: take another `placement` than replicated, or leave `ttl` out".to_owned(),
            });
        }
        let Some(residency) = &self.residency else {
            return Ok(());
        };
        let problem = if self.placement != Placement::Local {
            format!(
                "a bucket that is kept within {residency} is in its PoP's own JetStream domain, and neither at the hub nor copied to other PoPs: it needs `placement: local`, not {}",
                self.placement
            )
        } else if self.domain.is_some() || self.server.is_some() {
            format!(
                "a bucket that is kept within {residency} is in its PoP's own JetStream domain: leave `js_domain` and `cluster_uri` out"
            )
        } else {
            return Ok(());
        };
        Err(SettingsError {
            field: "residency",
            problem,
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
    fn a_bucket_is_global_unless_something_else_is_said() {
        let placed = |link: &[(&str, &str)]| settings(link, &[]).unwrap().placement;
        assert_eq!(placed(&[]), Placement::Global);
        assert_eq!(placed(&[("placement", "local")]), Placement::Local);
        assert_eq!(
            placed(&[("placement", "replicated")]),
            Placement::Replicated
        );
        assert_eq!(placed(&[("residency", "region=eu")]), Placement::Local);
    }

    #[test]
    fn residency_is_kept_by_local_buckets_alone() {
        let refused = |more: &[(&str, &str)]| {
            let mut link = vec![("residency", "region=eu")];
            link.extend(more);
            let error = settings(&link, &[]).err().unwrap();
            assert_eq!(error.field, "residency");
            error.problem
        };
        for placement in ["global", "replicated"] {
            let problem = refused(&[("placement", placement)]);
            assert!(problem.contains("needs `placement: local`"), "{problem}");
        }
        assert!(refused(&[("js_domain", "hub")]).contains("leave `js_domain`"));
        assert!(refused(&[("cluster_uri", "nats://h")]).contains("leave `js_domain`"));
        let field = settings(&[("residency", "eu")], &[]).err().unwrap().field;
        assert_eq!(field, "residency");
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

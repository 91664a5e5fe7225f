//! The provider's configuration and a link's. See the README for the table.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;
use trellis_provider::config::SettingsError;

use crate::{
    connection::Server, jetstream::settings::Begin, period::Period, subscription::Subscription,
};

const DEFAULT_MAX_IN_FLIGHT: usize = 64;
const DEFAULT_TIMEOUT_MS: u64 = 30_000;
const MAX_TIMEOUT_MS: u64 = 60 * 60 * 1000;
const MAX_SUBSCRIPTIONS: usize = 256;

/// The configuration of a link, on either side, and of the provider.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct MessagingConfig {
    /// What a component is given: `subject` or `subject|queue`, separated by commas. Only as a link's `source_config`.
    #[serde(default)]
    subscriptions: Vec<Subscription>,
    /// Another NATS than the lattice's, one or several servers.
    #[serde(default, alias = "cluster_uri", alias = "url")]
    cluster_uris: Vec<String>,
    /// Credentials for it: a user JWT. May be given as a secret.
    #[serde(alias = "auth_jwt")]
    client_jwt: Option<String>,
    /// Credentials for it: the user's seed. May be given as a secret.
    #[serde(alias = "auth_seed")]
    client_seed: Option<String>,
    /// A certificate authority for it.
    tls_ca_file: Option<PathBuf>,
    /// How many messages of one subscription a component handles at once.
    max_in_flight: Option<usize>,
    /// How long the component has for one message, in milliseconds.
    timeout_ms: Option<u64>,
    /// A JetStream stream whose messages the component is given. Like all that follows only as a link's `source_config`,
    /// unless something else is said.
    pub(crate) stream: Option<String>,
    /// The subjects of that stream, if it is to be made when it isn't there.
    #[serde(default)]
    pub(crate) stream_subjects: Vec<String>,
    /// The consumer's durable name.
    pub(crate) consumer: Option<String>,
    /// Whether the consumer is made, and changed to what is said here.
    pub(crate) create_consumer: Option<bool>,
    /// Which of the stream's subjects.
    #[serde(default)]
    pub(crate) filter_subjects: Vec<String>,
    /// Where a consumer that is made begins.
    pub(crate) deliver_policy: Option<Begin>,
    /// After how long without a word from here a message is given to another. Also the provider's own.
    pub(crate) ack_wait: Option<Period>,
    /// How many messages all providers together may have at once.
    pub(crate) max_ack_pending: Option<i64>,
    /// After how long without any provider the server forgets the consumer.
    pub(crate) inactive_threshold: Option<Period>,
    /// How often a message is tried; -1 without end. Also the provider's own.
    pub(crate) max_deliver: Option<i64>,
    /// The waits after the first, second, … failure. Also the provider's own.
    #[serde(default)]
    pub(crate) backoff: Vec<Period>,
    /// Where a message goes that was tried so often. Also the provider's own.
    pub(crate) dead_letter_subject: Option<String>,
    /// The JetStream domain. Also the provider's own.
    pub(crate) js_domain: Option<String>,
}

/// How messages are given to a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How many at once.
    pub max_in_flight: usize,
    /// How long it has for one.
    pub timeout: Duration,
}

impl MessagingConfig {
    /// What a component is given; the provider's own when the link says nothing at all about it.
    ///
    /// # Errors
    /// There are too many.
    pub fn subscriptions(&self, own: &Self) -> Result<Vec<Subscription>, SettingsError> {
        let list = if self.subscriptions.is_empty() {
            own
        } else {
            self
        };
        let mut subscriptions = list.subscriptions.clone();
        if subscriptions.len() > MAX_SUBSCRIPTIONS {
            let problem = format!(
                "{} entries, more than {MAX_SUBSCRIPTIONS}",
                subscriptions.len()
            );
            return Err(SettingsError {
                field: "subscriptions",
                problem,
            });
        }
        let mut seen = std::collections::HashSet::new();
        subscriptions.retain(|subscription| seen.insert(subscription.clone()));
        Ok(subscriptions)
    }

    /// The other NATS; none for the lattice's.
    ///
    /// # Errors
    /// A JWT has no seed.
    pub fn server(&self, own: &Self) -> Result<Option<Server>, SettingsError> {
        // Another NATS comes with its own credentials, not with the provider's for yet another.
        let place = if self.cluster_uris.is_empty() {
            own
        } else {
            self
        };
        if place.cluster_uris.is_empty() {
            return Ok(None);
        }
        if place.client_jwt.is_some() && place.client_seed.is_none() {
            let problem = "is missing: a user JWT needs its seed".to_owned();
            return Err(SettingsError {
                field: "client_seed",
                problem,
            });
        }
        Ok(Some(Server {
            url: place.cluster_uris.join(","),
            jwt: place.client_jwt.clone(),
            seed: place.client_seed.clone(),
            tls_ca: place.tls_ca_file.clone(),
        }))
    }

    /// How messages are given to the component.
    ///
    /// # Errors
    /// Names the field that is out of bounds.
    pub fn pace(&self, own: &Self) -> Result<Pace, SettingsError> {
        let max_in_flight = self
            .max_in_flight
            .or(own.max_in_flight)
            .unwrap_or(DEFAULT_MAX_IN_FLIGHT);
        let timeout_ms = self
            .timeout_ms
            .or(own.timeout_ms)
            .unwrap_or(DEFAULT_TIMEOUT_MS);
        if !(1..=4096).contains(&max_in_flight) {
            let problem = format!("{max_in_flight} is not from 1 to 4096");
            return Err(SettingsError {
                field: "max_in_flight",
                problem,
            });
        }
        if !(1..=MAX_TIMEOUT_MS).contains(&timeout_ms) {
            let problem = format!("{timeout_ms} is not from 1 to {MAX_TIMEOUT_MS}");
            return Err(SettingsError {
                field: "timeout_ms",
                problem,
            });
        }
        Ok(Pace {
            max_in_flight,
            timeout: Duration::from_millis(timeout_ms),
        })
    }
}

#[cfg(test)]
mod tests {
    use trellis_provider::config::from_config;

    use super::*;

    fn config(entries: &[(&str, &str)]) -> MessagingConfig {
        let config = entries
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        from_config("test", &config).unwrap()
    }

    #[test]
    fn subscriptions_are_a_list_with_queues() {
        let link = config(&[("subscriptions", "a.*|q, b , a.*|q")]);
        let subscriptions = link.subscriptions(&config(&[])).unwrap();
        let texts: Vec<_> = subscriptions.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["a.*|q", "b"]);
    }

    #[test]
    fn a_wrong_subscription_is_named() {
        let wrong = [("subscriptions".to_owned(), "a,b c".to_owned())].into();
        let error = from_config::<MessagingConfig>("link", &wrong).unwrap_err();
        assert_eq!(
            error.to_string(),
            "link: field `subscriptions`: subject \"b c\" has white space or control characters"
        );
    }

    #[test]
    fn another_nats_comes_with_its_own_credentials() {
        let own = config(&[("cluster_uris", "nats://own"), ("client_seed", "S")]);
        assert_eq!(
            config(&[]).server(&own).unwrap().unwrap().seed.as_deref(),
            Some("S")
        );
        let link = config(&[("cluster_uris", "nats://a,nats://b")])
            .server(&own)
            .unwrap()
            .unwrap();
        assert_eq!((link.url.as_str(), link.seed), ("nats://a,nats://b", None));
        assert!(config(&[]).server(&config(&[])).unwrap().is_none());
        let without_seed = config(&[("cluster_uri", "nats://a"), ("client_jwt", "J")]);
        assert_eq!(without_seed.server(&own).unwrap_err().field, "client_seed");
    }

    #[test]
    fn the_pace_has_bounds() {
        let error = config(&[("max_in_flight", "0")])
            .pace(&config(&[]))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "field `max_in_flight`: 0 is not from 1 to 4096"
        );
    }
}

//! A link's configuration, over the provider's own as its default. See the README for the table.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use serde::{Deserialize, Deserializer, de::IgnoredAny};
use trellis_provider::{config::SettingsError, rpc::interface::http::RequestOptions};

use crate::{addresses::Reach, hosts::AllowedHosts};

const DEFAULT_CONNECT_TIMEOUT_MS: u64 = 10_000;
const DEFAULT_FIRST_BYTE_TIMEOUT_MS: u64 = 60_000;
const DEFAULT_BETWEEN_BYTES_TIMEOUT_MS: u64 = 60_000;
const DEFAULT_MAX_HEADER_BYTES: u64 = 64 << 10;
const DEFAULT_MAX_REQUESTS: u64 = 1024;
const DEFAULT_MAX_IDLE_CONNECTIONS: u64 = 64;
const DEFAULT_IDLE_TIMEOUT_MS: u64 = 30_000;

/// What a timeout may be, whether a link or a request asks for it.
const TIMEOUT_MS: RangeInclusive<u64> = 1..=600_000;
/// hyper reads a response's head into a buffer that can't be smaller.
const HEADER_BYTES: RangeInclusive<u64> = (8 << 10)..=(1 << 20);
const REQUESTS: RangeInclusive<u64> = 1..=100_000;
const IDLE_CONNECTIONS: RangeInclusive<u64> = 0..=10_000;

/// The configuration of a link (`target_config`), and of the provider. A field that neither this client nor 1.x's has is
/// refused: it is a mistake that would have a component reach what it should not.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientConfig {
    /// Which hosts may be asked.
    #[serde(deserialize_with = "given")]
    allowed_hosts: Option<AllowedHosts>,
    /// Which networks may be reached beside the internet at large.
    #[serde(deserialize_with = "given")]
    allow_private: Option<Reach>,
    /// A PEM file of certificate authorities to trust.
    #[serde(alias = "ssl_certs_file")]
    tls_ca_file: Option<PathBuf>,
    /// Whether the authorities that this machine trusts are trusted.
    #[serde(alias = "load_native_certs")]
    tls_system_roots: Option<bool>,
    /// Whether HTTP/2 is spoken with those who offer it.
    http2: Option<bool>,
    /// For connecting, TLS included, in milliseconds.
    connect_timeout_ms: Option<u64>,
    /// From the end of the request to the response's first byte, in milliseconds.
    first_byte_timeout_ms: Option<u64>,
    /// Between two pieces of a response, in milliseconds.
    between_bytes_timeout_ms: Option<u64>,
    /// The largest head of a response.
    max_response_header_bytes: Option<u64>,
    /// How many requests run at once.
    max_requests: Option<u64>,
    /// How many connections to one host are kept for the next request.
    max_idle_connections: Option<u64>,
    /// For how long, in milliseconds.
    idle_timeout_ms: Option<u64>,
    // What 1.x's client has besides: a list of authorities in the program itself.
    load_webpki_certs: IgnoredAny,
}

/// A field that is there has a value, even where its text is empty: an empty list of hosts is not "all of them".
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// What a link asks for, checked, with every default filled in. Two links of equal settings share their connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// Which hosts may be asked.
    pub allowed_hosts: AllowedHosts,
    /// Which networks may be reached beside the internet at large.
    pub reach: Reach,
    /// A PEM file of certificate authorities to trust.
    pub tls_ca_file: Option<PathBuf>,
    /// Whether the authorities that this machine trusts are trusted.
    pub tls_system_roots: bool,
    /// Whether HTTP/2 is spoken with those who offer it.
    pub http2: bool,
    /// How long a request that doesn't say so waits.
    pub timeouts: Timeouts,
    /// The largest head of a response.
    pub max_response_header_bytes: usize,
    /// How many requests run at once.
    pub max_requests: usize,
    /// How many connections to one host are kept for the next request.
    pub max_idle_connections: usize,
    /// For how long.
    pub idle_timeout: Duration,
}

/// How long a request waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// From the last byte of the request that went to the response's first.
    pub first_byte: Duration,
    /// Between two pieces of a response.
    pub between_bytes: Duration,
}

impl Timeouts {
    /// With what a request asks for, within the bounds that a link has, too.
    #[must_use]
    pub fn with(self, options: Option<&RequestOptions>) -> Self {
        let within = |asked: Option<u64>, otherwise: Duration| {
            let (least, most) = (*TIMEOUT_MS.start(), *TIMEOUT_MS.end());
            asked.map_or(otherwise, |nanos| {
                Duration::from_nanos(nanos)
                    .clamp(Duration::from_millis(least), Duration::from_millis(most))
            })
        };
        let Some(options) = options else {
            return self;
        };
        Self {
            connect: within(options.connect_timeout, self.connect),
            first_byte: within(options.first_byte_timeout, self.first_byte),
            between_bytes: within(options.between_bytes_timeout, self.between_bytes),
        }
    }
}

/// One of the configuration's numbers.
type Field = fn(&ClientConfig) -> Option<u64>;

impl ClientConfig {
    /// The settings of a link with this configuration, where the provider's own fills what it leaves out.
    ///
    /// # Errors
    /// Names the field that is out of bounds.
    pub fn settings(&self, own: &Self) -> Result<Settings, SettingsError> {
        let number = |field, of: Field, default, bounds: &RangeInclusive<u64>| {
            within(field, of(self).or(of(own)).unwrap_or(default), bounds)
        };
        let timeout = |field, of: Field, default| {
            number(field, of, default, &TIMEOUT_MS).map(Duration::from_millis)
        };
        let count = |field, of: Field, default, bounds: &RangeInclusive<u64>| {
            let count = number(field, of, default, bounds);
            count.map(|count| usize::try_from(count).unwrap_or(usize::MAX))
        };
        Ok(Settings {
            allowed_hosts: (self.allowed_hosts.as_ref().or(own.allowed_hosts.as_ref()))
                .cloned()
                .unwrap_or_else(AllowedHosts::all),
            reach: (self.allow_private.as_ref().or(own.allow_private.as_ref()))
                .cloned()
                .unwrap_or_default(),
            tls_ca_file: (self.tls_ca_file.as_ref().or(own.tls_ca_file.as_ref())).cloned(),
            tls_system_roots: self
                .tls_system_roots
                .or(own.tls_system_roots)
                .unwrap_or(true),
            http2: self.http2.or(own.http2).unwrap_or(true),
            timeouts: Timeouts {
                connect: timeout(
                    "connect_timeout_ms",
                    |config| config.connect_timeout_ms,
                    DEFAULT_CONNECT_TIMEOUT_MS,
                )?,
                first_byte: timeout(
                    "first_byte_timeout_ms",
                    |config| config.first_byte_timeout_ms,
                    DEFAULT_FIRST_BYTE_TIMEOUT_MS,
                )?,
                between_bytes: timeout(
                    "between_bytes_timeout_ms",
                    |config| config.between_bytes_timeout_ms,
                    DEFAULT_BETWEEN_BYTES_TIMEOUT_MS,
                )?,
            },
            max_response_header_bytes: count(
                "max_response_header_bytes",
                |config| config.max_response_header_bytes,
                DEFAULT_MAX_HEADER_BYTES,
                &HEADER_BYTES,
            )?,
            max_requests: count(
                "max_requests",
                |config| config.max_requests,
                DEFAULT_MAX_REQUESTS,
                &REQUESTS,
            )?,
            max_idle_connections: count(
                "max_idle_connections",
                |config| config.max_idle_connections,
                DEFAULT_MAX_IDLE_CONNECTIONS,
                &IDLE_CONNECTIONS,
            )?,
            idle_timeout: timeout(
                "idle_timeout_ms",
                |config| config.idle_timeout_ms,
                DEFAULT_IDLE_TIMEOUT_MS,
            )?,
        })
    }
}

fn within(
    field: &'static str,
    value: u64,
    bounds: &RangeInclusive<u64>,
) -> Result<u64, SettingsError> {
    if bounds.contains(&value) {
        return Ok(value);
    }
    let problem = format!("{value} is not from {} to {}", bounds.start(), bounds.end());
    Err(SettingsError { field, problem })
}

#[cfg(test)]
mod tests {
    use trellis_provider::config::from_config;

    use super::*;

    fn config(entries: &[(&str, &str)]) -> Result<ClientConfig, String> {
        let entries = entries.iter();
        let config = entries.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        from_config("link", &config.collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_link_goes_before_the_provider_and_the_provider_before_the_default() {
        let none = ClientConfig::default();
        let settings = none.settings(&none).unwrap();
        assert_eq!(settings.allowed_hosts, AllowedHosts::all());
        assert_eq!(settings.reach, Reach::Public);
        assert!(settings.tls_system_roots && settings.http2);
        let own = config(&[("max_requests", "5"), ("connect_timeout_ms", "7")]).unwrap();
        let link = config(&[("MAX_REQUESTS", "3"), ("allow_private", "true")]).unwrap();
        let settings = link.settings(&own).unwrap();
        assert_eq!(
            (settings.max_requests, settings.reach),
            (3, Reach::Everything)
        );
        assert_eq!(settings.timeouts.connect, Duration::from_millis(7));
    }

    #[test]
    fn a_mistake_names_its_field() {
        for (name, value, message) in [
            (
                "allowed_host",
                "x",
                "link: there is no field `allowed_host`; did you mean `allowed_hosts`?",
            ),
            (
                "allowed_hosts",
                "",
                "link: field `allowed_hosts`: names no host: `*` is every host",
            ),
            (
                "allow_private",
                "maybe",
                "link: field `allow_private`: \"maybe\"",
            ),
            (
                "http2",
                "maybe",
                "link: field `http2`: \"maybe\" is neither true nor false",
            ),
        ] {
            let error = config(&[(name, value)]).unwrap_err();
            assert!(error.starts_with(message), "{error}");
        }
        let none = ClientConfig::default();
        let error = config(&[("idle_timeout_ms", "0")]).unwrap();
        assert_eq!(
            error.settings(&none).unwrap_err().to_string(),
            "field `idle_timeout_ms`: 0 is not from 1 to 600000"
        );
        let error = config(&[("max_response_header_bytes", "9")]).unwrap();
        assert!(error.settings(&none).is_err());
    }

    #[test]
    fn what_1x_s_client_has_is_taken_or_left_alone() {
        let config = config(&[
            ("LOAD_NATIVE_CERTS", "false"),
            ("LOAD_WEBPKI_CERTS", "true"),
            ("SSL_CERTS_FILE", "/etc/ca.pem"),
        ]);
        let settings = config.unwrap().settings(&ClientConfig::default()).unwrap();
        assert!(!settings.tls_system_roots);
        assert_eq!(settings.tls_ca_file, Some("/etc/ca.pem".into()));
    }

    #[test]
    fn a_request_may_ask_for_its_own_timeouts_within_the_bounds() {
        let none = ClientConfig::default();
        let timeouts = none.settings(&none).unwrap().timeouts;
        assert_eq!(timeouts.with(None), timeouts);
        let asked = timeouts.with(Some(&RequestOptions {
            connect_timeout: Some(2_000_000),
            first_byte_timeout: Some(u64::MAX),
            between_bytes_timeout: None,
        }));
        assert_eq!(asked.connect, Duration::from_millis(2));
        assert_eq!(asked.first_byte, Duration::from_secs(600));
        assert_eq!(asked.between_bytes, timeouts.between_bytes);
    }
}

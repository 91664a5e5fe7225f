//! The provider's configuration and a link's. See the README for the tables.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use serde::{Deserialize, de::IgnoredAny};
use trellis_provider::config::SettingsError;

/// Where a link listens when neither it nor the provider says so; 1.x's default.
const DEFAULT_ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8000);
const DEFAULT_TIMEOUT_MS: u64 = 30_000;
const DEFAULT_IDLE_TIMEOUT_MS: u64 = 60_000;
const DEFAULT_MAX_HEADER_BYTES: usize = 64 * 1024;
const DEFAULT_MAX_BODY_BYTES: u64 = 64 * 1024 * 1024;
const DEFAULT_MAX_CONNECTIONS: usize = 4096;
const DEFAULT_REPLACE_GRACE_MS: u64 = 2000;
/// hyper reads a request's head into one buffer that can't be smaller than this.
pub(crate) const MIN_HEADER_BYTES: usize = 8 * 1024;
const MAX_HEADER_BYTES: usize = 1024 * 1024;
const MAX_TIMEOUT_MS: u64 = 24 * 60 * 60 * 1000;

/// The provider's own configuration.
#[derive(Clone, Debug, Deserialize)]
pub struct ServerConfig {
    /// Where a link listens that doesn't say so.
    #[serde(default = "default_address")]
    pub default_address: SocketAddr,
    /// How requests find their link. Only `address`, a listener for each link, is there.
    #[serde(default)]
    pub routing_mode: RoutingMode,
    /// How long an address without a link goes on listening, in milliseconds, for the link's successor.
    #[serde(default = "default_replace_grace_ms")]
    replace_grace_ms: u64,
}

/// How requests find their link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RoutingMode {
    /// By the address they come in at.
    #[default]
    Address,
}

/// A link's `source_config`. A field that neither this server nor 1.x's has is refused: it is a mistake that would have
/// the server listen somewhere else.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinkSettings {
    /// Where to listen.
    address: Option<SocketAddr>,
    /// How long the component has for the head of its response, in milliseconds.
    timeout_ms: Option<u64>,
    /// How long the client may stand still while a body streams, in milliseconds.
    idle_timeout_ms: Option<u64>,
    /// The largest head of a request: request line and headers.
    max_header_bytes: Option<usize>,
    /// The largest body of a request.
    max_body_bytes: Option<u64>,
    /// How many connections are open at once; more wait to be accepted.
    max_connections: Option<usize>,
    /// Whether responses say which host of which PoP answered.
    served_by: Option<bool>,
    // What 1.x's server has besides.
    port: IgnoredAny,
    path: IgnoredAny,
    host: IgnoredAny,
    cache_control: IgnoredAny,
    readonly_mode: IgnoredAny,
    cors_allowed_origins: IgnoredAny,
    cors_allowed_headers: IgnoredAny,
    cors_allowed_methods: IgnoredAny,
    cors_exposed_headers: IgnoredAny,
    cors_max_age_secs: IgnoredAny,
    tls_cert_file: IgnoredAny,
    tls_priv_key_file: IgnoredAny,
    config_file: IgnoredAny,
    config_b64: IgnoredAny,
    config_json: IgnoredAny,
}

/// What a link asks for, checked, with every default filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where to listen.
    pub address: SocketAddr,
    /// How long the component has for the head of its response.
    pub timeout: Duration,
    /// How long the client may stand still while a body streams.
    pub idle_timeout: Duration,
    /// The largest head of a request.
    pub max_header_bytes: usize,
    /// The largest body of a request.
    pub max_body_bytes: u64,
    /// How many connections are open at once.
    pub max_connections: usize,
    /// Whether responses say which host of which PoP answered.
    pub served_by: bool,
}

fn default_address() -> SocketAddr {
    DEFAULT_ADDRESS
}

fn default_replace_grace_ms() -> u64 {
    DEFAULT_REPLACE_GRACE_MS
}

impl ServerConfig {
    /// How long an address without a link goes on listening for the link's successor.
    pub fn replace_grace(&self) -> Duration {
        Duration::from_millis(self.replace_grace_ms.min(MAX_TIMEOUT_MS))
    }
}

impl LinkSettings {
    /// The settings of a link.
    ///
    /// # Errors
    /// Names the field that is out of bounds.
    pub fn check(&self, server: &ServerConfig) -> Result<Settings, SettingsError> {
        let timeout_ms = within(
            "timeout_ms",
            self.timeout_ms,
            DEFAULT_TIMEOUT_MS,
            1,
            MAX_TIMEOUT_MS,
        )?;
        let idle_timeout_ms = within(
            "idle_timeout_ms",
            self.idle_timeout_ms,
            DEFAULT_IDLE_TIMEOUT_MS,
            1,
            MAX_TIMEOUT_MS,
        )?;
        let max_header_bytes = within(
            "max_header_bytes",
            self.max_header_bytes,
            DEFAULT_MAX_HEADER_BYTES,
            MIN_HEADER_BYTES,
            MAX_HEADER_BYTES,
        )?;
        Ok(Settings {
            address: self.address.unwrap_or(server.default_address),
            timeout: Duration::from_millis(timeout_ms),
            idle_timeout: Duration::from_millis(idle_timeout_ms),
            max_header_bytes,
            max_body_bytes: self.max_body_bytes.unwrap_or(DEFAULT_MAX_BODY_BYTES),
            max_connections: within(
                "max_connections",
                self.max_connections,
                DEFAULT_MAX_CONNECTIONS,
                1,
                usize::MAX,
            )?,
            served_by: self.served_by.unwrap_or(false),
        })
    }
}

fn within<T: PartialOrd + std::fmt::Display + Copy>(
    field: &'static str,
    value: Option<T>,
    default: T,
    least: T,
    most: T,
) -> Result<T, SettingsError> {
    let value = value.unwrap_or(default);
    if value < least || value > most {
        return Err(SettingsError {
            field,
            problem: format!("{value} is not from {least} to {most}"),
        });
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> ServerConfig {
        trellis_provider::config::from_config("test", &std::collections::BTreeMap::new()).unwrap()
    }

    #[test]
    fn without_a_word_everything_has_its_default() {
        let settings = LinkSettings::default().check(&server()).unwrap();
        assert_eq!(settings.address.to_string(), "0.0.0.0:8000");
        assert_eq!(settings.timeout, Duration::from_secs(30));
        assert_eq!(settings.idle_timeout, Duration::from_secs(60));
        assert_eq!(server().replace_grace(), Duration::from_secs(2));
        assert!(!settings.served_by, "who serves is nobody's business");
    }

    #[test]
    fn a_bound_that_is_passed_names_its_field() {
        let settings = LinkSettings {
            max_header_bytes: Some(5),
            ..LinkSettings::default()
        };
        let error = settings.check(&server()).unwrap_err();
        assert_eq!(
            (error.field, error.problem.as_str()),
            ("max_header_bytes", "5 is not from 8192 to 1048576")
        );
    }

    #[test]
    fn a_field_is_refused_that_no_http_server_has() {
        let read = |field: &str, value: &str| {
            let config = [(field.to_owned(), value.to_owned())].into();
            trellis_provider::config::from_config::<LinkSettings>("link", &config)
        };
        assert_eq!(
            read("adress", "127.0.0.1:80").unwrap_err().to_string(),
            "link: there is no field `adress`; did you mean `address`?"
        );
        // 1.x's are left alone, and it doesn't look at capitals.
        read("cors_allowed_origins", "[]").unwrap();
        read("READONLY_MODE", "true").unwrap();
        let settings = read("ADDRESS", "127.0.0.1:80").unwrap();
        let settings = settings.check(&server()).unwrap();
        assert_eq!(settings.address.to_string(), "127.0.0.1:80");
    }

    #[test]
    fn a_routing_mode_that_is_not_there_is_refused_and_not_ignored() {
        let config = [("routing_mode".to_owned(), "path".to_owned())].into();
        let error =
            trellis_provider::config::from_config::<ServerConfig>("own", &config).unwrap_err();
        assert_eq!(
            error.to_string(),
            "own: field `routing_mode`: unknown variant `path`, expected `address`"
        );
    }
}

//! The provider's configuration and a link's. See the README for the tables.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;

use serde::{Deserialize, de::IgnoredAny};
use trellis_provider::config::SettingsError;

use crate::{access::Format, rate::Limit, route::Route, tls::TlsFiles};

/// Where a link listens when neither it nor the provider says so; 1.x's default.
const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8000);
const DEFAULT_TIMEOUT_MS: u64 = 30_000;
const DEFAULT_IDLE_TIMEOUT_MS: u64 = 60_000;
const DEFAULT_MAX_HEADER_BYTES: usize = 64 * 1024;
const DEFAULT_MAX_BODY_BYTES: u64 = 64 * 1024 * 1024;
const DEFAULT_MAX_CONNECTIONS: usize = 4096;
const DEFAULT_REPLACE_GRACE_MS: u64 = 2000;
const DEFAULT_HEAD_TIMEOUT_MS: u64 = 30_000;
const DEFAULT_COMPRESSION_MIN_BYTES: u64 = 1024;
const MAX_TRUSTED_PROXIES: usize = 256;
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
    /// Which field of a link's must be there for requests to find it.
    #[serde(default)]
    pub routing_mode: RoutingMode,
    /// The file that the access log goes to, instead of standard output.
    pub access_log_file: Option<PathBuf>,
    /// How long an address without a link goes on listening, in milliseconds, for the link's successor.
    #[serde(default = "default_replace_grace_ms")]
    replace_grace_ms: u64,
}

/// How requests find their link: 1.x's modes, of which a link may use all at once here. The mode only says what a link may
/// not leave out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RoutingMode {
    /// By the address they come in at.
    #[default]
    Address,
    /// By their path.
    Path,
    /// By their host.
    Host,
}

/// Whether something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Switch {
    #[serde(alias = "true")]
    On,
    #[serde(alias = "false")]
    Off,
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
    /// Which hosts are this link's: `www.example.com`, `*.example.com`.
    host: Option<String>,
    /// Which paths are this link's, by their beginning: `/api`.
    path: Option<String>,
    /// Whether the component sees paths without that beginning.
    strip_prefix: Option<bool>,
    /// The certificate's file.
    #[serde(alias = "tls_cert_file")]
    tls_cert: Option<PathBuf>,
    /// The key's file.
    #[serde(alias = "tls_priv_key_file")]
    tls_key: Option<PathBuf>,
    /// How long a client may take for a request's head, in milliseconds.
    head_timeout_ms: Option<u64>,
    /// Whether the component is told whom a request comes from.
    forwarded_headers: Option<Switch>,
    /// Whose word about that is believed: networks, `10.0.0.0/8`.
    trusted_proxies: Vec<String>,
    /// How requests are logged.
    access_log: Option<Format>,
    /// How often a client may ask: `100/s`.
    rate_limit: Option<String>,
    /// How many requests of a client may come at once.
    rate_burst: Option<NonZeroU32>,
    /// Whether responses are compressed.
    compression: Option<Switch>,
    /// From which size on.
    compression_min_bytes: Option<u64>,
    // What 1.x's server has besides.
    port: IgnoredAny,
    cache_control: IgnoredAny,
    readonly_mode: IgnoredAny,
    cors_allowed_origins: IgnoredAny,
    cors_allowed_headers: IgnoredAny,
    cors_allowed_methods: IgnoredAny,
    cors_exposed_headers: IgnoredAny,
    cors_max_age_secs: IgnoredAny,
    config_file: IgnoredAny,
    config_b64: IgnoredAny,
    config_json: IgnoredAny,
}

/// What a link asks for, checked, with every default filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Which requests are this link's.
    pub route: Route,
    /// Whether the component sees paths without the route's.
    pub strip_prefix: bool,
    /// What the address is encrypted with.
    pub tls: Option<TlsFiles>,
    /// How long a client may take for a request's head, the wait for it on a kept connection included.
    pub head_timeout: Duration,
    /// Whether the component is told whom a request comes from.
    pub forwarded_headers: bool,
    /// Whose word about that is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How requests are logged.
    pub access_log: Format,
    /// How often a client may ask.
    pub rate_limit: Option<Limit>,
    /// From which size on responses are compressed; `None`: not at all.
    pub compression: Option<u64>,
}

impl Settings {
    /// The route whose path the component does not see.
    pub fn stripped_route(&self) -> Option<&Route> {
        self.strip_prefix.then_some(&self.route)
    }
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
        let head_timeout_ms = within(
            "head_timeout_ms",
            self.head_timeout_ms,
            DEFAULT_HEAD_TIMEOUT_MS,
            1,
            MAX_TIMEOUT_MS,
        )?;
        let trusted_proxies = self.trusted_proxies()?;
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
            route: self.route(server.routing_mode)?,
            strip_prefix: self.strip_prefix.unwrap_or(false),
            tls: self.tls()?,
            head_timeout: Duration::from_millis(head_timeout_ms),
            // Who names proxies wants to hear of them.
            forwarded_headers: match self.forwarded_headers {
                None => !trusted_proxies.is_empty(),
                Some(switch) => switch == Switch::On,
            },
            trusted_proxies,
            access_log: self.access_log.unwrap_or_default(),
            rate_limit: self.rate_limit()?,
            compression: (self.compression == Some(Switch::On)).then(|| {
                self.compression_min_bytes
                    .unwrap_or(DEFAULT_COMPRESSION_MIN_BYTES)
            }),
        })
    }

    fn route(&self, mode: RoutingMode) -> Result<Route, SettingsError> {
        let needed = match mode {
            RoutingMode::Path if self.path.is_none() => Some("path"),
            RoutingMode::Host if self.host.is_none() => Some("host"),
            _ => None,
        };
        if let Some(field) = needed {
            return Err(SettingsError {
                field,
                problem: format!("it is missing, and the provider's `routing_mode` is `{field}`"),
            });
        }
        if self.strip_prefix == Some(true) && self.path.is_none() {
            return Err(SettingsError {
                field: "strip_prefix",
                problem: "it needs `path`, which says what is taken off".to_owned(),
            });
        }
        Route::new(self.host.as_deref(), self.path.as_deref())
    }

    fn tls(&self) -> Result<Option<TlsFiles>, SettingsError> {
        let missing = |field, other| {
            let problem = format!("it is missing, and there is `{other}`");
            Err(SettingsError { field, problem })
        };
        match (&self.tls_cert, &self.tls_key) {
            (None, None) => Ok(None),
            (Some(cert), Some(key)) => Ok(Some(TlsFiles {
                cert: cert.clone(),
                key: key.clone(),
            })),
            (Some(_), None) => missing("tls_key", "tls_cert"),
            (None, Some(_)) => missing("tls_cert", "tls_key"),
        }
    }

    fn trusted_proxies(&self) -> Result<Vec<IpNet>, SettingsError> {
        let wrong = |problem| SettingsError {
            field: "trusted_proxies",
            problem,
        };
        if self.trusted_proxies.len() > MAX_TRUSTED_PROXIES {
            return Err(wrong(format!("more than {MAX_TRUSTED_PROXIES} networks")));
        }
        let networks = self.trusted_proxies.iter().map(|text| {
            let network = text.parse::<IpNet>();
            let network = network.or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            network.map_err(|_| {
                let shown: String = text.chars().take(80).collect();
                wrong(format!(
                    "{shown:?} is neither an address nor a network such as 10.0.0.0/8"
                ))
            })
        });
        networks.collect()
    }

    fn rate_limit(&self) -> Result<Option<Limit>, SettingsError> {
        let Some(text) = &self.rate_limit else {
            return match self.rate_burst {
                None => Ok(None),
                Some(_) => Err(SettingsError {
                    field: "rate_burst",
                    problem: "it needs `rate_limit`".to_owned(),
                }),
            };
        };
        let rate: crate::rate::Rate = text.parse().map_err(|problem| SettingsError {
            field: "rate_limit",
            problem,
        })?;
        Ok(Some(Limit {
            rate,
            burst: self.rate_burst.unwrap_or(rate.requests),
        }))
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
        read("tls_cert_file", "/a.pem").unwrap();
        let settings = read("ADDRESS", "127.0.0.1:80").unwrap();
        let settings = settings.check(&server()).unwrap();
        assert_eq!(settings.address.to_string(), "127.0.0.1:80");
    }

    fn check(config: &[(&str, &str)]) -> Result<Settings, String> {
        let config = config
            .iter()
            .map(|(field, value)| ((*field).to_owned(), (*value).to_owned()))
            .collect();
        let read = trellis_provider::config::from_config::<LinkSettings>("link", &config);
        let settings = read.map_err(|error| error.to_string())?.check(&server());
        settings.map_err(|error| error.to_string())
    }

    #[test]
    fn what_goes_together_is_read_together() {
        let plain = check(&[]).unwrap();
        assert!(plain.route.takes_everything() && plain.tls.is_none());
        assert!(!plain.forwarded_headers && plain.rate_limit.is_none());
        assert_eq!((plain.access_log, plain.compression), (Format::Off, None));

        let full = check(&[
            ("host", "*.Example.com"),
            ("path", "/api/"),
            ("strip_prefix", "true"),
            ("tls_cert_file", "/c.pem"),
            ("tls_priv_key_file", "/k.pem"),
            ("trusted_proxies", "10.0.0.0/8, ::1"),
            ("access_log", "json"),
            ("rate_limit", "100/s"),
            ("rate_burst", "7"),
            ("compression", "on"),
        ])
        .unwrap();
        assert_eq!(full.route.to_string(), "host *.example.com, path /api");
        assert_eq!(full.tls.unwrap().key.to_str(), Some("/k.pem"));
        assert!(full.forwarded_headers && full.trusted_proxies.len() == 2);
        assert_eq!(full.rate_limit.unwrap().burst.get(), 7);
        assert_eq!(full.compression, Some(1024));
        let untold = check(&[
            ("trusted_proxies", "10.0.0.1"),
            ("forwarded_headers", "off"),
        ]);
        assert!(!untold.unwrap().forwarded_headers);
    }

    #[test]
    fn what_does_not_go_together_names_the_field() {
        for (config, problem) in [
            (
                &[("tls_cert", "/c.pem")][..],
                "field `tls_key`: it is missing, and there is `tls_cert`",
            ),
            (
                &[("strip_prefix", "true")],
                "field `strip_prefix`: it needs `path`, which says what is taken off",
            ),
            (
                &[("rate_burst", "3")],
                "field `rate_burst`: it needs `rate_limit`",
            ),
            (
                &[("rate_limit", "many")],
                "field `rate_limit`: \"many\" is not a rate such as 100/s, 600/m or 1000/h, of 1 to 1000000 requests",
            ),
            (
                &[("trusted_proxies", "10.0.0.0/8, all")],
                "field `trusted_proxies`: \"all\" is neither an address nor a network such as 10.0.0.0/8",
            ),
            (
                &[("access_log", "nginx")],
                "link: field `access_log`: unknown variant `nginx`, expected one of `off`, `common`, `json`",
            ),
        ] {
            assert_eq!(check(config).unwrap_err(), problem);
        }
    }

    #[test]
    fn a_routing_mode_says_what_a_link_needs() {
        let config = [("routing_mode".to_owned(), "path".to_owned())].into();
        let server = trellis_provider::config::from_config::<ServerConfig>("own", &config).unwrap();
        let error = LinkSettings::default().check(&server).unwrap_err();
        assert_eq!(
            error.to_string(),
            "field `path`: it is missing, and the provider's `routing_mode` is `path`"
        );
        let config = [("routing_mode".to_owned(), "magic".to_owned())].into();
        let error =
            trellis_provider::config::from_config::<ServerConfig>("own", &config).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("own: field `routing_mode`: unknown variant `magic`, expected")
        );
    }
}

//! A link's configuration, over the provider's own as its default. See the README for the table.

use std::{net::IpAddr, time::Duration};

use redis::{
    ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, ProtocolVersion, RedisConnectionInfo,
    io::tcp::TcpSettings,
};
use serde::Deserialize;
use trellis_provider::config::SettingsError;

use crate::wanted::Wanted;

/// Where Redis is when nobody says so; 1.x's default.
const DEFAULT_URL: &str = "redis://127.0.0.1:6379";
/// 1.x's default.
const DEFAULT_CONNECTION_TIMEOUT_MS: u64 = 3000;
/// 1.x's default.
const DEFAULT_RESPONSE_TIMEOUT_MS: u64 = 1000;
/// What a timeout may be, in milliseconds.
const TIMEOUT_BOUNDS_MS: std::ops::RangeInclusive<u64> = 1..=600_000;

/// How long Redis' machine may leave something unacknowledged before the connection is given up. The client alone never does,
/// and the system does after a quarter of an hour.
#[cfg(target_os = "linux")]
const GIVEN_UP: Duration = Duration::from_secs(10);
/// Which bucket is watched when nobody says so.
const DEFAULT_BUCKET: &str = "default";

/// What `ttl` may be.
const TTL_BOUNDS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// The configuration of a link (`target_config`, or `source_config` where a component is told of changes), and of the
/// provider.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct RedisConfig {
    /// `redis://[user[:password]@]host[:port][/database]`, `rediss://` for TLS. May be given as a secret.
    #[serde(alias = "URL")]
    url: Option<String>,
    /// Who connects; goes before the URL's.
    username: Option<String>,
    /// With which password; goes before the URL's. Meant to be given as a secret.
    password: Option<String>,
    /// How long connecting may take, in milliseconds.
    #[serde(alias = "BACKEND_CONNECTION_TIMEOUT_MS")]
    connection_timeout_ms: Option<u64>,
    /// How long Redis may take to answer, in milliseconds.
    #[serde(alias = "BACKEND_RESPONSE_TIMEOUT_MS")]
    response_timeout_ms: Option<u64>,
    /// How long a value lasts: `500ms`, `30s`, `12h`.
    ttl: Option<String>,
    /// Which keys the component is told of: `config`, `orders.*`, 1.x's `SET@key` and `DEL@key`, separated by commas.
    watch: Option<String>,
    /// In which bucket.
    watch_bucket: Option<String>,
    /// Whether the provider may turn on what Redis needs for it.
    watch_enable_events: Option<bool>,
}

/// Where a link's keys are and how long to wait for them. Two links of equal settings share a connection.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Settings {
    url: String,
    username: Option<String>,
    password: Option<String>,
    /// How long connecting may take.
    pub connection_timeout: Duration,
    /// How long Redis may take to answer.
    pub response_timeout: Duration,
    /// How long a value lasts; for ever when not given.
    pub ttl: Option<Duration>,
}

impl RedisConfig {
    /// The settings of a link with this configuration, where the provider's own fills what it leaves out.
    ///
    /// # Errors
    /// The URL isn't one, or a timeout is out of bounds.
    pub fn settings(&self, own: &Self) -> Result<Settings, SettingsError> {
        let timeout = |field, value: Option<u64>, default| {
            let value = value.unwrap_or(default);
            if TIMEOUT_BOUNDS_MS.contains(&value) {
                return Ok(Duration::from_millis(value));
            }
            let problem = format!("{value} is not from 1 to {}", TIMEOUT_BOUNDS_MS.end());
            Err(SettingsError { field, problem })
        };
        let settings = Settings {
            url: self
                .url
                .as_ref()
                .or(own.url.as_ref())
                .map_or(DEFAULT_URL, |url| url)
                .to_owned(),
            username: self.username.clone().or_else(|| own.username.clone()),
            password: self.password.clone().or_else(|| own.password.clone()),
            connection_timeout: timeout(
                "connection_timeout_ms",
                self.connection_timeout_ms.or(own.connection_timeout_ms),
                DEFAULT_CONNECTION_TIMEOUT_MS,
            )?,
            response_timeout: timeout(
                "response_timeout_ms",
                self.response_timeout_ms.or(own.response_timeout_ms),
                DEFAULT_RESPONSE_TIMEOUT_MS,
            )?,
            ttl: ttl(self.ttl.as_ref().or(own.ttl.as_ref()))?,
        };
        settings.connection()?;
        Ok(settings)
    }

    /// What the link's component wants to be told of. It is no part of [`Settings`], for links share a connection whatever
    /// they want to hear.
    ///
    /// # Errors
    /// Names the field that doesn't fit.
    pub fn wanted(&self) -> Result<Option<Wanted>, SettingsError> {
        let enable = self.watch_enable_events;
        if let Some(watch) = &self.watch {
            let bucket = self.watch_bucket.as_deref().unwrap_or(DEFAULT_BUCKET);
            return Wanted::read(watch, bucket, enable.unwrap_or_default()).map(Some);
        }
        let alone = [
            ("watch_bucket", self.watch_bucket.is_some()),
            ("watch_enable_events", enable.is_some()),
        ];
        match alone.into_iter().find(|(_, given)| *given) {
            None => Ok(None),
            Some((field, _)) => Err(SettingsError {
                field,
                problem: "it has a meaning only beside `watch`, which says the keys".to_owned(),
            }),
        }
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
                "{shown:?} is not a length of time from 1ms to ten years: write it as 500ms, 30s or 12h"
            );
            Err(SettingsError {
                field: "ttl",
                problem,
            })
        }
    }
}

impl Settings {
    /// How the client connects.
    ///
    /// # Errors
    /// The URL isn't one.
    pub fn connection(&self) -> Result<ConnectionInfo, SettingsError> {
        let wrong = |problem: &str| SettingsError {
            field: "url",
            problem: problem.to_owned(),
        };
        let info = self.url.as_str().into_connection_info().map_err(|_| {
            wrong("not a Redis URL: write it like redis://127.0.0.1:6379 or rediss://user:password@host:6380/0")
        })?;
        let mut redis: RedisConnectionInfo = info.redis_settings().clone();
        if let Some(username) = &self.username {
            redis = redis.set_username(username);
        }
        if let Some(password) = &self.password {
            redis = redis.set_password(password);
        }
        if !self.url.contains("protocol=") {
            // With RESP3 the client sees at once that the server is gone, and not only by the next call's failure.
            redis = redis.set_protocol(ProtocolVersion::RESP3);
        }
        // Over a link with a delay, a call's command would else wait until earlier ones are answered. On one machine there is
        // no delay, and what waits goes together, which is a third faster under load.
        let tcp = TcpSettings::default().set_nodelay(!is_here(info.addr()));
        #[cfg(target_os = "linux")]
        let tcp = tcp.set_user_timeout(GIVEN_UP);
        Ok(info.set_redis_settings(redis).set_tcp_settings(tcp))
    }

    /// Where it is, fit to be shown: without user and password.
    pub fn shown(&self) -> String {
        self.connection().map_or_else(
            |_| "an unusable URL".to_owned(),
            |info| info.addr().to_string(),
        )
    }
}

/// Whether the server is named as one of this machine.
fn is_here(address: &ConnectionAddr) -> bool {
    let host = match address {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host,
        _ => return true,
    };
    let ip = host.parse::<IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("redis", &self.shown())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: Option<&str>, response_timeout_ms: Option<u64>) -> RedisConfig {
        RedisConfig {
            url: url.map(Into::into),
            response_timeout_ms,
            ..RedisConfig::default()
        }
    }

    #[test]
    fn a_password_of_its_own_goes_before_the_url_s() {
        let link = RedisConfig {
            password: Some("new".into()),
            ..config(Some("redis://me:old@h:7"), None)
        };
        let settings = link.settings(&config(None, None)).unwrap();
        let info = settings.connection().unwrap();
        assert_eq!(info.redis_settings().username(), Some("me"));
        assert_eq!(info.redis_settings().password(), Some("new"));
        assert!(!format!("{settings:?}").contains("new"));
    }

    #[test]
    fn a_link_goes_before_the_provider_and_the_provider_before_the_default() {
        let none = config(None, None);
        assert_eq!(none.settings(&none).unwrap().shown(), "127.0.0.1:6379");
        let own = config(Some("redis://own:1"), Some(5));
        let settings = none.settings(&own).unwrap();
        assert_eq!(
            (
                settings.shown().as_str(),
                settings.response_timeout.as_millis()
            ),
            ("own:1", 5)
        );
        assert_eq!(
            config(Some("redis://link:2"), None)
                .settings(&own)
                .unwrap()
                .shown(),
            "link:2"
        );
    }

    #[test]
    fn commands_wait_for_each_other_on_one_machine_only() {
        let none = config(None, None);
        for (url, nodelay) in [
            ("redis://127.0.0.1:6379", false),
            ("redis://localhost", false),
            ("rediss://10.0.0.7", true),
            ("redis://cache.example.org:6380", true),
        ] {
            let settings = config(Some(url), None).settings(&none).unwrap();
            let connection = settings.connection().unwrap();
            assert_eq!(connection.tcp_settings().nodelay(), nodelay, "{url}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let settings = config(Some("redis://me:hush@h:7/1"), None).settings(&config(None, None));
        let settings = settings.unwrap();
        assert_eq!(settings.shown(), "h:7");
        assert!(!format!("{settings:?}").contains("hush"));
        let error = config(Some("http://me:hush@h"), None)
            .settings(&config(None, None))
            .unwrap_err();
        assert_eq!(error.field, "url");
        assert!(!error.to_string().contains("hush"));
    }

    #[test]
    fn a_ttl_has_a_unit() {
        let none = config(None, None);
        let ttl = |text: &str| RedisConfig {
            ttl: Some(text.to_owned()),
            ..config(None, None)
        };
        let settings = none.settings(&ttl("1h 30m")).unwrap();
        assert_eq!(settings.ttl, Some(Duration::from_secs(90 * 60)));
        for wrong in ["30", "0s", "soon", "100years"] {
            let error = ttl(wrong).settings(&none).unwrap_err().to_string();
            assert_eq!(
                error,
                format!(
                    "field `ttl`: {wrong:?} is not a length of time from 1ms to ten years: write it as 500ms, 30s or 12h"
                )
            );
        }
    }

    #[test]
    fn what_is_only_of_use_to_a_watch_needs_one() {
        assert_eq!(config(None, None).wanted(), Ok(None));
        let bucket = RedisConfig {
            watch_bucket: Some("cart".to_owned()),
            ..config(None, None)
        };
        let events = RedisConfig {
            watch_enable_events: Some(false),
            ..config(None, None)
        };
        for (config, field) in [(&bucket, "watch_bucket"), (&events, "watch_enable_events")] {
            assert_eq!(
                config.wanted().unwrap_err().to_string(),
                format!(
                    "field `{field}`: it has a meaning only beside `watch`, which says the keys"
                )
            );
        }
        let watch = RedisConfig {
            watch: Some("a".to_owned()),
            ..bucket
        };
        let wanted = watch.wanted().unwrap().unwrap();
        assert_eq!(wanted.bucket(), "cart");
        assert!(!wanted.enables_events());
    }

    #[test]
    fn a_timeout_has_bounds() {
        let error = config(None, Some(0))
            .settings(&config(None, None))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "field `response_timeout_ms`: 0 is not from 1 to 600000"
        );
    }
}

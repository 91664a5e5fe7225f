//! A link's configuration, over the provider's own as its default. See the README for the table.

use std::{fmt, ops::RangeInclusive, path::PathBuf, time::Duration};

use serde::{Deserialize, de::IgnoredAny};
use tokio_postgres::config::{Config, Host, SslMode};
use trellis_provider::config::SettingsError;

const DEFAULT_PORT: u16 = 5432;
const DEFAULT_POOL_SIZE: u64 = 10;
const DEFAULT_CONNECT_TIMEOUT_MS: u64 = 5000;
const DEFAULT_POOL_TIMEOUT_MS: u64 = 5000;
const DEFAULT_STATEMENT_TIMEOUT_MS: u64 = 30_000;
const DEFAULT_MAX_ROWS: u64 = 10_000;
/// Somewhat less than a Trellis host takes for an actor (4 MiB).
const DEFAULT_MAX_RESULT_BYTES: u64 = 3 << 20;

const POOL_SIZE: RangeInclusive<u64> = 1..=1000;
const TIMEOUT_MS: RangeInclusive<u64> = 1..=600_000;
const ROWS: RangeInclusive<u64> = 1..=10_000_000;
const RESULT_BYTES: RangeInclusive<u64> = 1024..=(64 << 20);

/// The configuration of a link (`target_config`), and of the provider. A field that neither this provider nor 1.x's has
/// is refused.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PostgresConfig {
    /// `postgres://[user[:password]@]host[:port][/database]`. May be given as a secret.
    url: Option<String>,
    /// A host, or the folder of a Unix socket; goes before the URL's, as all that follow.
    #[serde(alias = "postgres_host")]
    host: Option<String>,
    /// Its port.
    #[serde(alias = "postgres_port")]
    port: Option<u16>,
    /// Who connects.
    #[serde(alias = "postgres_username")]
    username: Option<String>,
    /// With which password. Meant to be given as a secret.
    #[serde(alias = "postgres_password")]
    password: Option<String>,
    /// To which database.
    #[serde(alias = "postgres_database")]
    database: Option<String>,
    /// Whether only TLS will do.
    #[serde(alias = "postgres_tls_required")]
    tls_required: Option<bool>,
    /// A PEM file of certificate authorities to trust.
    tls_ca_file: Option<PathBuf>,
    /// Whether the authorities that this machine trusts are trusted.
    tls_system_roots: Option<bool>,
    /// How many connections there are at most.
    #[serde(alias = "postgres_pool_size")]
    pool_size: Option<u64>,
    /// For a new connection, in milliseconds.
    connect_timeout_ms: Option<u64>,
    /// For a connection to become free, in milliseconds.
    pool_timeout_ms: Option<u64>,
    /// For a statement, in milliseconds, whatever the call's deadline.
    statement_timeout_ms: Option<u64>,
    /// How many rows a result may have.
    max_rows: Option<u64>,
    /// How large a result may be.
    max_result_bytes: Option<u64>,
    // What 1.x's provider has besides: here links of equal settings share their connections in any case.
    postgres_share_connections_by_url: IgnoredAny,
}

/// What a link asks for, checked, with every default filled in. Two links of equal settings share their connections.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Settings {
    url: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    username: Option<String>,
    password: Option<String>,
    database: Option<String>,
    tls_required: Option<bool>,
    /// A PEM file of certificate authorities to trust.
    pub tls_ca_file: Option<PathBuf>,
    /// Whether the authorities that this machine trusts are trusted.
    pub tls_system_roots: bool,
    /// How many connections there are at most.
    pub pool_size: usize,
    /// For a new connection.
    pub connect_timeout: Duration,
    /// For a connection to become free.
    pub pool_timeout: Duration,
    /// For a statement.
    pub statement_timeout: Duration,
    /// How many rows a result may have.
    pub max_rows: usize,
    /// How large a result may be.
    pub max_result_bytes: usize,
}

impl PostgresConfig {
    /// The settings of a link with this configuration, where the provider's own fills what it leaves out.
    ///
    /// # Errors
    /// Names the field that can't be used. That something is missing is [`Settings::connection`]'s to say: a provider's
    /// own configuration may leave it to its links.
    pub fn settings(&self, own: &Self) -> Result<Settings, SettingsError> {
        let text =
            |of: fn(&Self) -> &Option<String>| of(self).as_ref().or(of(own).as_ref()).cloned();
        let number =
            |field, of: fn(&Self) -> Option<u64>, default, bounds: &RangeInclusive<u64>| {
                within(field, of(self).or(of(own)).unwrap_or(default), bounds)
            };
        let timeout = |field, of: fn(&Self) -> Option<u64>, default| {
            number(field, of, default, &TIMEOUT_MS).map(Duration::from_millis)
        };
        let count = |field, of: fn(&Self) -> Option<u64>, default, bounds: &RangeInclusive<u64>| {
            let count = number(field, of, default, bounds);
            count.map(|count| usize::try_from(count).unwrap_or(usize::MAX))
        };
        let settings = Settings {
            url: text(|config| &config.url),
            host: text(|config| &config.host),
            port: self.port.or(own.port),
            username: text(|config| &config.username),
            password: text(|config| &config.password),
            database: text(|config| &config.database),
            tls_required: self.tls_required.or(own.tls_required),
            tls_ca_file: self.tls_ca_file.clone().or_else(|| own.tls_ca_file.clone()),
            tls_system_roots: self
                .tls_system_roots
                .or(own.tls_system_roots)
                .unwrap_or(true),
            pool_size: count(
                "pool_size",
                |config| config.pool_size,
                DEFAULT_POOL_SIZE,
                &POOL_SIZE,
            )?,
            connect_timeout: timeout(
                "connect_timeout_ms",
                |config| config.connect_timeout_ms,
                DEFAULT_CONNECT_TIMEOUT_MS,
            )?,
            pool_timeout: timeout(
                "pool_timeout_ms",
                |config| config.pool_timeout_ms,
                DEFAULT_POOL_TIMEOUT_MS,
            )?,
            statement_timeout: timeout(
                "statement_timeout_ms",
                |config| config.statement_timeout_ms,
                DEFAULT_STATEMENT_TIMEOUT_MS,
            )?,
            max_rows: count(
                "max_rows",
                |config| config.max_rows,
                DEFAULT_MAX_ROWS,
                &ROWS,
            )?,
            max_result_bytes: count(
                "max_result_bytes",
                |config| config.max_result_bytes,
                DEFAULT_MAX_RESULT_BYTES,
                &RESULT_BYTES,
            )?,
        };
        settings.parsed()?;
        Ok(settings)
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

impl Settings {
    /// How the client connects.
    ///
    /// # Errors
    /// Names the field that is missing.
    pub fn connection(&self) -> Result<Config, SettingsError> {
        let missing = |field, what: &str| SettingsError {
            field,
            problem: format!("is missing, and so is a `url` with {what}"),
        };
        let mut config = self.parsed()?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(missing("host", "a host"));
        }
        if config.get_user().is_none() {
            return Err(missing("username", "a user"));
        }
        if config.get_ports().is_empty() {
            config.port(DEFAULT_PORT);
        }
        // Either TLS with certificates that are checked, or none: what falls back to none protects from nobody.
        let required = config.get_ssl_mode() == SslMode::Require;
        config.ssl_mode(match self.tls_required.unwrap_or(required) {
            true => SslMode::Require,
            false => SslMode::Disable,
        });
        config.connect_timeout(self.connect_timeout);
        if config.get_application_name().is_none() {
            config.application_name("trellis sqldb-postgres");
        }
        Ok(config)
    }

    /// Whether connections are made with TLS.
    pub fn needs_tls(&self) -> bool {
        let connection = self.connection();
        connection.is_ok_and(|config| config.get_ssl_mode() == SslMode::Require)
    }

    /// What is there of how the client connects.
    fn parsed(&self) -> Result<Config, SettingsError> {
        let mut config = match &self.url {
            None => Config::new(),
            Some(url) if is_url(url) => url.parse().map_err(|_| not_a_url())?,
            Some(_) => return Err(not_a_url()),
        };
        if let Some(host) = &self.host {
            // Those of the URL would be tried first.
            let mut other = Config::new();
            other.ssl_mode(config.get_ssl_mode()).host(host);
            if let Some(user) = config.get_user() {
                other.user(user);
            }
            if let Some(password) = config.get_password() {
                other.password(password);
            }
            if let Some(database) = config.get_dbname() {
                other.dbname(database);
            }
            if let Some(port) = self.port.or(config.get_ports().first().copied()) {
                other.port(port);
            }
            config = other;
        } else if let Some(port) = self.port {
            if !config.get_ports().is_empty() {
                return Err(SettingsError {
                    field: "port",
                    problem: "the `url` has one, too: write it in one place".to_owned(),
                });
            }
            config.port(port);
        }
        if let Some(username) = &self.username {
            config.user(username);
        }
        if let Some(password) = &self.password {
            config.password(password);
        }
        if let Some(database) = &self.database {
            config.dbname(database);
        }
        Ok(config)
    }

    /// Where it is, fit to be shown: without user and password.
    pub fn shown(&self) -> String {
        let Ok(config) = self.connection() else {
            return "an unusable configuration".to_owned();
        };
        let ports = config.get_ports();
        let hosts = config.get_hosts().iter().enumerate().map(|(index, host)| {
            let host = match host {
                Host::Tcp(name) => name.clone(),
                Host::Unix(folder) => folder.display().to_string(),
            };
            let port = ports.get(index).or(ports.first());
            format!("{host}:{}", port.copied().unwrap_or(DEFAULT_PORT))
        });
        let hosts: Vec<String> = hosts.collect();
        let user = config.get_user().unwrap_or_default();
        let database = config.get_dbname().unwrap_or(user);
        format!("{}/{database}", hosts.join(","))
    }
}

/// The other form that the client understands, `host=… password=…`, is not one to be taken by mistake.
fn is_url(text: &str) -> bool {
    text.starts_with("postgres://") || text.starts_with("postgresql://")
}

/// The URL may hold a password: it is not repeated.
fn not_a_url() -> SettingsError {
    SettingsError {
        field: "url",
        problem: "not a PostgreSQL URL: write it like postgres://user@host:5432/database"
            .to_owned(),
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("postgres", &self.shown())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use trellis_provider::config::from_config;

    use super::*;

    fn config(entries: &[(&str, &str)]) -> Result<PostgresConfig, String> {
        let entries = entries.iter();
        let config = entries.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        from_config("link", &config.collect()).map_err(|error| error.to_string())
    }

    fn settings(entries: &[(&str, &str)]) -> Result<Settings, String> {
        let config = config(entries)?;
        let settings = config.settings(&PostgresConfig::default());
        settings.map_err(|error| error.to_string())
    }

    fn connection(entries: &[(&str, &str)]) -> Result<Config, String> {
        settings(entries)?
            .connection()
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_1x_configuration_is_taken() {
        let config = connection(&[
            ("POSTGRES_HOST", "db"),
            ("POSTGRES_PORT", "5433"),
            ("POSTGRES_USERNAME", "me"),
            ("POSTGRES_PASSWORD", "hush"),
            ("POSTGRES_DATABASE", "shop"),
            ("POSTGRES_TLS_REQUIRED", "true"),
            ("POSTGRES_POOL_SIZE", "3"),
            ("POSTGRES_SHARE_CONNECTIONS_BY_URL", "true"),
        ])
        .unwrap();
        assert_eq!(config.get_hosts(), [Host::Tcp("db".into())]);
        assert_eq!(config.get_ports(), [5433]);
        assert_eq!(
            (config.get_user(), config.get_dbname()),
            (Some("me"), Some("shop"))
        );
        assert_eq!(config.get_password(), Some(&b"hush"[..]));
        assert_eq!(config.get_ssl_mode(), SslMode::Require);
    }

    #[test]
    fn fields_go_before_the_url() {
        let config = connection(&[
            ("url", "postgres://me:old@db:1/shop?sslmode=require"),
            ("password", "new"),
            ("host", "other"),
        ])
        .unwrap();
        assert_eq!(config.get_hosts(), [Host::Tcp("other".into())]);
        assert_eq!(
            (config.get_user(), config.get_ports()),
            (Some("me"), &[1][..])
        );
        assert_eq!(config.get_password(), Some(&b"new"[..]));
        assert_eq!(config.get_ssl_mode(), SslMode::Require);
        let plain = connection(&[("url", "postgres://me@db")]).unwrap();
        assert_eq!(
            (plain.get_ssl_mode(), plain.get_ports()),
            (SslMode::Disable, &[5432][..])
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = connection(&[]).unwrap_err();
        assert_eq!(
            error,
            "field `host`: is missing, and so is a `url` with a host"
        );
        let error = connection(&[("host", "db")]).unwrap_err();
        assert_eq!(
            error,
            "field `username`: is missing, and so is a `url` with a user"
        );
        let error = config(&[("POSTGRES_HOSTNAME", "db")]).err().unwrap();
        assert!(
            error.contains("there is no field `POSTGRES_HOSTNAME`"),
            "{error}"
        );
        let error = settings(&[("pool_size", "0")]).unwrap_err();
        assert_eq!(error, "field `pool_size`: 0 is not from 1 to 1000");
    }

    #[test]
    fn passwords_are_not_shown() {
        for url in [
            "http://me:hush@db",
            "host=db password=hush",
            "postgres://me:hush@db:port/x",
        ] {
            let error = settings(&[("url", url)]).unwrap_err();
            assert!(
                error.starts_with("field `url`: not a PostgreSQL URL"),
                "{error}"
            );
            assert!(!error.contains("hush"), "{error}");
        }
        let shown = settings(&[("url", "postgres://me:hush@db/shop")]).unwrap();
        assert_eq!(shown.shown(), "db:5432/shop");
        assert!(!format!("{shown:?}").contains("hush"));
    }
}

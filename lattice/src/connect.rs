//! How every process of a lattice connects to NATS: one set of options, one reconnect behaviour.

use std::{fmt, path::PathBuf, time::Duration};

use async_nats::{Client, ConnectOptions, Event};
use rand::Rng as _;
use tokio::sync::watch;

use crate::claims::{KeyError, UserId, UserKey};

/// The longest wait between two attempts to reconnect.
const MAX_RECONNECT_DELAY: Duration = Duration::from_secs(4);

/// Where NATS is and who we are there.
#[derive(Clone, Default)]
pub struct NatsSettings {
    /// `nats://host:port`, several with commas; `tls://` for TLS.
    pub url: String,
    /// A credentials file.
    pub credentials: Option<PathBuf>,
    /// A user JWT; needs the seed.
    pub jwt: Option<String>,
    /// A user's nkey seed, alone or for the JWT.
    pub seed: Option<String>,
    /// The file of such a seed, where it isn't given itself.
    pub seed_file: Option<PathBuf>,
    /// Begin with TLS instead of upgrading to it.
    pub tls_first: bool,
    /// Trust this authority (PEM) beside the system's.
    pub tls_ca: Option<PathBuf>,
}

impl fmt::Debug for NatsSettings {
    /// The seed is a secret, and a URL may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsSettings")
            .field("servers", &self.servers())
            .field("credentials", &self.credentials)
            .field("jwt", &self.jwt.is_some())
            .field("seed", &self.seed.is_some())
            .field("seed_file", &self.seed_file)
            .finish_non_exhaustive()
    }
}

/// NATS can't be reached or doesn't let us in.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Not a server's address.
    #[error("NATS URL {url:?}: {source}; write it like nats://127.0.0.1:4222")]
    Url {
        /// What was given, without a password.
        url: String,
        /// Why it isn't one.
        source: std::io::Error,
    },
    /// The credentials can't be read.
    #[error("NATS credentials {path}: {source}")]
    Credentials {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A JWT without its seed.
    #[error("a NATS user JWT needs its seed: give both, or a credentials file")]
    JwtWithoutSeed,
    /// The seed is not a user's.
    #[error("the NATS user's seed: {0}")]
    Seed(#[source] KeyError),
    /// No answer, or not let in.
    #[error(
        "no NATS server at {url}: {source}. Start one (`nats-server -js`, or a whole lattice with `trellis up`), or say where it is with --nats-url or TRELLIS_NATS_URL"
    )]
    Unreachable {
        /// Where, without a password.
        url: String,
        /// Why.
        source: async_nats::ConnectError,
    },
}

impl NatsSettings {
    /// Settings for a server that lets everybody in.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            ..Self::default()
        }
    }

    /// The user's key: the seed that is given, or in the file. None without either.
    ///
    /// # Errors
    /// It is no user's seed, or others can read the file.
    pub fn user_key(&self) -> Result<Option<UserKey>, ConnectError> {
        let key = match (&self.seed, &self.seed_file) {
            (Some(seed), _) => UserKey::from_seed(seed),
            (None, Some(file)) => UserKey::read_file(file),
            (None, None) => return Ok(None),
        };
        key.map(Some).map_err(ConnectError::Seed)
    }

    /// The servers as they can be shown: without user and password.
    pub fn servers(&self) -> String {
        let shown = self.url.split(',').map(|url| {
            let url = url.trim();
            let (scheme, rest) = url.split_once("://").unwrap_or(("nats", url));
            let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
            format!("{scheme}://{host}")
        });
        shown.collect::<Vec<_>>().join(",")
    }

    /// Connects, and goes on reconnecting for ever once connected. `name` is shown in NATS' own monitoring.
    ///
    /// # Errors
    /// The server can't be reached within 5 s, or doesn't accept the credentials.
    pub async fn connect(&self, name: impl Into<String>) -> Result<Client, ConnectError> {
        Ok(self.connect_counted(name).await?.0)
    }

    /// Connects as [`Self::connect`] does, and also gives a count that grows each time the connection comes (back):
    /// who keeps state in the lattice reads it again then.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn connect_counted(
        &self,
        name: impl Into<String>,
    ) -> Result<(Client, watch::Receiver<u64>), ConnectError> {
        let (counter, count) = watch::channel(0);
        let servers: Vec<async_nats::ServerAddr> = self
            .url
            .split(',')
            .map(|url| {
                url.trim().parse().map_err(|source| ConnectError::Url {
                    url: self.servers(),
                    source,
                })
            })
            .collect::<Result<_, _>>()?;
        let client = self
            .options(name.into(), counter)
            .await?
            .connect(servers)
            .await
            .map_err(|source| ConnectError::Unreachable {
                url: self.servers(),
                source,
            })?;
        Ok((client, count))
    }

    async fn options(
        &self,
        name: String,
        counter: watch::Sender<u64>,
    ) -> Result<ConnectOptions, ConnectError> {
        let key = match &self.credentials {
            Some(_) => None,
            None => self.user_key()?,
        };
        // What is only for us is sent where only we may listen.
        let inboxes = key.as_ref().map(|key| inbox_prefix(&key.public()));
        let mut options = match (&self.credentials, &self.jwt, key) {
            (Some(path), _, _) => {
                ConnectOptions::with_credentials_file(path)
                    .await
                    .map_err(|source| ConnectError::Credentials {
                        path: path.clone(),
                        source,
                    })?
            }
            (None, Some(jwt), Some(key)) => {
                let key = std::sync::Arc::new(key);
                ConnectOptions::with_jwt(jwt.clone(), move |nonce| {
                    let key = key.clone();
                    async move { key.sign(&nonce).map_err(async_nats::AuthError::new) }
                })
            }
            (None, Some(_), None) => return Err(ConnectError::JwtWithoutSeed),
            (None, None, Some(key)) => ConnectOptions::with_nkey(key.seed()),
            (None, None, None) => ConnectOptions::new(),
        };
        if let Some(prefix) = inboxes {
            options = options.custom_inbox_prefix(prefix);
        }
        if self.tls_first {
            options = options.tls_first();
        }
        if let Some(path) = &self.tls_ca {
            options = options.add_root_certificates(path.clone());
        }
        let log_name = name.clone();
        Ok(options
            .name(name)
            // 60 s by default: a frozen server would go unnoticed for minutes.
            .ping_interval(Duration::from_secs(10))
            .reconnect_delay_callback(reconnect_delay)
            .event_callback(move |event| {
                log_event(&log_name, &event);
                if matches!(event, Event::Connected) {
                    counter.send_modify(|count| *count += 1);
                }
                async {}
            }))
    }
}

/// What the inboxes of a user begin with that is known by its key: permissions can so give each user its own.
pub fn inbox_prefix(user: &UserId) -> String {
    format!("_INBOX.{user}")
}

/// Exponential with full jitter, so that a thousand hosts don't all come back at once.
fn reconnect_delay(attempts: usize) -> Duration {
    let exponent = u32::try_from(attempts.min(10)).unwrap_or(10);
    let ceiling = Duration::from_millis(8)
        .saturating_mul(1 << exponent)
        .min(MAX_RECONNECT_DELAY);
    ceiling.mul_f64(rand::rng().random_range(0.1..=1.0))
}

fn log_event(name: &str, event: &Event) {
    match event {
        Event::Connected => tracing::info!(connection = name, "connected to NATS"),
        Event::Disconnected => tracing::warn!(connection = name, "lost NATS, reconnecting"),
        // Messages were dropped by the client: whoever waits for one learns by its own deadline or sequence.
        Event::SlowConsumer(id) => tracing::error!(
            connection = name,
            subscription = id,
            "slow consumer, NATS messages dropped"
        ),
        other => tracing::debug!(connection = name, event = %other, "NATS"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        let settings = NatsSettings::new("nats://user:secret@h:4222, tls://k:4222");
        assert_eq!(settings.servers(), "nats://h:4222,tls://k:4222");
        assert!(!format!("{settings:?}").contains("secret"));
    }

    #[test]
    fn a_seed_is_given_or_in_a_file_of_its_owner_s() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host.nk");
        let key = UserKey::generate();
        key.write_file(&path).unwrap();
        let mut settings = NatsSettings {
            seed_file: Some(path.clone()),
            ..NatsSettings::new("nats://h")
        };
        let found = settings.user_key().unwrap().unwrap();
        assert_eq!(found.public(), key.public());
        assert_eq!(
            inbox_prefix(&found.public()),
            format!("_INBOX.{}", key.public())
        );
        settings.seed = Some(crate::claims::HostKey::generate().seed());
        let error = settings.user_key().unwrap_err().to_string();
        assert!(error.contains("a user key's is needed"), "{error}");
        settings.seed = None;
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o640);
        std::fs::set_permissions(&path, open).unwrap();
        let error = settings.user_key().unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
        assert!(NatsSettings::new("nats://h").user_key().unwrap().is_none());
    }

    #[test]
    fn reconnecting_slows_down_to_a_bound() {
        assert!(reconnect_delay(0) <= Duration::from_millis(8));
        for attempts in [10, 1000, usize::MAX] {
            assert!(reconnect_delay(attempts) <= MAX_RECONNECT_DELAY);
        }
    }
}

//! Redis behind one link: a connection that many calls share and that comes back by itself.

use std::{collections::HashMap, fmt, future::Future, time::Duration};

use bytes::Bytes;
use redis::{
    Client, Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisResult, ServerErrorKind,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use trellis_provider::{
    config::SettingsError,
    keyvalue::{Error, KeyResponse, Keyvalue},
    rpc::CallContext,
};

use crate::{
    config::Settings,
    keys::{Keys, Reserved},
};

/// How many keys Redis looks at in one go when keys are listed, and how often for one page that stays empty.
const SCAN_COUNT: usize = 1000;
const SCAN_ROUNDS: usize = 16;
/// How many commands wait for their turn on the connection before the next caller does.
const QUEUE: usize = 512;
/// Trying to connect: as often as 1.x, with at most 1.x's wait in between. After that the call fails, and the next one
/// tries again.
const CONNECT_RETRIES: usize = 3;
const CONNECT_RETRY_DELAY: Duration = Duration::from_millis(300);

/// Redis as one or several links see it. Cheap to clone: clones share the connection.
#[derive(Clone)]
pub struct RedisStore {
    connection: ConnectionManager,
    /// For connections of another kind.
    client: Client,
    shown: String,
    patience: Duration,
    /// How long a value lasts.
    ttl: Option<Duration>,
}

impl RedisStore {
    /// The store with those settings. Connects when it is first asked for something.
    ///
    /// # Errors
    /// The settings can't be used.
    pub fn open(settings: &Settings) -> Result<Self, SettingsError> {
        let refused = |error: RedisError| SettingsError {
            field: "url",
            problem: format!("not usable: {}", error.category()),
        };
        let client = Client::open(settings.connection()?).map_err(refused)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(settings.connection_timeout))
            .set_response_timeout(Some(settings.response_timeout))
            .set_number_of_retries(CONNECT_RETRIES)
            .set_max_delay(CONNECT_RETRY_DELAY)
            .set_pipeline_buffer_size(QUEUE);
        Ok(Self {
            connection: ConnectionManager::new_lazy_with_config(client.clone(), config)
                .map_err(refused)?,
            client,
            shown: settings.shown(),
            // However many attempts fit in: a caller waits for one connection and one answer.
            patience: settings.connection_timeout + settings.response_timeout,
            ttl: settings.ttl,
        })
    }

    /// Where it is, without user and password.
    pub fn place(&self) -> &str {
        &self.shown
    }

    /// Whether Redis answers.
    ///
    /// # Errors
    /// Why it doesn't.
    pub async fn ping(&self) -> Result<(), Error> {
        self.ask(&redis::cmd("PING"), Effect::None).await
    }

    /// What connects to it.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// How long to wait for an answer.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// The values of some keys, by their names in Redis; none where there is none that is a string.
    pub(crate) async fn values(&self, full: &[String]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let mut get = redis::cmd("MGET");
        get.arg(full);
        self.ask(&get, Effect::None).await
    }

    /// Asks for a setting of Redis.
    pub(crate) async fn setting_of_redis(&self, name: &str) -> Result<Option<String>, Failed> {
        let mut get = redis::cmd("CONFIG");
        get.arg("GET").arg(name);
        let mut settings: HashMap<String, String> = self.attempt(&get, Effect::None).await?;
        Ok(settings.remove(name))
    }

    /// Changes a setting of Redis.
    pub(crate) async fn set_setting_of_redis(&self, name: &str, value: &str) -> Result<(), Failed> {
        let mut set = redis::cmd("CONFIG");
        set.arg("SET").arg(name).arg(value);
        self.attempt(&set, Effect::Same).await
    }

    /// Sends a command, and says in the interface's words what failed.
    async fn ask<T: FromRedisValue + Send>(
        &self,
        command: &impl Ask,
        effect: Effect,
    ) -> Result<T, Error> {
        let answer = self.attempt(command, effect).await;
        answer.map_err(|failed| self.explain(&failed))
    }

    /// Sends a command. One that has no other effect when it is done twice is tried again, once, when the connection
    /// broke under it.
    async fn attempt<T: FromRedisValue + Send>(
        &self,
        command: &impl Ask,
        effect: Effect,
    ) -> Result<T, Failed> {
        let asked = async {
            let mut connection = self.connection.clone();
            let answer = command.ask(&mut connection).await;
            match answer {
                Err(error) if error.is_unrecoverable_error() && effect != Effect::Another => {
                    tracing::debug!(redis = self.shown, %error, "trying again");
                    command.ask(&mut connection).await
                }
                answer => answer,
            }
        };
        match tokio::time::timeout(self.patience, asked).await {
            Ok(answer) => answer.map_err(Failed::Redis),
            Err(_) => Err(Failed::Late),
        }
    }

    /// What failed, in the interface's words.
    pub(crate) fn explain(&self, failed: &Failed) -> Error {
        match failed {
            Failed::Redis(error) => self.failed(error),
            Failed::Late => {
                let waited = self.patience.as_millis();
                Error::Other(format!(
                    "Redis at {} did not answer within {waited} ms",
                    self.shown
                ))
            }
        }
    }

    /// Sets a value for as long as it lasts.
    fn setting(&self, key: String, value: &[u8]) -> Cmd {
        let mut set = Cmd::set(key, value);
        if let Some(ttl) = self.ttl {
            set.arg("PX").arg(ttl.as_millis().to_string());
        }
        set
    }

    fn failed(&self, error: &RedisError) -> Error {
        match error.kind() {
            ErrorKind::AuthenticationFailed | ErrorKind::Server(ServerErrorKind::NoPerm) => {
                tracing::warn!(
                    redis = self.shown,
                    code = error.code(),
                    "Redis denies access"
                );
                Error::AccessDenied
            }
            _ if matches!(error.code(), Some("NOAUTH" | "WRONGPASS")) => Error::AccessDenied,
            _ if error.code() == Some("WRONGTYPE") => {
                Error::Other("the key holds a Redis value that is not a string".to_owned())
            }
            _ => {
                tracing::debug!(redis = self.shown, %error, "Redis failed");
                Error::Other(format!("Redis at {}: {error}", self.shown))
            }
        }
    }
}

impl Keyvalue for RedisStore {
    async fn get(&self, _: &CallContext, bucket: &str, key: &str) -> Result<Option<Bytes>, Error> {
        let value: Option<Vec<u8>> = self
            .ask(&Cmd::get(full(&Keys::of(bucket), key)?), Effect::None)
            .await?;
        Ok(value.map(Bytes::from))
    }

    async fn set(
        &self,
        _: &CallContext,
        bucket: &str,
        key: &str,
        value: Bytes,
    ) -> Result<(), Error> {
        let set = self.setting(full(&Keys::of(bucket), key)?, &value);
        self.ask(&set, Effect::Same).await
    }

    async fn delete(&self, _: &CallContext, bucket: &str, key: &str) -> Result<(), Error> {
        self.ask(&Cmd::del(full(&Keys::of(bucket), key)?), Effect::Same)
            .await
    }

    async fn exists(&self, _: &CallContext, bucket: &str, key: &str) -> Result<bool, Error> {
        self.ask(&Cmd::exists(full(&Keys::of(bucket), key)?), Effect::None)
            .await
    }

    async fn list_keys(
        &self,
        _: &CallContext,
        bucket: &str,
        cursor: Option<u64>,
    ) -> Result<KeyResponse, Error> {
        let keys = Keys::of(bucket);
        let mut cursor = cursor.unwrap_or_default();
        let mut found = Vec::new();
        for _ in 0..SCAN_ROUNDS {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor);
            if let Some(pattern) = keys.pattern() {
                scan.arg("MATCH").arg(pattern);
            }
            scan.arg("COUNT").arg(SCAN_COUNT);
            let (next, page): (u64, Vec<Vec<u8>>) = self.ask(&scan, Effect::None).await?;
            found.extend(page.iter().filter_map(|full| keys.own(full)));
            cursor = next;
            if cursor == 0 || !found.is_empty() {
                break;
            }
        }
        Ok(KeyResponse {
            keys: found,
            cursor: (cursor != 0).then_some(cursor),
        })
    }

    async fn increment(
        &self,
        _: &CallContext,
        bucket: &str,
        key: &str,
        delta: u64,
    ) -> Result<u64, Error> {
        let delta = i64::try_from(delta).map_err(|_| {
            Error::Other(format!(
                "Redis counts with 64 bits and a sign: {delta} is too much to add"
            ))
        })?;
        let key = full(&Keys::of(bucket), key)?;
        let sum: i64 = match self.ttl {
            None => self.ask(&Cmd::incr(key, delta), Effect::Another).await?,
            Some(_) => {
                // The number's time begins when it does: a later sum doesn't begin it again.
                let mut begin = self.setting(key.clone(), b"0");
                begin.arg("NX");
                let mut both = redis::pipe();
                both.atomic().add_command(begin).ignore().incr(key, delta);
                let (sum,): (i64,) = self.ask(&both, Effect::Another).await?;
                sum
            }
        };
        u64::try_from(sum).map_err(|_| {
            Error::Other(format!(
                "the sum is {sum}, and the interface has no negative numbers"
            ))
        })
    }

    async fn get_many(
        &self,
        _: &CallContext,
        bucket: &str,
        wanted: Vec<String>,
    ) -> Result<Vec<Option<(String, Bytes)>>, Error> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let keys = Keys::of(bucket);
        let mut get = redis::cmd("MGET");
        for key in &wanted {
            get.arg(full(&keys, key)?);
        }
        let values: Vec<Option<Vec<u8>>> = self.ask(&get, Effect::None).await?;
        let pairs = wanted.into_iter().zip(values);
        Ok(pairs
            .map(|(key, value)| Some((key, value?.into())))
            .collect())
    }

    async fn set_many(
        &self,
        _: &CallContext,
        bucket: &str,
        pairs: Vec<(String, Bytes)>,
    ) -> Result<(), Error> {
        if pairs.is_empty() {
            return Ok(());
        }
        let keys = Keys::of(bucket);
        if self.ttl.is_some() {
            let mut sets = redis::pipe();
            sets.atomic();
            for (key, value) in &pairs {
                let set = self.setting(full(&keys, key)?, value);
                sets.add_command(set).ignore();
            }
            return self.ask(&sets, Effect::Same).await;
        }
        let mut set = redis::cmd("MSET");
        for (key, value) in &pairs {
            set.arg(full(&keys, key)?).arg(&value[..]);
        }
        self.ask(&set, Effect::Same).await
    }

    async fn delete_many(
        &self,
        _: &CallContext,
        bucket: &str,
        unwanted: Vec<String>,
    ) -> Result<(), Error> {
        if unwanted.is_empty() {
            return Ok(());
        }
        let keys = Keys::of(bucket);
        let mut delete = redis::cmd("DEL");
        for key in &unwanted {
            delete.arg(full(&keys, key)?);
        }
        self.ask(&delete, Effect::Same).await
    }
}

/// Why there is no answer.
pub(crate) enum Failed {
    /// Redis says so, or can't be reached.
    Redis(RedisError),
    /// It takes too long.
    Late,
}

/// One command, or several that are done as one.
trait Ask: Sync {
    fn ask<T: FromRedisValue + Send>(
        &self,
        connection: &mut ConnectionManager,
    ) -> impl Future<Output = RedisResult<T>> + Send;
}

impl Ask for Cmd {
    async fn ask<T: FromRedisValue + Send>(
        &self,
        connection: &mut ConnectionManager,
    ) -> RedisResult<T> {
        self.query_async(connection).await
    }
}

impl Ask for Pipeline {
    async fn ask<T: FromRedisValue + Send>(
        &self,
        connection: &mut ConnectionManager,
    ) -> RedisResult<T> {
        self.query_async(connection).await
    }
}

/// What doing a command a second time does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// Nothing, and the first time neither.
    None,
    /// Nothing more than the first time.
    Same,
    /// Something else again.
    Another,
}

fn full(keys: &Keys, key: &str) -> Result<String, Error> {
    keys.full(key).map_err(|Reserved| Error::AccessDenied)
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("redis", &self.shown)
            .finish_non_exhaustive()
    }
}

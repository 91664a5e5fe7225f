//! A NATS bucket behind one or several links. It is opened, and made if need be, when it is first asked for something.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use async_nats::{
    HeaderMap,
    jetstream::{
        self, Context,
        context::ContextBuilder,
        kv::{self, Store},
    },
};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::{sync::OnceCell, time::Instant};
use trellis_provider::{
    Lattice,
    config::SettingsError,
    contract::{Place, mirror::Mirror},
    keyvalue::{Error, KeyResponse, Keyvalue},
    rpc::CallContext,
};

use crate::{
    config::Settings,
    counting::Counting,
    keys::{Keys, TooLong},
    listing,
    placement::{self, Placement},
    replica::Replica,
};

/// How many keys of a batch are under way at once.
const BATCH: usize = 32;
/// How long JetStream may take to answer one request.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a call may take whose caller sets no limit.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long before its caller gives up a call's answer must be on its way; a tenth of what is left where that is less.
const WAY_BACK: Duration = Duration::from_millis(100);
/// How long another domain may take to say that it is there.
const SIGN: Duration = Duration::from_millis(300);

/// The bucket. Links of equal settings share it.
pub struct Bucket {
    settings: Settings,
    /// The lattice's connection.
    lattice: async_nats::Client,
    /// The JetStream domain that the bucket is in, where that isn't the server's own by itself.
    domain: Option<String>,
    /// Where the provider is.
    place: Option<Place>,
    /// Replaced by an empty one when something fails: whoever comes next looks again.
    opened: ArcSwap<OnceCell<Opened>>,
    /// The PoP's copy of a bucket that is at the hub.
    replica: Option<Replica>,
    counting: Counting,
}

/// A bucket where it is written.
#[derive(Clone)]
pub(crate) struct Opened {
    pub(crate) store: Store,
    context: Context,
    /// What begins the subjects that its keys are written to.
    prefix: String,
}

impl Bucket {
    /// The bucket of those settings. Nothing is asked of NATS yet.
    ///
    /// # Errors
    /// It is to be kept within something that the provider is outside of.
    pub fn of(settings: Settings, lattice: &Lattice) -> Result<Self, SettingsError> {
        let place = lattice.place().cloned();
        if let Some(residency) = &settings.residency {
            let what = format!("NATS bucket {:?}", settings.bucket);
            let inside = residency.check(place.as_ref(), what, "this provider");
            inside.map_err(|error| SettingsError {
                field: "residency",
                problem: error.to_string(),
            })?;
        }
        let domain = match (&settings.domain, settings.placement) {
            (Some(domain), _) => Some(domain.clone()),
            (None, Placement::Local) => None,
            (None, _) if settings.server.is_some() => None,
            (None, _) => lattice.js_domain().map(str::to_owned),
        };
        let client = lattice.nats().clone();
        let replica = match (settings.placement, &domain) {
            (Placement::Replicated, Some(domain)) => {
                let mirror = Mirror::beside(&client, domain, &settings.bucket, TIMEOUT);
                mirror.map(|mirror| Replica::of(mirror, in_domain(client.clone(), Some(domain))))
            }
            _ => None,
        };
        Ok(Self {
            settings,
            lattice: client,
            domain,
            place,
            opened: ArcSwap::default(),
            replica,
            counting: Counting::default(),
        })
    }

    /// The NATS bucket's name.
    pub fn name(&self) -> &str {
        &self.settings.bucket
    }

    /// Makes sure that the bucket can be used now: opens it, if it isn't open.
    ///
    /// # Errors
    /// It isn't there and is not to be made, or NATS doesn't answer.
    pub async fn ready(&self) -> Result<(), Error> {
        match &self.replica {
            Some(replica) if replica.ready().await.is_ok() => Ok(()),
            _ => match self.open().await {
                Ok(_) => Ok(()),
                Err(error) => Err(self.told(error).await),
            },
        }
    }

    /// The PoP's copy of the bucket, where there is to be one.
    pub(crate) fn replica(&self) -> Option<&Replica> {
        self.replica.as_ref()
    }

    /// Opens the bucket where it is written, if it isn't open.
    pub(crate) async fn open(&self) -> Result<Opened, Error> {
        let cell = self.opened.load_full();
        cell.get_or_try_init(|| self.look()).await.cloned()
    }

    async fn look(&self) -> Result<Opened, Error> {
        let client = match &self.settings.server {
            None => self.lattice.clone(),
            Some(server) => {
                let connected = server.nats_settings().connect(crate::NAME).await;
                connected.map_err(|error| failed(&error))?
            }
        };
        let context = in_domain(client, self.domain.as_deref());
        let name = &self.settings.bucket;
        let store = match context.get_key_value(name).await {
            Ok(store) => store,
            Err(error) if !is_missing(&error) => return Err(failed(&error)),
            Err(_) if !self.settings.create => {
                tracing::warn!(
                    bucket = name,
                    "there is no such NATS bucket, and the link says not to make it"
                );
                return Err(Error::NoSuchStore);
            }
            Err(_) => self.make(&context).await?,
        };
        self.check_ttl(&store)?;
        placement::admit(&store, self.place.as_ref(), self.replica.is_some())
            .map_err(Error::Other)?;
        if let Some(residency) = &self.settings.residency
            && let Err(error) = placement::mark_as_kept(&context, &store, residency).await
        {
            tracing::warn!(bucket = name, %residency, error, "the bucket is not marked as kept there; providers elsewhere can't know it");
        }
        let prefix = match &self.domain {
            None => store.prefix.clone(),
            Some(domain) => format!("$JS.{domain}.API.{}", store.prefix),
        };
        Ok(Opened {
            store,
            context,
            prefix,
        })
    }

    /// Values last as long as their bucket says: one that says otherwise than the link is not used.
    fn check_ttl(&self, store: &Store) -> Result<(), Error> {
        let has = store.stream.cached_info().config.max_age;
        match self.settings.ttl {
            Some(ttl) if ttl != has => {
                let has = match has {
                    Duration::ZERO => "for ever".to_owned(),
                    has => humantime::format_duration(has).to_string(),
                };
                Err(Error::Other(format!(
                    "its values last {has}, and the link's `ttl` says {}: change one of them (`nats kv edit`, the link's `ttl`), or take another `bucket`",
                    humantime::format_duration(ttl)
                )))
            }
            _ => Ok(()),
        }
    }

    async fn make(&self, context: &Context) -> Result<Store, Error> {
        let bucket = &self.settings.bucket;
        let config = kv::Config {
            bucket: bucket.clone(),
            num_replicas: self.settings.replicas,
            history: 1,
            max_age: self.settings.ttl.unwrap_or_default(),
            ..kv::Config::default()
        };
        let made = context.create_key_value(config).await;
        let store = made.map_err(|error| failed(&error))?;
        tracing::info!(
            bucket,
            domain = self.domain,
            replicas = self.settings.replicas,
            "NATS bucket made"
        );
        Ok(store)
    }

    /// A call's work. It ends before its caller gives up, and its error says where and why.
    async fn attempt<T>(
        &self,
        by: &CallContext,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout_at(end(by), work).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.told(error).await),
            Err(_) => {
                let problem = "no answer in time; what was to be written may have been";
                Err(self.told(Error::Other(problem.to_owned())).await)
            }
        }
    }

    /// An error with the bucket's name before it. What was open is forgotten: it may have been deleted, or lost with a
    /// server that kept it in memory.
    pub(crate) async fn told(&self, error: Error) -> Error {
        self.opened.store(Arc::default());
        let Error::Other(problem) = error else {
            return error;
        };
        let bucket = &self.settings.bucket;
        match &self.domain {
            Some(domain) if self.settings.server.is_none() && !self.gives_sign(domain).await => {
                Error::Other(format!(
                    "NATS bucket {bucket:?}: JetStream domain {domain:?} is away ({problem}); try again when the link to it is back"
                ))
            }
            _ => Error::Other(format!("NATS bucket {bucket:?}: {problem}")),
        }
    }

    /// Whether a JetStream domain answers at all.
    async fn gives_sign(&self, domain: &str) -> bool {
        use jetstream::context::AccountErrorKind;
        let context = in_domain(self.lattice.clone(), Some(domain));
        match tokio::time::timeout(SIGN, context.query_account()).await {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => matches!(error.kind(), AccountErrorKind::JetStream(_)),
            Err(_) => false,
        }
    }

    /// A write has that revision: waits until the PoP reads it, where it has a copy.
    async fn written(&self, by: &CallContext, key: &str, revision: u64) {
        if let Some(replica) = &self.replica {
            let until = by.deadline.map(|_| end(by));
            replica.caught_up(key, revision, until).await;
        }
    }

    async fn read(&self, key: &str) -> Result<Option<Bytes>, Error> {
        let value = self.open().await?.store.get(key).await;
        value.map_err(|error| failed(&error))
    }
}

impl Keyvalue for Bucket {
    async fn get(&self, by: &CallContext, bucket: &str, key: &str) -> Result<Option<Bytes>, Error> {
        let key = &encoded(&keys(by, bucket), key)?;
        self.attempt(by, async {
            match &self.replica {
                None => self.read(key).await,
                Some(replica) => replica.get(key, self.read(key)).await,
            }
        })
        .await
    }

    async fn set(
        &self,
        by: &CallContext,
        bucket: &str,
        key: &str,
        value: Bytes,
    ) -> Result<(), Error> {
        let key = &encoded(&keys(by, bucket), key)?;
        let revision = self.attempt(by, async {
            let put = self.open().await?.store.put(key, value).await;
            put.map_err(|error| failed(&error))
        });
        let revision = revision.await?;
        self.written(by, key, revision).await;
        Ok(())
    }

    async fn delete(&self, by: &CallContext, bucket: &str, key: &str) -> Result<(), Error> {
        let key = &encoded(&keys(by, bucket), key)?;
        let revision = self.attempt(by, async { purge(&self.open().await?, key).await });
        let revision = revision.await?;
        self.written(by, key, revision).await;
        Ok(())
    }

    async fn exists(&self, by: &CallContext, bucket: &str, key: &str) -> Result<bool, Error> {
        Ok(self.get(by, bucket, key).await?.is_some())
    }

    async fn list_keys(
        &self,
        by: &CallContext,
        bucket: &str,
        cursor: Option<u64>,
    ) -> Result<KeyResponse, Error> {
        let keys = keys(by, bucket);
        self.attempt(by, async {
            let here = match &self.replica {
                None => None,
                Some(replica) => replica.to_list().await?,
            };
            let store = match here {
                Some(store) => store,
                None => self.open().await?.store,
            };
            let page = listing::page(&store, &keys, cursor).await;
            page.map_err(|error| failed(&*error))
        })
        .await
    }

    async fn increment(
        &self,
        by: &CallContext,
        bucket: &str,
        key: &str,
        delta: u64,
    ) -> Result<u64, Error> {
        let key = &encoded(&keys(by, bucket), key)?;
        // Where it is written, whatever a copy has: the revision that is added to must be the last one.
        let added = self.attempt(by, async {
            let store = self.open().await?.store;
            self.counting.add(&store, key, delta).await
        });
        let (sum, revision) = added.await?;
        self.written(by, key, revision).await;
        Ok(sum)
    }

    async fn get_many(
        &self,
        by: &CallContext,
        bucket: &str,
        wanted: Vec<String>,
    ) -> Result<Vec<Option<(String, Bytes)>>, Error> {
        let get = |key: String| async move {
            let value = self.get(by, bucket, &key).await?;
            Ok(value.map(|value| (key, value)))
        };
        stream::iter(wanted)
            .map(get)
            .buffered(BATCH)
            .try_collect()
            .await
    }

    async fn set_many(
        &self,
        by: &CallContext,
        bucket: &str,
        pairs: Vec<(String, Bytes)>,
    ) -> Result<(), Error> {
        let set =
            |(key, value): (String, Bytes)| async move { self.set(by, bucket, &key, value).await };
        stream::iter(pairs)
            .map(set)
            .buffer_unordered(BATCH)
            .try_collect()
            .await
    }

    async fn delete_many(
        &self,
        by: &CallContext,
        bucket: &str,
        unwanted: Vec<String>,
    ) -> Result<(), Error> {
        let delete = |key: String| async move { self.delete(by, bucket, &key).await };
        stream::iter(unwanted)
            .map(delete)
            .buffer_unordered(BATCH)
            .try_collect()
            .await
    }
}

/// Whether the bucket isn't there, as opposed to that NATS can't say.
fn is_missing(error: &async_nats::jetstream::context::KeyValueError) -> bool {
    use std::error::Error as _;
    let source = error.source();
    let missing =
        source.and_then(|source| source.downcast_ref::<jetstream::context::GetStreamError>());
    missing.is_some_and(|error| match error.kind() {
        jetstream::context::GetStreamErrorKind::JetStream(error) => {
            error.error_code() == jetstream::ErrorCode::STREAM_NOT_FOUND
        }
        _ => false,
    })
}

/// A JetStream domain, or the server's own.
fn in_domain(client: async_nats::Client, domain: Option<&str>) -> Context {
    let builder = ContextBuilder::new().timeout(TIMEOUT);
    match domain {
        None => builder.build(client),
        Some(domain) => builder.domain(domain).build(client),
    }
}

/// When a call's work must have ended, so that its caller hears how.
fn end(by: &CallContext) -> Instant {
    let left = by.deadline.map_or(PATIENCE, |deadline| {
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        left.saturating_sub(WAY_BACK.min(left / 10))
    });
    Instant::now() + left.min(PATIENCE)
}

/// Deletes a key and what it was before, as 1.x does; gives the revision that says so.
async fn purge(bucket: &Opened, key: &str) -> Result<u64, Error> {
    let mut headers = HeaderMap::new();
    headers.insert("KV-Operation", "PURGE");
    headers.insert("Nats-Rollup", "sub");
    let subject = format!("{}{key}", bucket.prefix);
    let purge = bucket
        .context
        .publish_with_headers(subject, headers, Bytes::new());
    let sent = purge.await;
    let ack = sent.map_err(|error| failed(&error))?.await;
    ack.map(|ack| ack.sequence).map_err(|error| failed(&error))
}

/// An error with all its causes.
pub(crate) fn failed(error: &(dyn std::error::Error + 'static)) -> Error {
    let mut causes = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !causes.contains(&cause_text) {
            causes = format!("{causes}: {cause_text}");
        }
        source = cause.source();
    }
    Error::Other(causes)
}

/// A key as NATS has it.
fn encoded(keys: &Keys, key: &str) -> Result<String, Error> {
    keys.encode(key)
        .map_err(|error: TooLong| Error::Other(error.to_string()))
}

/// Where the keys are of what a component calls `bucket`.
fn keys(by: &CallContext, bucket: &str) -> Keys {
    Keys::of(bucket, by.link_name.as_deref().unwrap_or("default"))
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket")
            .field("bucket", &self.settings.bucket)
            .finish_non_exhaustive()
    }
}

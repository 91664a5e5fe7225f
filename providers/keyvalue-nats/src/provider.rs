//! Links to their buckets, and calls to the bucket of their link.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;
use trellis_provider::{
    Health, Lattice, LinkConfig, LinkError, LinkTable, Provider, StartError,
    config::NoConfig,
    contract::LinkKey,
    keyvalue::{self, Error, KeyResponse, Keyvalue},
    rpc::{CallContext, Handler},
};

use crate::{
    bucket::Bucket,
    config::{BucketConfig, Settings},
    keys::Keys,
};

/// How long a bucket may take to open before the provider calls itself unhealthy.
const HEALTH_PATIENCE: Duration = Duration::from_millis(1500);

/// The provider.
pub struct KeyvalueNats {
    own: BucketConfig,
    lattice: Lattice,
    links: LinkTable<Arc<Bucket>>,
    /// One bucket for all links of equal settings, for as long as one of them holds it.
    buckets: Mutex<HashMap<Settings, Weak<Bucket>>>,
}

impl Provider for KeyvalueNats {
    const NAME: &'static str = crate::NAME;
    type Config = BucketConfig;
    type SourceConfig = NoConfig;
    type TargetConfig = BucketConfig;

    async fn start(own: BucketConfig, lattice: Lattice) -> Result<Self, StartError> {
        // A wrong default is better told at once than with the first link.
        own.settings(&BucketConfig::default(), lattice.provider_id())
            .map_err(|error| StartError(format!("the provider's configuration: {error}")))?;
        Ok(Self {
            own,
            lattice,
            links: LinkTable::default(),
            buckets: Mutex::default(),
        })
    }

    fn handler(self: &Arc<Self>) -> Option<Arc<dyn Handler>> {
        Some(keyvalue::handler(self.clone()))
    }

    async fn receive_link_config_as_target(
        &self,
        link: LinkConfig<BucketConfig>,
    ) -> Result<(), LinkError> {
        let settings = link.config.settings(&self.own, &link.source_id);
        let settings = settings.map_err(|error| link.config_error(error.field, error.problem))?;
        tracing::info!(%link, bucket = settings.bucket, "keys of this link are there");
        self.links.put(&link.key(), self.bucket(settings));
        Ok(())
    }

    async fn delete_link_as_target(&self, link: &LinkKey) {
        self.links.remove(link);
    }

    async fn health(&self) -> Health {
        let buckets = self.links.values();
        let opened = buckets.iter().map(|bucket| async move {
            match tokio::time::timeout(HEALTH_PATIENCE, bucket.open()).await {
                Ok(Ok(_)) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some(format!("{bucket:?} does not open")),
            }
        });
        let mut problems: Vec<String> = futures::future::join_all(opened)
            .await
            .into_iter()
            .flatten()
            .collect();
        problems.sort();
        problems.dedup();
        Health {
            healthy: problems.is_empty(),
            message: (!problems.is_empty()).then(|| problems.join("; ")),
        }
    }

    async fn shutdown(&self) {
        // Calls that run hold their buckets themselves.
        self.links.clear();
    }
}

impl KeyvalueNats {
    /// The bucket of those settings, which is there already when another link has it.
    fn bucket(&self, settings: Settings) -> Arc<Bucket> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.retain(|_, bucket| bucket.strong_count() > 0);
        if let Some(bucket) = buckets.get(&settings).and_then(Weak::upgrade) {
            return bucket;
        }
        let bucket = Arc::new(Bucket::new(settings.clone(), self.lattice.nats().clone()));
        buckets.insert(settings, Arc::downgrade(&bucket));
        bucket
    }

    /// The caller's NATS bucket, and where in it the keys are.
    async fn linked(
        &self,
        context: &CallContext,
        bucket: &str,
    ) -> Result<(Arc<Bucket>, Keys), Error> {
        let linked = self.links.get(context).await;
        let linked = linked.map_err(|error| Error::Other(error.to_string()))?;
        let link = context.link_name.as_deref().unwrap_or("default");
        Ok((Arc::clone(&*linked), Keys::of(bucket, link)))
    }
}

impl Keyvalue for KeyvalueNats {
    async fn get(
        &self,
        context: &CallContext,
        bucket: &str,
        key: &str,
    ) -> Result<Option<Bytes>, Error> {
        let (bucket, keys) = self.linked(context, bucket).await?;
        bucket.get(&keys, key).await
    }

    async fn set(
        &self,
        context: &CallContext,
        bucket: &str,
        key: &str,
        value: Bytes,
    ) -> Result<(), Error> {
        let (bucket, keys) = self.linked(context, bucket).await?;
        bucket.set(&keys, key, value).await
    }

    async fn delete(&self, context: &CallContext, bucket: &str, key: &str) -> Result<(), Error> {
        let (bucket, keys) = self.linked(context, bucket).await?;
        bucket.delete(&keys, key).await
    }

    async fn exists(&self, context: &CallContext, bucket: &str, key: &str) -> Result<bool, Error> {
        let (bucket, keys) = self.linked(context, bucket).await?;
        Ok(bucket.get(&keys, key).await?.is_some())
    }

    async fn list_keys(
        &self,
        context: &CallContext,
        bucket: &str,
        cursor: Option<u64>,
    ) -> Result<KeyResponse, Error> {
        let (bucket, keys) = self.linked(context, bucket).await?;
        bucket.list(&keys, cursor).await
    }

    async fn increment(
        &self,
        context: &CallContext,
        bucket: &str,
        key: &str,
        delta: u64,
    ) -> Result<u64, Error> {
        let (bucket, keys) = self.linked(context, bucket).await?;
        bucket.increment(&keys, key, delta).await
    }

    async fn get_many(
        &self,
        context: &CallContext,
        bucket: &str,
        keys: Vec<String>,
    ) -> Result<Vec<Option<(String, Bytes)>>, Error> {
        let (bucket, names) = self.linked(context, bucket).await?;
        bucket.get_many(&names, keys).await
    }

    async fn set_many(
        &self,
        context: &CallContext,
        bucket: &str,
        pairs: Vec<(String, Bytes)>,
    ) -> Result<(), Error> {
        let (bucket, names) = self.linked(context, bucket).await?;
        bucket.set_many(&names, pairs).await
    }

    async fn delete_many(
        &self,
        context: &CallContext,
        bucket: &str,
        keys: Vec<String>,
    ) -> Result<(), Error> {
        let (bucket, names) = self.linked(context, bucket).await?;
        bucket.delete_many(&names, keys).await
    }
}

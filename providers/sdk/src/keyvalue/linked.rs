//! Stores behind links: each call goes to the store of its link.

use std::sync::Arc;

use bytes::Bytes;
use trellis_rpc::CallContext;

use super::{Error, KeyResponse, Keyvalue};
use crate::backend::{Backend, Linked};

/// The store of the call's link.
async fn store<B: Backend>(provider: &Linked<B>, context: &CallContext) -> Result<Arc<B>, Error> {
    let store = provider.linked(context).await;
    store.map_err(|error| Error::Other(error.to_string()))
}

impl<B: Backend + Keyvalue> Keyvalue for Linked<B> {
    async fn get(&self, by: &CallContext, bucket: &str, key: &str) -> Result<Option<Bytes>, Error> {
        store(self, by).await?.get(by, bucket, key).await
    }

    async fn set(
        &self,
        by: &CallContext,
        bucket: &str,
        key: &str,
        value: Bytes,
    ) -> Result<(), Error> {
        store(self, by).await?.set(by, bucket, key, value).await
    }

    async fn delete(&self, by: &CallContext, bucket: &str, key: &str) -> Result<(), Error> {
        store(self, by).await?.delete(by, bucket, key).await
    }

    async fn exists(&self, by: &CallContext, bucket: &str, key: &str) -> Result<bool, Error> {
        store(self, by).await?.exists(by, bucket, key).await
    }

    async fn list_keys(
        &self,
        by: &CallContext,
        bucket: &str,
        cursor: Option<u64>,
    ) -> Result<KeyResponse, Error> {
        store(self, by).await?.list_keys(by, bucket, cursor).await
    }

    async fn increment(
        &self,
        by: &CallContext,
        bucket: &str,
        key: &str,
        delta: u64,
    ) -> Result<u64, Error> {
        let store = store(self, by).await?;
        store.increment(by, bucket, key, delta).await
    }

    async fn get_many(
        &self,
        by: &CallContext,
        bucket: &str,
        keys: Vec<String>,
    ) -> Result<Vec<Option<(String, Bytes)>>, Error> {
        store(self, by).await?.get_many(by, bucket, keys).await
    }

    async fn set_many(
        &self,
        by: &CallContext,
        bucket: &str,
        pairs: Vec<(String, Bytes)>,
    ) -> Result<(), Error> {
        store(self, by).await?.set_many(by, bucket, pairs).await
    }

    async fn delete_many(
        &self,
        by: &CallContext,
        bucket: &str,
        keys: Vec<String>,
    ) -> Result<(), Error> {
        store(self, by).await?.delete_many(by, bucket, keys).await
    }
}

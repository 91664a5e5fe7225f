//! Stores behind links: each call goes to the store of its link.

use std::sync::Arc;

use trellis_rpc::{ByteStream, CallContext};

use super::{Blobstore, ContainerMetadata, Content, Names, ObjectId, ObjectMetadata, Words};
use crate::backend::{Backend, Linked};

/// The store of the call's link.
async fn store<B: Backend>(provider: &Linked<B>, context: &CallContext) -> Result<Arc<B>, Words> {
    let store = provider.linked(context).await;
    store.map_err(|error| error.to_string())
}

impl<B: Backend + Blobstore> Blobstore for Linked<B> {
    async fn create_container(&self, by: &CallContext, name: &str) -> Result<(), Words> {
        store(self, by).await?.create_container(by, name).await
    }

    async fn container_exists(&self, by: &CallContext, name: &str) -> Result<bool, Words> {
        store(self, by).await?.container_exists(by, name).await
    }

    async fn container_info(
        &self,
        by: &CallContext,
        name: &str,
    ) -> Result<ContainerMetadata, Words> {
        store(self, by).await?.container_info(by, name).await
    }

    async fn delete_container(&self, by: &CallContext, name: &str) -> Result<(), Words> {
        store(self, by).await?.delete_container(by, name).await
    }

    async fn clear_container(&self, by: &CallContext, name: &str) -> Result<(), Words> {
        store(self, by).await?.clear_container(by, name).await
    }

    async fn list(
        &self,
        by: &CallContext,
        container: &str,
        offset: u64,
        limit: Option<u64>,
    ) -> Result<Names, Words> {
        store(self, by)
            .await?
            .list(by, container, offset, limit)
            .await
    }

    async fn read(
        &self,
        by: &CallContext,
        id: &ObjectId,
        start: u64,
        end: u64,
    ) -> Result<Content, Words> {
        store(self, by).await?.read(by, id, start, end).await
    }

    async fn write(
        &self,
        by: &CallContext,
        id: &ObjectId,
        content: ByteStream,
    ) -> Result<(), Words> {
        store(self, by).await?.write(by, id, content).await
    }

    async fn object_info(&self, by: &CallContext, id: &ObjectId) -> Result<ObjectMetadata, Words> {
        store(self, by).await?.object_info(by, id).await
    }

    async fn has_object(&self, by: &CallContext, id: &ObjectId) -> Result<bool, Words> {
        store(self, by).await?.has_object(by, id).await
    }

    async fn delete_object(&self, by: &CallContext, id: &ObjectId) -> Result<(), Words> {
        store(self, by).await?.delete_object(by, id).await
    }

    async fn delete_objects(
        &self,
        by: &CallContext,
        container: &str,
        objects: &[String],
    ) -> Result<(), Words> {
        store(self, by)
            .await?
            .delete_objects(by, container, objects)
            .await
    }

    async fn copy(&self, by: &CallContext, src: &ObjectId, dest: &ObjectId) -> Result<(), Words> {
        store(self, by).await?.copy(by, src, dest).await
    }

    async fn rename(&self, by: &CallContext, src: &ObjectId, dest: &ObjectId) -> Result<(), Words> {
        store(self, by).await?.rename(by, src, dest).await
    }
}

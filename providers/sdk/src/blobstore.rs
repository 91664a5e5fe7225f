//! Answering `wasi:blobstore`: a provider implements [`Blobstore`], and [`handler`] makes a handler of it. Where each link
//! leads to a store, [`Linked`](crate::Linked) is the provider, and a store is a [`Backend`](crate::Backend).

mod linked;

use std::{future::Future, sync::Arc};

pub use trellis_rpc::interface::blobstore::{
    ContainerMetadata, Content, Names, ObjectId, ObjectMetadata,
};
use trellis_rpc::{
    ByteStream, CallContext, CallError, Handler, IncomingCall, Outgoing,
    interface::{
        Function,
        blobstore::{
            BLOBSTORE, ClearContainer, ContainerExists, CopyObject, CreateContainer,
            DeleteContainer, DeleteObject, DeleteObjects, GET_CONTAINER_DATA, GetContainerInfo,
            GetObjectInfo, HasObject, LIST_CONTAINER_OBJECTS, ListParams, MoveObject, Outcome,
            RangeParams, Upload, WRITE_CONTAINER_DATA,
        },
    },
};

use crate::answers::{self, unknown_function};

/// What went wrong, in words for the component: the interface has no other errors.
pub type Words = String;

/// Objects in containers, as components see them. The context says who calls, over which link.
pub trait Blobstore: Send + Sync + 'static {
    /// Makes a container; one that is there already is no error.
    fn create_container(
        &self,
        context: &CallContext,
        name: &str,
    ) -> impl Future<Output = Result<(), Words>> + Send;

    /// Whether there is a container of that name.
    fn container_exists(
        &self,
        context: &CallContext,
        name: &str,
    ) -> impl Future<Output = Result<bool, Words>> + Send;

    /// What is known of a container.
    fn container_info(
        &self,
        context: &CallContext,
        name: &str,
    ) -> impl Future<Output = Result<ContainerMetadata, Words>> + Send;

    /// Deletes a container with all that is in it; one that isn't there is no error.
    fn delete_container(
        &self,
        context: &CallContext,
        name: &str,
    ) -> impl Future<Output = Result<(), Words>> + Send;

    /// Deletes all objects of a container.
    fn clear_container(
        &self,
        context: &CallContext,
        name: &str,
    ) -> impl Future<Output = Result<(), Words>> + Send;

    /// The names of a container's objects, in an order that stays the same; without the first `offset`, at most `limit`.
    fn list(
        &self,
        context: &CallContext,
        container: &str,
        offset: u64,
        limit: Option<u64>,
    ) -> impl Future<Output = Result<Names, Words>> + Send;

    /// An object's content from `start` to `end`, both included; `end` may lie past the object's end.
    fn read(
        &self,
        context: &CallContext,
        id: &ObjectId,
        start: u64,
        end: u64,
    ) -> impl Future<Output = Result<Content, Words>> + Send;

    /// Writes an object, new or in place of the old one. Content that breaks off leaves the old one as it was.
    fn write(
        &self,
        context: &CallContext,
        id: &ObjectId,
        content: ByteStream,
    ) -> impl Future<Output = Result<(), Words>> + Send;

    /// What is known of an object.
    fn object_info(
        &self,
        context: &CallContext,
        id: &ObjectId,
    ) -> impl Future<Output = Result<ObjectMetadata, Words>> + Send;

    /// Whether there is an object of that name.
    fn has_object(
        &self,
        context: &CallContext,
        id: &ObjectId,
    ) -> impl Future<Output = Result<bool, Words>> + Send;

    /// Deletes an object; one that isn't there is no error.
    fn delete_object(
        &self,
        context: &CallContext,
        id: &ObjectId,
    ) -> impl Future<Output = Result<(), Words>> + Send;

    /// Deletes several objects.
    fn delete_objects(
        &self,
        context: &CallContext,
        container: &str,
        objects: &[String],
    ) -> impl Future<Output = Result<(), Words>> + Send;

    /// Copies an object, in place of what is there.
    fn copy(
        &self,
        context: &CallContext,
        src: &ObjectId,
        dest: &ObjectId,
    ) -> impl Future<Output = Result<(), Words>> + Send;

    /// Moves an object, in place of what is there.
    fn rename(
        &self,
        context: &CallContext,
        src: &ObjectId,
        dest: &ObjectId,
    ) -> impl Future<Output = Result<(), Words>> + Send;
}

/// A handler that answers the interface `blobstore` from a store.
pub fn handler<T: Blobstore>(store: Arc<T>) -> Arc<dyn Handler> {
    answers::handler(store, answer::<T>)
}

async fn answer<T: Blobstore>(store: Arc<T>, call: IncomingCall) -> Result<Outgoing, CallError> {
    let IncomingCall {
        operation,
        context: by,
        params,
        ..
    } = call;
    if &*operation.instance != BLOBSTORE {
        return Err(unknown_function(&operation, &by));
    }
    Ok(match &*operation.function {
        "create-container" => {
            let name = CreateContainer::decode_params(params)?;
            CreateContainer::answer(&store.create_container(&by, &name).await)
        }
        "container-exists" => {
            let name = ContainerExists::decode_params(params)?;
            ContainerExists::answer(&store.container_exists(&by, &name).await)
        }
        "get-container-info" => {
            let name = GetContainerInfo::decode_params(params)?;
            GetContainerInfo::answer(&store.container_info(&by, &name).await)
        }
        "delete-container" => {
            let name = DeleteContainer::decode_params(params)?;
            DeleteContainer::answer(&store.delete_container(&by, &name).await)
        }
        "clear-container" => {
            let name = ClearContainer::decode_params(params)?;
            ClearContainer::answer(&store.clear_container(&by, &name).await)
        }
        LIST_CONTAINER_OBJECTS => {
            let ListParams {
                container,
                limit,
                offset,
            } = trellis_rpc::codec::from_bytes(params.root)?;
            let names = store.list(&by, &container, offset.unwrap_or_default(), limit);
            Names::into_result(names.await)
        }
        GET_CONTAINER_DATA => {
            let RangeParams { id, start, end } = trellis_rpc::codec::from_bytes(params.root)?;
            Content::into_result(store.read(&by, &id, start, end).await)
        }
        WRITE_CONTAINER_DATA => {
            let Upload { id, content } = Upload::from_params(params)?;
            // While the caller waits for the outcome, which may be long after it sent the last byte.
            let write = async move { Ok(store.write(&by, &id, content).await) };
            Outcome(Box::pin(write)).into_result()
        }
        "get-object-info" => {
            let id = GetObjectInfo::decode_params(params)?;
            GetObjectInfo::answer(&store.object_info(&by, &id).await)
        }
        "has-object" => {
            let id = HasObject::decode_params(params)?;
            HasObject::answer(&store.has_object(&by, &id).await)
        }
        "delete-object" => {
            let id = DeleteObject::decode_params(params)?;
            DeleteObject::answer(&store.delete_object(&by, &id).await)
        }
        "delete-objects" => {
            let params = DeleteObjects::decode_params(params)?;
            let deleted = store.delete_objects(&by, &params.container, &params.objects);
            DeleteObjects::answer(&deleted.await)
        }
        "copy-object" => {
            let params = CopyObject::decode_params(params)?;
            CopyObject::answer(&store.copy(&by, &params.src, &params.dest).await)
        }
        "move-object" => {
            let params = MoveObject::decode_params(params)?;
            MoveObject::answer(&store.rename(&by, &params.src, &params.dest).await)
        }
        _ => return Err(unknown_function(&operation, &by)),
    })
}

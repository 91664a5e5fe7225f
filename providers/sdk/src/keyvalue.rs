//! Answering `wasi:keyvalue`: a provider implements [`Keyvalue`], and [`handler`] makes a handler of it. Where each link
//! leads to a store, [`Linked`](crate::Linked) is the provider, and a store is a [`Backend`](crate::Backend); where a store
//! can tell what changes in it, [`Watched`] is the provider, and a store a [`Watch`], too.

mod linked;
mod pattern;
mod watch;
mod watched;

use std::{future::Future, sync::Arc};

use bytes::Bytes;
pub use pattern::KeyPattern;
pub use trellis_rpc::interface::keyvalue::{Error, KeyResponse};
use trellis_rpc::{
    CallContext, CallError, Handler, IncomingCall, Outgoing,
    interface::{
        Function,
        keyvalue::{
            ATOMICS, BATCH, Delete, DeleteMany, Exists, Get, GetMany, Increment, ListKeys, STORE,
            Set, SetMany,
        },
    },
};
pub use watch::{Changed, Changes, Watch};
pub use watched::Watched;

use crate::answers::{self, unknown_function};

/// A key-value store, as components see it. `bucket` is the name that the component opened, `default` by habit; the
/// context says who calls, over which link.
///
/// An error is the interface's own and reaches the component as such.
pub trait Keyvalue: Send + Sync + 'static {
    /// A key's value, if it has one.
    fn get(
        &self,
        context: &CallContext,
        bucket: &str,
        key: &str,
    ) -> impl Future<Output = Result<Option<Bytes>, Error>> + Send;

    /// Sets a key's value.
    fn set(
        &self,
        context: &CallContext,
        bucket: &str,
        key: &str,
        value: Bytes,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Deletes a key; one that isn't there is no error.
    fn delete(
        &self,
        context: &CallContext,
        bucket: &str,
        key: &str,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Whether a key has a value.
    fn exists(
        &self,
        context: &CallContext,
        bucket: &str,
        key: &str,
    ) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Some keys, and where to go on if there are more.
    fn list_keys(
        &self,
        context: &CallContext,
        bucket: &str,
        cursor: Option<u64>,
    ) -> impl Future<Output = Result<KeyResponse, Error>> + Send;

    /// Adds to a number, which is 0 where there is none, and gives the sum, in one step that no other can come between.
    fn increment(
        &self,
        context: &CallContext,
        bucket: &str,
        key: &str,
        delta: u64,
    ) -> impl Future<Output = Result<u64, Error>> + Send;

    /// The values of several keys, in their order; a key without one is `None`.
    fn get_many(
        &self,
        context: &CallContext,
        bucket: &str,
        keys: Vec<String>,
    ) -> impl Future<Output = Result<Vec<Option<(String, Bytes)>>, Error>> + Send;

    /// Sets several keys.
    fn set_many(
        &self,
        context: &CallContext,
        bucket: &str,
        pairs: Vec<(String, Bytes)>,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Deletes several keys.
    fn delete_many(
        &self,
        context: &CallContext,
        bucket: &str,
        keys: Vec<String>,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// A handler that answers the interfaces `store`, `atomics` and `batch` from a store.
pub fn handler<T: Keyvalue>(store: Arc<T>) -> Arc<dyn Handler> {
    answers::handler(store, answer::<T>)
}

async fn answer<T: Keyvalue>(store: Arc<T>, call: IncomingCall) -> Result<Outgoing, CallError> {
    let IncomingCall {
        operation,
        context: by,
        params,
        ..
    } = call;
    Ok(match (&*operation.instance, &*operation.function) {
        (STORE, "get") => {
            let params = Get::decode_params(params)?;
            Get::answer(&store.get(&by, &params.bucket, &params.key).await)
        }
        (STORE, "set") => {
            let params = Set::decode_params(params)?;
            Set::answer(
                &store
                    .set(&by, &params.bucket, &params.key, params.value)
                    .await,
            )
        }
        (STORE, "delete") => {
            let params = Delete::decode_params(params)?;
            Delete::answer(&store.delete(&by, &params.bucket, &params.key).await)
        }
        (STORE, "exists") => {
            let params = Exists::decode_params(params)?;
            Exists::answer(&store.exists(&by, &params.bucket, &params.key).await)
        }
        (STORE, "list-keys") => {
            let params = ListKeys::decode_params(params)?;
            ListKeys::answer(&store.list_keys(&by, &params.bucket, params.cursor).await)
        }
        (ATOMICS, "increment") => {
            let params = Increment::decode_params(params)?;
            let sum = store.increment(&by, &params.bucket, &params.key, params.delta);
            Increment::answer(&sum.await)
        }
        (BATCH, "get-many") => {
            let params = GetMany::decode_params(params)?;
            GetMany::answer(&store.get_many(&by, &params.bucket, params.keys).await)
        }
        (BATCH, "set-many") => {
            let params = SetMany::decode_params(params)?;
            SetMany::answer(&store.set_many(&by, &params.bucket, params.key_values).await)
        }
        (BATCH, "delete-many") => {
            let params = DeleteMany::decode_params(params)?;
            DeleteMany::answer(&store.delete_many(&by, &params.bucket, params.keys).await)
        }
        _ => return Err(unknown_function(&operation, &by)),
    })
}

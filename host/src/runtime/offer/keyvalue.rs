//! `wasi:keyvalue`: over the actor's link to a store's provider. A bucket is only a name here; on the wire the name
//! stands in its place, so opening one asks nobody (`wasmcloud-v1.md`, Invocation).

use trellis_rpc::{
    CallError,
    interface::{
        Function,
        keyvalue::{
            self as wire, Delete, DeleteMany, Exists, Get, GetMany, Increment, IncrementParams,
            KeyParams, KeysParams, ListKeys, ListParams, Set, SetMany, SetManyParams, SetParams,
        },
    },
};
use wasmtime::component::{HasSelf, Linker, Resource};

use crate::runtime::{interface::Typed, state::CallState};

mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit/wasi-keyvalue",
        world: "wasi:keyvalue/imports",
        imports: { default: async | trappable },
        with: { "wasi:keyvalue/store.bucket": super::Bucket },
    });
}

use bindings::wasi::keyvalue::{atomics, batch, store};

/// A bucket that a guest opened, or was given with what changed in it.
pub struct Bucket {
    name: String,
}

impl Bucket {
    /// The bucket of that name.
    pub(in crate::runtime) fn named(name: String) -> Self {
        Self { name }
    }
}

/// Offers it.
pub(super) fn add_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    store::add_to_linker::<_, HasSelf<CallState>>(linker, |state| state)?;
    atomics::add_to_linker::<_, HasSelf<CallState>>(linker, |state| state)?;
    batch::add_to_linker::<_, HasSelf<CallState>>(linker, |state| state)
}

type Answer<T> = wasmtime::Result<Result<T, store::Error>>;

impl CallState {
    fn bucket(&self, bucket: &Resource<Bucket>) -> wasmtime::Result<String> {
        Ok(self.table.get(bucket)?.name.clone())
    }

    /// Asks the provider. What goes wrong on the way is an error of the store to the guest, which can handle it.
    fn ask<F, T>(
        &self,
        typed: Typed,
        params: F::Params,
    ) -> impl Future<Output = Answer<T>> + Send + use<F, T>
    where
        F: Function<Result = Result<T, wire::Error>>,
        F::Params: Sync,
        T: Send,
    {
        let way = self.scope.call_out(typed as usize);
        async move {
            let asked: Result<F::Result, CallError> = async {
                let (link, context) = way?;
                F::call(&*link.route, context, &params).await
            }
            .await;
            Ok(match asked {
                Ok(Ok(value)) => Ok(value),
                Ok(Err(wire::Error::NoSuchStore)) => Err(store::Error::NoSuchStore),
                Ok(Err(wire::Error::AccessDenied)) => Err(store::Error::AccessDenied),
                Ok(Err(wire::Error::Other(reason))) => Err(store::Error::Other(reason)),
                Err(error) => Err(store::Error::Other(error.to_string())),
            })
        }
    }
}

impl store::Host for CallState {
    async fn open(&mut self, identifier: String) -> Answer<Resource<Bucket>> {
        Ok(Ok(self.table.push(Bucket::named(identifier))?))
    }
}

impl store::HostBucket for CallState {
    async fn get(&mut self, bucket: Resource<Bucket>, key: String) -> Answer<Option<Vec<u8>>> {
        let params = KeyParams {
            bucket: self.bucket(&bucket)?,
            key,
        };
        let value = self.ask::<Get, _>(Typed::KeyvalueStore, params).await?;
        Ok(value.map(|value| value.map(Into::into)))
    }

    async fn set(&mut self, bucket: Resource<Bucket>, key: String, value: Vec<u8>) -> Answer<()> {
        let params = SetParams {
            bucket: self.bucket(&bucket)?,
            key,
            value: value.into(),
        };
        self.ask::<Set, _>(Typed::KeyvalueStore, params).await
    }

    async fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> Answer<()> {
        let params = KeyParams {
            bucket: self.bucket(&bucket)?,
            key,
        };
        self.ask::<Delete, _>(Typed::KeyvalueStore, params).await
    }

    async fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> Answer<bool> {
        let params = KeyParams {
            bucket: self.bucket(&bucket)?,
            key,
        };
        self.ask::<Exists, _>(Typed::KeyvalueStore, params).await
    }

    async fn list_keys(
        &mut self,
        bucket: Resource<Bucket>,
        cursor: Option<u64>,
    ) -> Answer<store::KeyResponse> {
        let params = ListParams {
            bucket: self.bucket(&bucket)?,
            cursor,
        };
        let page = self
            .ask::<ListKeys, _>(Typed::KeyvalueStore, params)
            .await?;
        Ok(page.map(|wire::KeyResponse { keys, cursor }| store::KeyResponse { keys, cursor }))
    }

    async fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for CallState {
    async fn increment(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        delta: u64,
    ) -> Answer<u64> {
        let params = IncrementParams {
            bucket: self.bucket(&bucket)?,
            key,
            delta,
        };
        self.ask::<Increment, _>(Typed::KeyvalueAtomics, params)
            .await
    }
}

impl batch::Host for CallState {
    async fn get_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Answer<Vec<Option<(String, Vec<u8>)>>> {
        let params = KeysParams {
            bucket: self.bucket(&bucket)?,
            keys,
        };
        let found = self.ask::<GetMany, _>(Typed::KeyvalueBatch, params).await?;
        Ok(found.map(|found| {
            found
                .into_iter()
                .map(|pair| pair.map(|(key, value)| (key, value.into())))
                .collect()
        }))
    }

    async fn set_many(
        &mut self,
        bucket: Resource<Bucket>,
        key_values: Vec<(String, Vec<u8>)>,
    ) -> Answer<()> {
        let key_values = key_values
            .into_iter()
            .map(|(key, value)| (key, value.into()))
            .collect();
        let params = SetManyParams {
            bucket: self.bucket(&bucket)?,
            key_values,
        };
        self.ask::<SetMany, _>(Typed::KeyvalueBatch, params).await
    }

    async fn delete_many(&mut self, bucket: Resource<Bucket>, keys: Vec<String>) -> Answer<()> {
        let params = KeysParams {
            bucket: self.bucket(&bucket)?,
            keys,
        };
        self.ask::<DeleteMany, _>(Typed::KeyvalueBatch, params)
            .await
    }
}

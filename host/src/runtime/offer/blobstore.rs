//! `wasi:blobstore`: over the actor's link to a store's provider. A container is only a name here; content streams between
//! guest and provider, and nothing is held whole.
//!
//! - `outgoing`: objects that a guest writes.
//! - `incoming`: objects and listings that it reads.

mod incoming;
mod outgoing;

use std::sync::Arc;

use trellis_rpc::{
    Call, CallContext, CallError, Incoming, Operation, Outgoing,
    codec::to_bytes,
    interface::{
        Function,
        blobstore::{
            self as wire, BLOBSTORE, ClearContainer, ContainerExists, Content, CopyObject,
            CreateContainer, DeleteContainer, DeleteObject, DeleteObjects, FromTo,
            GET_CONTAINER_DATA, GetContainerInfo, GetObjectInfo, HasObject, LIST_CONTAINER_OBJECTS,
            ListParams, MoveObject, Names, ObjectId, ObjectsParams, Outcome, RangeParams, Upload,
            WRITE_CONTAINER_DATA,
        },
    },
};
use wasmtime::component::{HasSelf, Linker, Resource};

use self::{
    incoming::{IncomingValue, ObjectNames},
    outgoing::OutgoingValue,
};
use crate::{
    links::Filled,
    runtime::{interface::Typed, state::CallState},
};

mod bindings {
    wasmtime::component::bindgen!({
        path: ["../wit/wasi-io", "../wit/wasi-blobstore"],
        world: "wasi:blobstore/imports",
        imports: { default: async | trappable },
        with: {
            "wasi:io": wasmtime_wasi::p2::bindings::io,
            "wasi:blobstore/types.outgoing-value": super::outgoing::OutgoingValue,
            "wasi:blobstore/types.incoming-value": super::incoming::IncomingValue,
            "wasi:blobstore/container.container": super::Container,
            "wasi:blobstore/container.stream-object-names": super::incoming::ObjectNames,
        },
    });
}

use bindings::wasi::blobstore::{blobstore, container, types};

/// A container that a guest opened.
pub struct Container {
    name: String,
}

/// Offers it.
pub(super) fn add_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    types::add_to_linker::<_, HasSelf<CallState>>(linker, |state| state)?;
    container::add_to_linker::<_, HasSelf<CallState>>(linker, |state| state)?;
    blobstore::add_to_linker::<_, HasSelf<CallState>>(linker, |state| state)
}

/// What a guest is told: what went wrong on the way is an error of the store to it, which it can handle.
type Answer<T> = wasmtime::Result<Result<T, String>>;

/// Where calls go, and what travels with them.
type Way = Result<(Arc<Filled>, CallContext), CallError>;

/// Calls a function whose values stream.
async fn send(way: Way, function: &'static str, params: Outgoing) -> Result<Incoming, CallError> {
    let (link, context) = way?;
    let call = Call {
        operation: Operation::new(BLOBSTORE, function),
        context,
        params,
    };
    link.route.call(call).await
}

/// As guests have it: what the call and what the provider says.
fn told<T>(answer: Result<Result<T, String>, CallError>) -> Result<T, String> {
    answer.unwrap_or_else(|error| Err(error.to_string()))
}

impl CallState {
    fn blobs(&self) -> Way {
        self.scope.call_out(Typed::Blobstore as usize)
    }

    fn container(&self, container: &Resource<Container>) -> wasmtime::Result<String> {
        Ok(self.table.get(container)?.name.clone())
    }

    fn object(
        &self,
        container: &Resource<Container>,
        object: String,
    ) -> wasmtime::Result<ObjectId> {
        let container = self.container(container)?;
        Ok(ObjectId { container, object })
    }

    /// Asks the provider.
    fn ask_blobs<F, T>(
        &self,
        params: F::Params,
    ) -> impl Future<Output = Result<T, String>> + Send + use<F, T>
    where
        F: Function<Result = Result<T, String>>,
        F::Params: Sync,
        T: Send,
    {
        let way = self.blobs();
        async move {
            let asked = async {
                let (link, context) = way?;
                F::call(&*link.route, context, &params).await
            };
            told(asked.await)
        }
    }

    fn opened(&mut self, name: String) -> wasmtime::Result<Resource<Container>> {
        Ok(self.table.push(Container { name })?)
    }
}

impl blobstore::Host for CallState {
    async fn create_container(&mut self, name: String) -> Answer<Resource<Container>> {
        let created = self.ask_blobs::<CreateContainer, _>(name.clone()).await;
        match created {
            Ok(()) => Ok(Ok(self.opened(name)?)),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn get_container(&mut self, name: String) -> Answer<Resource<Container>> {
        match self.ask_blobs::<ContainerExists, _>(name.clone()).await {
            Ok(true) => Ok(Ok(self.opened(name)?)),
            Ok(false) => Ok(Err(format!("there is no container {name:?}"))),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn delete_container(&mut self, name: String) -> Answer<()> {
        Ok(self.ask_blobs::<DeleteContainer, _>(name).await)
    }

    async fn container_exists(&mut self, name: String) -> Answer<bool> {
        Ok(self.ask_blobs::<ContainerExists, _>(name).await)
    }

    async fn copy_object(&mut self, src: types::ObjectId, dest: types::ObjectId) -> Answer<()> {
        Ok(self.ask_blobs::<CopyObject, _>(from_to(src, dest)).await)
    }

    async fn move_object(&mut self, src: types::ObjectId, dest: types::ObjectId) -> Answer<()> {
        Ok(self.ask_blobs::<MoveObject, _>(from_to(src, dest)).await)
    }
}

fn from_to(src: types::ObjectId, dest: types::ObjectId) -> FromTo {
    let id = |types::ObjectId { container, object }| ObjectId { container, object };
    FromTo {
        src: id(src),
        dest: id(dest),
    }
}

impl container::Host for CallState {}

impl container::HostContainer for CallState {
    async fn name(&mut self, container: Resource<Container>) -> Answer<String> {
        Ok(Ok(self.container(&container)?))
    }

    async fn info(&mut self, container: Resource<Container>) -> Answer<types::ContainerMetadata> {
        let name = self.container(&container)?;
        let info = self.ask_blobs::<GetContainerInfo, _>(name.clone()).await;
        Ok(info.map(
            |wire::ContainerMetadata { created_at }| types::ContainerMetadata { name, created_at },
        ))
    }

    async fn get_data(
        &mut self,
        container: Resource<Container>,
        name: String,
        start: u64,
        end: u64,
    ) -> Answer<Resource<IncomingValue>> {
        let id = self.object(&container, name)?;
        let range = RangeParams { id, start, end };
        let params = Outgoing::unary(to_bytes(&range));
        let answer = send(self.blobs(), GET_CONTAINER_DATA, params).await;
        Ok(match told(answer.and_then(Content::from_result)) {
            Ok(Content(content)) => Ok(self.table.push(IncomingValue { range, content })?),
            Err(error) => Err(error),
        })
    }

    async fn write_data(
        &mut self,
        container: Resource<Container>,
        name: String,
        data: Resource<OutgoingValue>,
    ) -> Answer<()> {
        let id = self.object(&container, name)?;
        let Some(content) = self.table.get_mut(&data)?.take_content() else {
            return Ok(Err("this value is being written already".into()));
        };
        let params = Upload { id, content }.into_params();
        let answer = send(self.blobs(), WRITE_CONTAINER_DATA, params).await;
        Ok(match told(answer.and_then(Outcome::from_result)) {
            Ok(outcome) => {
                self.table.get_mut(&data)?.outcome = Some(outcome);
                Ok(())
            }
            Err(error) => Err(error),
        })
    }

    async fn list_objects(
        &mut self,
        container: Resource<Container>,
    ) -> Answer<Resource<ObjectNames>> {
        let params = ListParams {
            container: self.container(&container)?,
            limit: None,
            offset: None,
        };
        let params = Outgoing::unary(to_bytes(&params));
        let answer = send(self.blobs(), LIST_CONTAINER_OBJECTS, params).await;
        Ok(match told(answer.and_then(Names::from_result)) {
            Ok(names) => Ok(self.table.push(ObjectNames::new(names))?),
            Err(error) => Err(error),
        })
    }

    async fn delete_object(&mut self, container: Resource<Container>, name: String) -> Answer<()> {
        let id = self.object(&container, name)?;
        Ok(self.ask_blobs::<DeleteObject, _>(id).await)
    }

    async fn delete_objects(
        &mut self,
        container: Resource<Container>,
        objects: Vec<String>,
    ) -> Answer<()> {
        let container = self.container(&container)?;
        let params = ObjectsParams { container, objects };
        Ok(self.ask_blobs::<DeleteObjects, _>(params).await)
    }

    async fn has_object(&mut self, container: Resource<Container>, name: String) -> Answer<bool> {
        let id = self.object(&container, name)?;
        Ok(self.ask_blobs::<HasObject, _>(id).await)
    }

    async fn object_info(
        &mut self,
        container: Resource<Container>,
        name: String,
    ) -> Answer<types::ObjectMetadata> {
        let id = self.object(&container, name)?;
        let info = self.ask_blobs::<GetObjectInfo, _>(id.clone()).await;
        Ok(info.map(
            |wire::ObjectMetadata { created_at, size }| types::ObjectMetadata {
                name: id.object,
                container: id.container,
                created_at,
                size,
            },
        ))
    }

    async fn clear(&mut self, container: Resource<Container>) -> Answer<()> {
        let name = self.container(&container)?;
        Ok(self.ask_blobs::<ClearContainer, _>(name).await)
    }

    async fn drop(&mut self, container: Resource<Container>) -> wasmtime::Result<()> {
        self.table.delete(container)?;
        Ok(())
    }
}

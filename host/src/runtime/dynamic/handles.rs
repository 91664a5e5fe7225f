//! Resources between actors: what travels is an opaque handle.
//!
//! A handle that an actor got from elsewhere is kept in its store and sent back as it came. A resource that an actor
//! made stays in the store it was made in; its handle has the store's token and a number in it, so that only whoever
//! was given the handle can use it, and only where the resource is.

use std::collections::HashMap;

use bytes::{BufMut as _, Bytes, BytesMut};
use trellis_rpc::{ByteStream, CallError, Channels, Path};
use wasmtime::{
    StoreContextMut,
    component::{Resource, ResourceAny, ResourceDynamic},
};
use wasmtime_wasi::p2::DynInputStream;

use super::{
    decode::Incoming,
    encode::Outgoing,
    reflect::Origin,
    stream::{self, Content},
};
use crate::runtime::state::CallState;

/// How many handles of each kind one store holds.
const MAX_HANDLES: usize = 10_000;

/// The resources that cross one store's border.
#[derive(Default)]
pub(in crate::runtime) struct Handles {
    /// Others' resources, by the number that the guest knows them by.
    remote: HashMap<u32, Remote>,
    next_remote: u32,
    /// Resources of our own that others hold.
    held: HashMap<u64, ResourceAny>,
    next_held: u64,
    /// Which store this is, in the handles that it gives out.
    token: u64,
    /// Remote resources that the guest owned and dropped: their owner is yet to be told.
    released: Vec<Released>,
}

struct Remote {
    bytes: Bytes,
    resource: u32,
    owned: bool,
}

/// A remote resource that is no longer used here.
pub(in crate::runtime) struct Released {
    /// The handle.
    pub(in crate::runtime) bytes: Bytes,
    /// Its type number.
    pub(in crate::runtime) resource: u32,
}

impl Handles {
    /// For a store that holds resources for others, under that token.
    pub(in crate::runtime) fn with_token(token: u64) -> Self {
        Self {
            token,
            ..Self::default()
        }
    }

    /// Forgets a remote resource because the guest dropped it.
    pub(in crate::runtime) fn drop_remote(&mut self, number: u32) {
        if let Some(Remote {
            bytes,
            resource,
            owned: true,
        }) = self.remote.remove(&number)
        {
            self.released.push(Released { bytes, resource });
        }
    }

    /// Takes what is to be told to the owners of remote resources. With `ended`, the guest is gone and so is all it owned.
    pub(in crate::runtime) fn take_released(&mut self, ended: bool) -> Vec<Released> {
        let mut released = std::mem::take(&mut self.released);
        if ended {
            let left = self
                .remote
                .drain()
                .map(|(_, remote)| remote)
                .filter(|remote| remote.owned);
            released.extend(left.map(
                |Remote {
                     bytes, resource, ..
                 }| Released { bytes, resource },
            ));
        }
        released
    }

    /// Takes back a resource of our own, for dropping it.
    pub(in crate::runtime) fn take_held(&mut self, handle: &[u8]) -> Option<ResourceAny> {
        let (token, number) = parse(handle)?;
        if token == self.token {
            self.held.remove(&number)
        } else {
            None
        }
    }

    /// Whether nobody holds anything of this store.
    pub(in crate::runtime) fn holds_nothing(&self) -> bool {
        self.held.is_empty()
    }

    fn keep_remote(&mut self, bytes: Bytes, resource: u32, owned: bool) -> Result<u32, CallError> {
        check_room(self.remote.len())?;
        let number = self.next_remote;
        self.next_remote = self.next_remote.wrapping_add(1);
        self.remote.insert(
            number,
            Remote {
                bytes,
                resource,
                owned,
            },
        );
        Ok(number)
    }

    fn keep_held(&mut self, resource: ResourceAny) -> Result<Bytes, CallError> {
        check_room(self.held.len())?;
        // Numbers are never used twice, so an old handle cannot reach a newer resource.
        self.next_held += 1;
        self.held.insert(self.next_held, resource);
        let mut handle = BytesMut::with_capacity(HANDLE_BYTES);
        handle.put_u64(self.token);
        handle.put_u64(self.next_held);
        Ok(handle.freeze())
    }
}

const HANDLE_BYTES: usize = 16;

fn check_room(used: usize) -> Result<(), CallError> {
    if used < MAX_HANDLES {
        return Ok(());
    }
    Err(CallError::Overloaded(format!(
        "{MAX_HANDLES} resources are held already; drop some"
    )))
}

/// A handle of an actor's own resource: its store's token, and its number there.
fn parse(handle: &[u8]) -> Option<(u64, u64)> {
    let (token, number) = handle.split_first_chunk::<8>()?;
    Some((
        u64::from_be_bytes(*token),
        u64::from_be_bytes(number.try_into().ok()?),
    ))
}

/// Which store a handle of an actor's own resource belongs to.
pub(in crate::runtime) fn token(handle: &[u8]) -> Option<u64> {
    parse(handle).map(|(token, _)| token)
}

/// A store as the values of a call go in and out of it.
pub(in crate::runtime) struct Border<'a> {
    store: StoreContextMut<'a, CallState>,
    /// Where the streams come in that arrive.
    arriving: Channels,
    /// Those that go out.
    leaving: Vec<(Path, ByteStream)>,
}

impl<'a> Border<'a> {
    /// For values that go out.
    pub(in crate::runtime) fn out_of(store: StoreContextMut<'a, CallState>) -> Self {
        Self::into(store, Channels::none())
    }

    /// For values that come in with those streams.
    pub(in crate::runtime) fn into(
        store: StoreContextMut<'a, CallState>,
        arriving: Channels,
    ) -> Self {
        Self {
            store,
            arriving,
            leaving: Vec::new(),
        }
    }

    /// The store again, and the streams that go out with the values.
    pub(in crate::runtime) fn crossed(
        self,
    ) -> (StoreContextMut<'a, CallState>, Vec<(Path, ByteStream)>) {
        (self.store, self.leaving)
    }

    fn origin(&self, name: &str) -> Result<Origin, CallError> {
        match self.store.data().scope.actor.module.resources.find(name) {
            Some(resource) => Ok(resource.origin),
            None => Err(CallError::Malformed(format!("unknown resource {name}"))),
        }
    }
}

impl Outgoing for Border<'_> {
    fn handle(&mut self, resource: ResourceAny, name: &str, own: bool) -> Result<Bytes, CallError> {
        match self.origin(name)? {
            Origin::Imported(_) => {
                let number = resource
                    .try_into_resource_dynamic(&mut self.store)
                    .map_err(malformed)?
                    .rep();
                let remote = &mut self.store.data_mut().handles.remote;
                let bytes = if own {
                    remote.remove(&number).map(|remote| remote.bytes)
                } else {
                    remote.get(&number).map(|remote| remote.bytes.clone())
                };
                bytes.ok_or_else(|| {
                    CallError::Malformed(format!("a {name} that was given away before"))
                })
            }
            Origin::Exported => self.store.data_mut().handles.keep_held(resource),
            Origin::BuiltIn => Err(CallError::Malformed(format!("{name} cannot travel"))),
        }
    }

    fn stream(&mut self, resource: ResourceAny, path: &[u32]) -> Result<(), CallError> {
        let resource: Resource<DynInputStream> = resource
            .try_into_resource(&mut self.store)
            .map_err(malformed)?;
        let stream = self.store.data_mut().table.delete(resource);
        let stream = stream.map_err(|error| {
            CallError::Malformed(format!(
                "an input-stream is given away while it is still in use ({error}): drop what it was subscribed to first"
            ))
        })?;
        self.leaving.push((path.into(), stream::for_wire(stream)));
        Ok(())
    }
}

impl Incoming for Border<'_> {
    fn resource(&mut self, handle: Bytes, name: &str, own: bool) -> Result<ResourceAny, CallError> {
        match self.origin(name)? {
            Origin::Imported(resource) => {
                let number = self
                    .store
                    .data_mut()
                    .handles
                    .keep_remote(handle, resource, own)?;
                let made = if own {
                    ResourceDynamic::new_own(number, resource)
                } else {
                    ResourceDynamic::new_borrow(number, resource)
                };
                made.try_into_resource_any(&mut self.store)
                    .map_err(malformed)
            }
            Origin::Exported => {
                let handles = &mut self.store.data_mut().handles;
                let found = match parse(&handle) {
                    Some((token, number)) if token == handles.token => {
                        if own {
                            handles.held.remove(&number)
                        } else {
                            handles.held.get(&number).copied()
                        }
                    }
                    _ => None,
                };
                found.ok_or_else(|| {
                    CallError::Failed(format!(
                        "no such {name} here: it was dropped, given away, or its actor restarted"
                    ))
                })
            }
            Origin::BuiltIn => Err(CallError::Malformed(format!("{name} cannot travel"))),
        }
    }

    fn stream(&mut self, whole: Option<Bytes>, path: &[u32]) -> Result<ResourceAny, CallError> {
        let content = match whole {
            Some(bytes) => Content::Whole(bytes),
            None => Content::Channel(self.arriving.take(path).ok_or_else(|| {
                CallError::Malformed("a stream is to come, and there is no channel for it".into())
            })?),
        };
        let table = &mut self.store.data_mut().table;
        let resource = table.push(stream::for_guest(content)).map_err(|_| {
            CallError::Overloaded("too many streams and other resources are open; drop some".into())
        })?;
        resource
            .try_into_resource_any(&mut self.store)
            .map_err(malformed)
    }
}

fn malformed(error: wasmtime::Error) -> CallError {
    CallError::Malformed(format!("{error:#}"))
}

//! Exports that deal in the actor's own resources. Such a resource lives in an instance, so the instance outlives the
//! call that made it: one for each caller, one call at a time, until the caller dropped all that it held there or used
//! none of it for a while. A trap ends the instance and what it held, that of one caller only.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::AbortOnDropHandle;
use trellis_rpc::{
    Call, CallContext, CallError, IncomingCall, Operation, Outgoing,
    codec::{Limits, from_bytes, to_bytes},
    value::{Ty, Value},
};
use wasmtime::{Store, component::Instance};

use super::dynamic::{invoke, read_params};
use crate::runtime::{
    Actor,
    actor::Shared,
    dynamic::{
        handles::{Handles, Released, token},
        reflect::{Origin, Resources},
    },
    failure::explain,
    interface::Typed,
    module::{Export, RESOURCE_DROP},
    scope::Scope,
    state::{CallState, new_store},
};

/// How long an owner may take to hear of a dropped resource.
const TELL_DEADLINE: Duration = Duration::from_secs(5);

/// The instances of an actor that hold resources for others.
#[derive(Clone)]
pub(in crate::runtime) struct Owners {
    table: Arc<Mutex<HashMap<u64, Entry>>>,
    limit: usize,
    idle: Duration,
}

struct Entry {
    owner: Arc<Owner>,
    /// Who calls: another caller's resources are in another instance.
    source: Option<Arc<str>>,
    _sweeper: AbortOnDropHandle<()>,
}

/// One instance that holds resources.
struct Owner {
    token: u64,
    used: Mutex<Instant>,
    /// Taken out while a call runs: one that is cut off takes the instance, which is unfit then, with it.
    living: tokio::sync::Mutex<Option<Living>>,
}

struct Living {
    store: Store<CallState>,
    instance: Instance,
    /// Its place in the pool.
    _pooled: OwnedSemaphorePermit,
}

impl Owners {
    pub(in crate::runtime) fn new(limit: usize, idle: Duration) -> Self {
        Self {
            table: Arc::default(),
            limit,
            idle,
        }
    }

    /// How many instances there are.
    pub(in crate::runtime) fn len(&self) -> usize {
        self.table().len()
    }

    /// Ends all instances that no call is using.
    pub(in crate::runtime) fn clear(&self) {
        self.table().clear();
    }

    fn table(&self) -> MutexGuard<'_, HashMap<u64, Entry>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn by_token(&self, token: u64) -> Option<Arc<Owner>> {
        self.table().get(&token).map(|entry| entry.owner.clone())
    }

    fn by_source(&self, source: Option<&Arc<str>>) -> Result<Arc<Owner>, CallError> {
        let mut table = self.table();
        if let Some(entry) = table.values().find(|entry| entry.source.as_ref() == source) {
            return Ok(entry.owner.clone());
        }
        if table.len() >= self.limit {
            return Err(CallError::Overloaded(format!(
                "{} callers hold resources of this actor already",
                table.len()
            )));
        }
        let token = rand::random();
        let owner = Arc::new(Owner {
            token,
            used: Mutex::new(Instant::now()),
            living: tokio::sync::Mutex::new(None),
        });
        let sweeper = AbortOnDropHandle::new(tokio::spawn(self.clone().sweep(owner.clone())));
        table.insert(
            token,
            Entry {
                owner: owner.clone(),
                source: source.cloned(),
                _sweeper: sweeper,
            },
        );
        Ok(owner)
    }

    fn remove(&self, token: u64) {
        // Dropped after the lock is given back: the sweeper's end and the store's may take a moment.
        let removed = self.table().remove(&token);
        drop(removed);
    }

    /// Ends an instance that was not used for long.
    async fn sweep(self, owner: Arc<Owner>) {
        loop {
            let idle_at = *owner.used() + self.idle;
            if Instant::now() >= idle_at {
                break;
            }
            tokio::time::sleep_until(idle_at.into()).await;
        }
        drop(owner.living.lock().await.take());
        self.remove(owner.token);
    }
}

impl Owner {
    fn used(&self) -> MutexGuard<'_, Instant> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers one call in the instance that holds its resources, or that will.
pub(in crate::runtime) async fn handle(
    actor: &Arc<Actor>,
    export: &Export,
    scope: Scope,
    call: IncomingCall,
    started: Instant,
) -> Result<Outgoing, CallError> {
    let named = named_owner(&actor.module().resources, export, call.params.root.clone())?;
    let owner = match named {
        Some(token) => actor.owners.by_token(token).ok_or_else(|| gone(actor))?,
        None => actor.owners.by_source(call.context.source_id.as_ref())?,
    };
    let _turn = actor.turn().await?;
    *owner.used() = Instant::now();
    let mut place = owner.living.lock().await;
    let mut living = match place.take() {
        Some(mut living) => {
            living.store.data_mut().scope = scope;
            living.store.set_epoch_deadline(1);
            living
        }
        None if named.is_some() => return Err(gone(actor)),
        None => {
            let mut store = new_store(scope, Handles::with_token(owner.token));
            let pooled = pooled(actor)?;
            let instantiated = actor.module().pre.instantiate_async(&mut store).await;
            let instance = instantiated
                .map_err(|error| explain(&error, store.data(), &call.operation, started))?;
            Living {
                store,
                instance,
                _pooled: pooled,
            }
        }
    };
    let params = match read_params(&mut living.store, export, call.params.root) {
        Ok(params) => params,
        // The instance has not run, and what others hold of it lives on.
        Err(error) => {
            keep(actor, &owner, &mut place, living);
            return Err(error);
        }
    };
    let outcome = invoke(&mut living.store, &living.instance, export, &params).await;
    match outcome {
        Ok(root) => {
            keep(actor, &owner, &mut place, living);
            Ok(Outgoing::unary(root))
        }
        Err(error) => {
            let explained = explain(&error, living.store.data(), &call.operation, started);
            actor.release(living.store.data_mut().handles.take_released(true));
            actor.owners.remove(owner.token);
            Err(explained)
        }
    }
}

/// Drops a resource that a caller held.
pub(in crate::runtime) async fn drop_resource(
    actor: &Arc<Actor>,
    scope: Scope,
    call: IncomingCall,
) -> Result<Outgoing, CallError> {
    let handle: Bytes = from_bytes(call.params.root)?;
    let Some(owner) = token(&handle).and_then(|token| actor.owners.by_token(token)) else {
        return Ok(Outgoing::unary(Bytes::new()));
    };
    let _turn = actor.turn().await?;
    let mut place = owner.living.lock().await;
    if let Some(mut living) = place.take() {
        living.store.data_mut().scope = scope;
        living.store.set_epoch_deadline(1);
        let dropped = match living.store.data_mut().handles.take_held(&handle) {
            Some(resource) => resource.resource_drop_async(&mut living.store).await,
            None => Ok(()),
        };
        match dropped {
            Ok(()) => keep(actor, &owner, &mut place, living),
            Err(error) => {
                let id = actor.id();
                tracing::warn!(actor = %id, %error, "a resource's destructor failed, ending its instance");
                actor.owners.remove(owner.token);
            }
        }
    }
    Ok(Outgoing::unary(Bytes::new()))
}

/// Puts an instance back after a call, or ends it when nobody holds anything of it.
fn keep(actor: &Actor, owner: &Owner, place: &mut Option<Living>, mut living: Living) {
    let handles = &mut living.store.data_mut().handles;
    let ended = handles.holds_nothing();
    let released = handles.take_released(ended);
    actor.release(released);
    if ended {
        actor.owners.remove(owner.token);
    } else {
        *place = Some(living);
    }
}

fn gone(actor: &Actor) -> CallError {
    CallError::Failed(format!(
        "actor {:?} holds no such resource here: it was dropped, not used for long, lost in a trap, or lives on another host",
        actor.id()
    ))
}

fn pooled(actor: &Actor) -> Result<OwnedSemaphorePermit, CallError> {
    let full = |_| {
        CallError::Overloaded(
            "this host runs as many instances as it can: raise its max_calls".into(),
        )
    };
    actor
        .shared
        .runtime
        .places
        .clone()
        .try_acquire_owned()
        .map_err(full)
}

/// Which instance a call's handles belong to; `None` when it has none.
fn named_owner(
    resources: &Resources,
    export: &Export,
    params: Bytes,
) -> Result<Option<u64>, CallError> {
    let ty = &export.function.ty;
    let decoded = ty.decode_params(params, Limits::default())?;
    let mut found = Vec::new();
    for ((_, ty), value) in ty.params.iter().zip(&decoded.values) {
        find_handles(resources, ty, value, &mut found);
    }
    let mut tokens = found.iter().map(|handle| token(handle));
    let Some(first) = tokens.next() else {
        return Ok(None);
    };
    if tokens.any(|other| other != first) {
        return Err(CallError::Failed(
            "the resources of this call live in different instances, and cannot meet".into(),
        ));
    }
    first
        .map(Some)
        .ok_or_else(|| CallError::Malformed("a handle that this actor never gave out".into()))
}

/// Collects the handles of the actor's own resources.
fn find_handles(resources: &Resources, ty: &Ty, value: &Value, found: &mut Vec<Bytes>) {
    match (ty, value) {
        (Ty::Own(name) | Ty::Borrow(name), Value::Resource(handle)) => {
            if resources
                .find(name)
                .is_some_and(|resource| resource.origin == Origin::Exported)
            {
                found.push(handle.clone());
            }
        }
        (Ty::List(element), Value::List(values)) => {
            values
                .iter()
                .for_each(|value| find_handles(resources, element, value, found));
        }
        (Ty::Record { fields }, Value::Record(values)) => {
            fields
                .iter()
                .zip(values)
                .for_each(|((_, ty), value)| find_handles(resources, ty, value, found));
        }
        (Ty::Tuple(items), Value::Tuple(values)) => {
            items
                .iter()
                .zip(values)
                .for_each(|(ty, value)| find_handles(resources, ty, value, found));
        }
        (Ty::Variant { cases }, Value::Variant(index, Some(value))) => {
            if let Some((_, Some(ty))) = cases.get(*index as usize) {
                find_handles(resources, ty, value, found);
            }
        }
        (Ty::Option(ty), Value::Option(Some(value)))
        | (Ty::Result { ok: Some(ty), .. }, Value::Result(Ok(Some(value))))
        | (Ty::Result { err: Some(ty), .. }, Value::Result(Err(Some(value)))) => {
            find_handles(resources, ty, value, found);
        }
        _ => {}
    }
}

/// Tells the owners of remote resources that those are no longer used here. A peer that does not know of this (1.x) says
/// so, and keeps them as it always did.
pub(in crate::runtime) async fn tell(shared: Arc<Shared>, released: Vec<Released>) {
    for Released { bytes, resource } in released {
        let Some((interface, name)) = shared
            .module
            .resources
            .name_of(resource)
            .and_then(|name| name.rsplit_once('.'))
        else {
            continue;
        };
        let position = shared
            .module
            .dynamic
            .iter()
            .position(|import| &*import.interface.name == interface);
        let slot = position.and_then(|position| shared.slots.get(Typed::ALL.len() + position));
        let Some(filled) = slot.and_then(|slot| slot.get().ok()) else {
            continue;
        };
        let call = Call {
            operation: Operation::new(interface, format!("{RESOURCE_DROP}{name}")),
            context: CallContext {
                source_id: Some(shared.id.to_shared()),
                link_name: Some("default".into()),
                deadline: Some(Instant::now() + TELL_DEADLINE),
                ..CallContext::default()
            },
            params: Outgoing::unary(to_bytes(&bytes)),
        };
        let told = tokio::time::timeout(TELL_DEADLINE, filled.route.call(call)).await;
        if let Ok(Err(error)) = told {
            tracing::debug!(actor = %shared.id, interface, resource = name, %error, "the owner was not told of a dropped resource");
        }
    }
}

//! Exports that deal in the actor's own resources. Such a resource lives in an instance, so the instance outlives the
//! call that made it: one for each caller, one call at a time, until the caller dropped all that it held there or used
//! none of it for a while. A trap, or a call that is cut off, ends the instance and what it held, that of one caller only.

mod named;
mod table;
mod tell;

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use trellis_rpc::{CallError, IncomingCall, Outgoing, codec::from_bytes};

pub(in crate::runtime) use table::Owners;
pub(in crate::runtime) use tell::tell;

use super::dynamic::{invoke, read_params};
use crate::runtime::{
    Actor,
    dynamic::handles::{Handles, token},
    failure::explain,
    module::Export,
    scope::Scope,
    state::new_store,
};
use named::named_owner;
use table::{Claim, Living};

/// Answers one call in the instance that holds its resources, or that will.
pub(in crate::runtime) async fn handle(
    actor: &Arc<Actor>,
    export: &Export,
    scope: Scope,
    call: IncomingCall,
    started: Instant,
) -> Result<Outgoing, CallError> {
    let named = named_owner(&actor.module().resources, export, call.params.root.clone())?;
    let _turn = actor.turn().await?;
    let mut claim = match named {
        Some(token) => actor.owners.claim(token).await.ok_or_else(|| gone(actor))?,
        None => {
            actor
                .owners
                .claim_for(call.context.source_id.as_ref())
                .await?
        }
    };
    let token = claim.token();
    let slice = scope.slice.clone();
    let living = match claim.living() {
        Some(living) => {
            living.store.data_mut().scope = scope;
            living.store.set_epoch_deadline(1);
            living
        }
        None => {
            let mut store = new_store(scope, Handles::with_token(token));
            let pooled = actor.pooled().await?;
            let instantiated = actor.module().pre.instantiate_async(&mut store).await;
            let instance = instantiated
                .map_err(|error| explain(&error, store.data(), &call.operation, started))?;
            claim.fill(Living::new(store, instance, pooled))
        }
    };
    let params = match read_params(&mut living.store, export, call.params) {
        Ok(params) => params,
        // The instance has not run, and what others hold of it lives on.
        Err(error) => {
            keep(actor, claim);
            return Err(error);
        }
    };
    let work = invoke(&mut living.store, &living.instance, export, &params);
    match actor.in_turn(slice, work).await {
        Ok(results) => {
            keep(actor, claim);
            Ok(results)
        }
        Err(error) => {
            let explained = explain(&error, living.store.data(), &call.operation, started);
            actor.release(living.store.data_mut().handles.take_released(true));
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
    let done = Outgoing::unary(Bytes::new());
    let Some(token) = token(&handle) else {
        return Ok(done);
    };
    let _turn = actor.turn().await?;
    let Some(mut claim) = actor.owners.claim(token).await else {
        return Ok(done);
    };
    let Some(living) = claim.living() else {
        return Ok(done);
    };
    living.store.data_mut().scope = scope;
    living.store.set_epoch_deadline(1);
    if let Some(resource) = living.store.data_mut().handles.take_held(&handle)
        && let Err(error) = resource.resource_drop_async(&mut living.store).await
    {
        let id = actor.id();
        tracing::warn!(actor = %id, %error, "a resource's destructor failed, ending its instance");
        return Ok(done);
    }
    keep(actor, claim);
    Ok(done)
}

/// Leaves an instance to later calls, or ends it when nobody holds anything of it.
fn keep(actor: &Actor, mut claim: Claim) {
    let Some(living) = claim.living() else { return };
    let handles = &mut living.store.data_mut().handles;
    let ended = handles.holds_nothing();
    actor.release(handles.take_released(ended));
    if !ended {
        claim.keep();
    }
}

fn gone(actor: &Actor) -> CallError {
    CallError::Failed(format!(
        "actor {:?} holds no such resource here: it was dropped, not used for long, lost in a trap, or lives on another host",
        actor.id()
    ))
}

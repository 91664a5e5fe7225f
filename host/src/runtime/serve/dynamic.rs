//! Exports that are called by their types.

use std::{sync::Arc, time::Instant};

use bytes::BytesMut;
use trellis_rpc::{CallError, Incoming, IncomingCall, Outgoing};
use wasmtime::{
    AsContextMut as _, Store,
    component::{Instance, Val},
};

use crate::runtime::{
    Actor,
    dynamic::{
        decode::{MAX_ROOT_BYTES, decode_all},
        encode::encode,
        handles::Border,
        stream::Spot,
    },
    failure::explain,
    module::Export,
    scope::Scope,
    state::CallState,
};

/// Answers one call in an instance.
pub(in crate::runtime) async fn handle(
    actor: &Arc<Actor>,
    export: &Export,
    scope: Scope,
    call: IncomingCall,
    started: Instant,
) -> Result<Outgoing, CallError> {
    let _turn = actor.turn().await?;
    let slice = scope.slice.clone();
    let work = async {
        let mut live = actor.live(scope, &call.operation, started).await?;
        let params = read_params(&mut live.store, export, call.params)?;
        let outcome = invoke(&mut live.store, &live.instance, export, &params)
            .await
            .map_err(|error| explain(&error, live.store.data(), &call.operation, started));
        actor.done_with(live, outcome.is_ok());
        outcome
    };
    actor.in_turn(slice, work).await
}

/// The parameters of a call as values of the store.
pub(in crate::runtime) fn read_params(
    store: &mut Store<CallState>,
    export: &Export,
    Incoming { root, channels }: Incoming,
) -> Result<Vec<Val>, CallError> {
    let types = export.function.ty.params.iter().map(|(_, ty)| ty);
    let store = store.as_context_mut();
    decode_all(root, types, &mut Border::into(store, channels))
}

/// Calls an export, and gives its encoded result with the streams in it.
pub(in crate::runtime) async fn invoke(
    store: &mut Store<CallState>,
    instance: &Instance,
    export: &Export,
    params: &[Val],
) -> wasmtime::Result<Outgoing> {
    let ty = &export.function.ty;
    let func = instance
        .get_func(&mut *store, export.index)
        .ok_or_else(|| wasmtime::format_err!("{} is not in the instance", export.function.name))?;
    let mut results = vec![Val::Bool(false); usize::from(ty.result.is_some())];
    func.call_async(&mut *store, params, &mut results).await?;
    let mut out = BytesMut::new();
    let mut channels = Vec::new();
    if let (Some(ty), Some(value)) = (&ty.result, results.first()) {
        let store = store.as_context_mut();
        let mut border = Border::out_of(store);
        encode(value, ty, &mut border, &mut Spot::at(0), &mut out)?;
        (_, channels) = border.crossed();
    }
    if out.len() > MAX_ROOT_BYTES {
        let what = "a call's result".into();
        return Err(CallError::TooLarge {
            what,
            bytes: out.len(),
            limit: MAX_ROOT_BYTES,
        }
        .into());
    }
    Ok(Outgoing {
        root: out.freeze(),
        channels,
    })
}

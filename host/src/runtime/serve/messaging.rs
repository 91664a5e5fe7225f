//! Messages: `wasmcloud:messaging/handler.handle-message`, typed, as bodies may be large and calls many.

use std::{sync::Arc, time::Instant};

use trellis_rpc::{
    CallError, IncomingCall, Outgoing,
    interface::{Function as _, messaging::HandleMessage},
};
use wasmtime::component::ComponentExportIndex;

use crate::runtime::{
    Actor, dynamic::handles::Handles, failure::explain, offer::messaging::Message, scope::Scope,
    state::new_store,
};

/// Answers one call in an instance of its own.
pub(in crate::runtime) async fn handle(
    actor: &Arc<Actor>,
    index: ComponentExportIndex,
    scope: Scope,
    call: IncomingCall,
    started: Instant,
) -> Result<Outgoing, CallError> {
    let message = Message::from(HandleMessage::decode_params(call.params)?);
    let turn = actor.turn().await?;
    let mut store = new_store(scope, Handles::default());
    let outcome = async {
        let instance = actor.module().pre.instantiate_async(&mut store).await?;
        let handler =
            instance.get_typed_func::<(Message,), (Result<(), String>,)>(&mut store, index)?;
        handler.call_async(&mut store, (message,)).await
    };
    let outcome = outcome
        .await
        .map_err(|error| explain(&error, store.data(), &call.operation, started));
    actor.release(store.data_mut().handles.take_released(true));
    drop(store);
    drop(turn);
    let (answer,) = outcome?;
    Ok(HandleMessage::answer(&answer))
}

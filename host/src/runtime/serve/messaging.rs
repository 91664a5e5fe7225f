//! Messages: `wasmcloud:messaging/handler.handle-message`, typed, as bodies may be large and calls many.

use std::{sync::Arc, time::Instant};

use trellis_rpc::{
    CallError, IncomingCall, Outgoing,
    interface::{Function as _, messaging::HandleMessage},
};
use wasmtime::component::ComponentExportIndex;

use crate::runtime::{Actor, failure::explain, offer::messaging::Message, scope::Scope};

/// Answers one call in an instance.
pub(in crate::runtime) async fn handle(
    actor: &Arc<Actor>,
    index: ComponentExportIndex,
    scope: Scope,
    call: IncomingCall,
    started: Instant,
) -> Result<Outgoing, CallError> {
    let message = Message::from(HandleMessage::decode_params(call.params)?);
    let _turn = actor.turn().await?;
    let slice = scope.slice.clone();
    let work = async {
        let mut live = actor.live(scope, &call.operation, started).await?;
        let outcome = async {
            let handler = live
                .instance
                .get_typed_func::<(Message,), (Result<(), String>,)>(&mut live.store, index)?;
            handler.call_async(&mut live.store, (message,)).await
        };
        let outcome = outcome
            .await
            .map_err(|error| explain(&error, live.store.data(), &call.operation, started));
        actor.done_with(live, outcome.is_ok());
        outcome
    };
    let (answer,) = actor.in_turn(slice, work).await?;
    Ok(HandleMessage::answer(&answer))
}

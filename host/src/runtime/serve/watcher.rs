//! What changed in a store: `wrpc:keyvalue/watcher` to the actor's `wasi:keyvalue/watcher`. On the wire a bucket is a name; the
//! actor gets one that it can use over its own link to a store.

use std::{sync::Arc, time::Instant};

use trellis_rpc::{
    CallError, IncomingCall, Operation, Outgoing,
    interface::{
        Function as _,
        keyvalue::{KeyParams, OnDelete, OnSet, SetParams},
    },
};
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, Lower, Resource};

use crate::runtime::{Actor, failure::explain, offer::keyvalue::Bucket, scope::Scope};

/// Tells an instance that a key has a new value.
pub(in crate::runtime) async fn on_set(
    actor: &Arc<Actor>,
    index: ComponentExportIndex,
    scope: Scope,
    call: IncomingCall,
    started: Instant,
) -> Result<Outgoing, CallError> {
    let SetParams { bucket, key, value } = OnSet::decode_params(call.params)?;
    let params = |bucket| (bucket, key, Vec::from(value));
    let told = Told {
        index,
        operation: call.operation,
        bucket,
        started,
    };
    told.tell(actor, scope, params).await?;
    Ok(OnSet::answer(&()))
}

/// Tells an instance that a key has no value any more.
pub(in crate::runtime) async fn on_delete(
    actor: &Arc<Actor>,
    index: ComponentExportIndex,
    scope: Scope,
    call: IncomingCall,
    started: Instant,
) -> Result<Outgoing, CallError> {
    let KeyParams { bucket, key } = OnDelete::decode_params(call.params)?;
    let params = |bucket| (bucket, key);
    let told = Told {
        index,
        operation: call.operation,
        bucket,
        started,
    };
    told.tell(actor, scope, params).await?;
    Ok(OnDelete::answer(&()))
}

/// A change that an instance is told of.
struct Told {
    index: ComponentExportIndex,
    operation: Operation,
    bucket: String,
    started: Instant,
}

impl Told {
    async fn tell<P>(
        self,
        actor: &Actor,
        scope: Scope,
        params: impl FnOnce(Resource<Bucket>) -> P,
    ) -> Result<(), CallError>
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
    {
        let (operation, started) = (&self.operation, self.started);
        let _turn = actor.turn().await?;
        let slice = scope.slice.clone();
        let work = async {
            let mut live = actor.live(scope, operation, started).await?;
            let outcome = async {
                let bucket = live
                    .store
                    .data_mut()
                    .table
                    .push(Bucket::named(self.bucket))?;
                let function = live
                    .instance
                    .get_typed_func::<P, ()>(&mut live.store, self.index)?;
                function.call_async(&mut live.store, params(bucket)).await
            };
            let outcome = outcome
                .await
                .map_err(|error| explain(&error, live.store.data(), operation, started));
            actor.done_with(live, outcome.is_ok());
            outcome
        };
        actor.in_turn(slice, work).await
    }
}

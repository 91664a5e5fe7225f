//! Calls from an actor on this host to an export that is called by its types: the caller's values go into an instance of
//! the callee as they are, and the callee's come back, with no encoding between.

use std::time::Instant;

use trellis_rpc::{CallError, Operation, trace::TraceContext};
use wasmtime::component::Val;

use crate::runtime::{
    Actor, Entered, dynamic::size, entered::Counted, failure::explain, module::Export, scope::Scope,
};

/// A call as a caller on this host makes it.
pub(in crate::runtime) struct ValueCall<'a> {
    /// What is called.
    pub(in crate::runtime) operation: &'a Operation,
    /// The callee's export for it, of the same types.
    pub(in crate::runtime) export: &'a Export,
    /// When the caller stops waiting.
    pub(in crate::runtime) deadline: Instant,
    /// The call's trace.
    pub(in crate::runtime) trace: Option<TraceContext>,
    pub(in crate::runtime) params: &'a [Val],
    /// Where the result goes, if there is one.
    pub(in crate::runtime) results: &'a mut [Val],
}

impl Entered {
    /// Answers a call in an instance. Who drops the call ends the instance with it.
    ///
    /// # Errors
    /// As over any other route.
    pub(in crate::runtime) async fn pass(self, call: ValueCall<'_>) -> Result<(), CallError> {
        let started = Instant::now();
        let actor = &*self.actor;
        let mut counted = Counted::new(&actor.shared, started);
        let deadline = actor.deadline(started, Some(call.deadline));
        let mut scope = Scope::new(actor.shared.clone(), deadline, call.trace);
        scope.depth = self.depth;
        actor
            .bounded(deadline, started, run(actor, call, scope, started))
            .await
            .map_err(|error| counted.failed_by(error))
    }
}

async fn run(
    actor: &Actor,
    call: ValueCall<'_>,
    scope: Scope,
    started: Instant,
) -> Result<(), CallError> {
    let ValueCall {
        operation,
        export,
        params,
        results,
        ..
    } = call;
    let _turn = actor.turn().await?;
    let slice = scope.slice.clone();
    let given = &mut *results;
    let work = async {
        let mut live = actor.live(scope, operation, started).await?;
        let outcome = async {
            let store = &mut live.store;
            let func = live.instance.get_func(&mut *store, export.index);
            let name = &export.function.name;
            func.ok_or_else(|| wasmtime::format_err!("{name} is not in the instance"))?
                .call_async(store, params, given)
                .await
        };
        let outcome = outcome
            .await
            .map_err(|error| explain(&error, live.store.data(), operation, started));
        actor.done_with(live, outcome.is_ok());
        outcome
    };
    actor.in_turn(slice, work).await?;
    if export.function.small.1 {
        return Ok(());
    }
    size::check("a call's result", export.function.ty.result.iter(), results)
}

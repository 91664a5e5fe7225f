//! Calls that an actor makes to an interface by its types.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use trellis_rpc::{Call, CallError, Operation, Outgoing, trace::TraceContext};
use wasmtime::{
    Engine, StoreContextMut,
    component::{
        Linker, ResourceType, Val,
        types::{ComponentInstance, ComponentItem},
    },
};

use super::{
    binding::{Bound, Way},
    decode::{MAX_ROOT_BYTES, decode_all},
    encode::encode,
    handles::Border,
    reflect::{DynamicInterface, Function, Resources},
    size,
    stream::Spot,
};
use crate::runtime::{
    Entered, interface::Typed, local::in_process, module::Export, scope::Scope,
    serve::values::ValueCall, state::CallState,
};

/// Defines an import in a linker: each function is a call over the link in the actor's slot of that index.
pub(in crate::runtime) fn define(
    linker: &mut Linker<CallState>,
    engine: &Engine,
    import: &DynamicInterface,
    instance: &ComponentInstance,
    resources: &Resources,
    slot: usize,
) -> wasmtime::Result<()> {
    let name = &import.interface.name;
    let mut linked = linker.instance(name)?;
    for (resource, item) in instance.exports(engine) {
        if let ComponentItem::Resource(_) = item.ty
            && let Some(number) = resources.imported(name, resource)
        {
            linked.resource(
                resource,
                ResourceType::host_dynamic(number),
                |mut store, rep| {
                    store.data_mut().handles.drop_remote(rep);
                    Ok(())
                },
            )?;
        }
    }
    for (number, function) in import.functions.iter().enumerate() {
        let imported = Arc::new(Imported {
            slot,
            number,
            operation: Operation::new(name.clone(), function.wire_name.clone()),
            function: function.clone(),
        });
        linked.func_new_async(&function.name, move |store, _, params, results| {
            let imported = imported.clone();
            Box::new(async move { imported.call(store, params, results).await })
        })?;
    }
    Ok(())
}

/// A function as it is imported.
struct Imported {
    /// The slot of the link that its calls go over.
    slot: usize,
    /// Its place among the functions of its interface.
    number: usize,
    operation: Operation,
    function: Arc<Function>,
}

impl Imported {
    async fn call(
        &self,
        store: StoreContextMut<'_, CallState>,
        params: &[Val],
        results: &mut [Val],
    ) -> wasmtime::Result<()> {
        let scope = &store.data().scope;
        let Some(callee) = scope.place(self.slot)?.and_then(|place| place.enter()) else {
            return self.send(store, None, params, results).await;
        };
        scope.count_in_process(self.slot)?;
        let depth = scope.deeper(callee.actor.id())?;
        let callee = callee.at_depth(depth);
        let bound = self.bound(scope, &callee);
        match bound.as_ref().and_then(|bound| bound.way(self.number)) {
            Some(Way::Values(export)) => self.pass(scope, callee, export, params, results).await,
            Some(Way::Differs(differs)) => Err(differs.error(callee.actor.id()).into()),
            Some(Way::Wire) | None => self.send(store, Some(callee), params, results).await,
        }
    }

    /// How the functions of this one's interface reach an actor's.
    fn bound(&self, scope: &Scope, callee: &Entered) -> Option<Arc<Bound>> {
        let caller = &scope.actor;
        let import = self.slot.checked_sub(Typed::ALL.len())?;
        caller
            .bindings
            .get(&caller.module, import, callee.actor.module())
    }

    /// Calls an actor on this host with the values as they are.
    async fn pass(
        &self,
        scope: &Scope,
        callee: Entered,
        export: &Export,
        params: &[Val],
        results: &mut [Val],
    ) -> wasmtime::Result<()> {
        if !self.function.small.0 {
            let types = self.function.ty.params.iter().map(|(_, ty)| ty);
            size::check("a call's values", types, params)?;
        }
        let call = ValueCall {
            operation: &self.operation,
            export,
            deadline: scope.deadline(),
            trace: scope.trace.as_ref().map(TraceContext::child),
            params,
            results,
        };
        Ok(callee.pass(call).await?)
    }

    /// Calls that actor, or whoever is linked, wherever that is, in the wire's encoding.
    async fn send(
        &self,
        mut store: StoreContextMut<'_, CallState>,
        callee: Option<Entered>,
        params: &[Val],
        results: &mut [Val],
    ) -> wasmtime::Result<()> {
        let function = &self.function;
        // The link first: without one, resources given away in the parameters would be lost.
        let (link, context) = store.data().scope.call_out(self.slot)?;
        let mut border = Border::out_of(store);
        let root = encode_params(function, params, &mut border)?;
        let (again, channels) = border.crossed();
        store = again;
        let call = Call {
            operation: self.operation.clone(),
            context,
            params: Outgoing { root, channels },
        };
        let answer = match callee {
            Some(callee) => in_process(callee, call).await,
            None => link.route.call(call).await,
        }?;
        if let (Some(result), Some(ty)) = (results.first_mut(), &function.ty.result) {
            if answer.root.is_empty() {
                return Err(CallError::Failed(
                    "the callee ended the call without a result and without a reason".into(),
                )
                .into());
            }
            let mut border = Border::into(store, answer.channels);
            let mut values = decode_all(answer.root, std::iter::once(ty), &mut border)?;
            if let Some(value) = values.pop() {
                *result = value;
            }
        }
        Ok(())
    }
}

fn encode_params(
    function: &Function,
    params: &[Val],
    border: &mut Border<'_>,
) -> Result<Bytes, CallError> {
    let mut root = BytesMut::new();
    for (index, ((_, ty), value)) in function.ty.params.iter().zip(params).enumerate() {
        encode(value, ty, border, &mut Spot::at(index), &mut root)?;
    }
    if root.len() > MAX_ROOT_BYTES {
        return Err(CallError::TooLarge {
            what: "a call's values".into(),
            bytes: root.len(),
            limit: MAX_ROOT_BYTES,
        });
    }
    Ok(root.freeze())
}

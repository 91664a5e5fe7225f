//! Calls that an actor makes to an interface by its types.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use trellis_rpc::{Call, CallError, Operation, Outgoing};
use wasmtime::{
    Engine, StoreContextMut,
    component::{
        Linker, ResourceType, Val,
        types::{ComponentInstance, ComponentItem},
    },
};

use super::{
    decode::{MAX_ROOT_BYTES, decode_all},
    encode::encode,
    handles::Border,
    reflect::{DynamicInterface, Function, Resources},
};
use crate::runtime::state::CallState;

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
    for function in &import.functions {
        let operation = Operation::new(name.clone(), function.wire_name.clone());
        let function = function.clone();
        linked.func_new_async(&function.name.clone(), move |store, _, params, results| {
            Box::new(call(
                store,
                slot,
                operation.clone(),
                function.clone(),
                params,
                results,
            ))
        })?;
    }
    Ok(())
}

async fn call(
    mut store: StoreContextMut<'_, CallState>,
    slot: usize,
    operation: Operation,
    function: Arc<Function>,
    params: &[Val],
    results: &mut [Val],
) -> wasmtime::Result<()> {
    // The link first: without one, resources given away in the parameters would be lost.
    let (link, context) = store.data().scope.call_out(slot)?;
    let mut border = Border { store };
    let root = encode_params(&function, params, &mut border)?;
    let answer = link
        .route
        .call(Call {
            operation,
            context,
            params: Outgoing::unary(root),
        })
        .await?;
    store = border.store;
    if let (Some(result), Some(ty)) = (results.first_mut(), &function.ty.result) {
        if answer.root.is_empty() {
            return Err(CallError::Failed(
                "the callee ended the call without a result and without a reason".into(),
            )
            .into());
        }
        let mut values = decode_all(answer.root, std::iter::once(ty), &mut Border { store })?;
        if let Some(value) = values.pop() {
            *result = value;
        }
    }
    Ok(())
}

fn encode_params(
    function: &Function,
    params: &[Val],
    border: &mut Border<'_>,
) -> Result<Bytes, CallError> {
    let mut root = BytesMut::new();
    for ((_, ty), value) in function.ty.params.iter().zip(params) {
        encode(value, ty, border, &mut root)?;
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

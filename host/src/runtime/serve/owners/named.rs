//! Which instance a call belongs to, by the handles among its parameters.

use bytes::Bytes;
use trellis_rpc::{
    CallError,
    codec::Limits,
    value::{Ty, Value},
};

use crate::runtime::{
    dynamic::{
        handles::token,
        reflect::{Origin, Resources},
    },
    module::Export,
};

/// Which instance a call's handles belong to; `None` when it has none.
pub(super) fn named_owner(
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
        (Ty::Own(name) | Ty::Borrow(name), Value::Resource(handle))
            if resources
                .find(name)
                .is_some_and(|resource| resource.origin == Origin::Exported) =>
        {
            found.push(handle.clone());
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

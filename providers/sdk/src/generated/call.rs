//! One call of a component, as generated code makes it.

use trellis_rpc::{CallError, Operation};

use super::{Lifting, Lowering};
use crate::lattice::{CallOptions, Component};

/// Calls a function, and gives its result to be read.
///
/// # Errors
/// See [`CallError`]; [`CallError::Failed`] when there is nothing where a result is due, which is how a 1.x callee says
/// that it failed.
pub async fn call(
    component: &Component,
    operation: &Operation,
    params: Lowering,
    options: CallOptions,
    result_due: bool,
) -> Result<Lifting, CallError> {
    let call = component.call(operation.clone(), params.finish(), options);
    let result = call.await?;
    if result_due && result.root.is_empty() {
        return Err(CallError::Failed(
            "the callee ended the call without a result and without a reason".to_owned(),
        ));
    }
    Ok(Lifting::new(result))
}

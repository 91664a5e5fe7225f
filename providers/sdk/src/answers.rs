//! A handler of a typed interface: each call goes to one function, with what it is answered from.

use std::{future::Future, sync::Arc};

use futures::future::{BoxFuture, FutureExt as _};
use trellis_rpc::{CallContext, CallError, Handler, IncomingCall, Operation, Outgoing};

/// A handler that gives every call to `answer`.
pub(crate) fn handler<T, F, Fut>(from: Arc<T>, answer: F) -> Arc<dyn Handler>
where
    T: Send + Sync + 'static,
    F: Fn(Arc<T>, IncomingCall) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Outgoing, CallError>> + Send + 'static,
{
    Arc::new(Answers { from, answer })
}

/// A call of a function that the interface doesn't have.
pub fn unknown_function(operation: &Operation, context: &CallContext) -> CallError {
    let target = context.target_id.as_deref().unwrap_or("this provider");
    CallError::UnknownFunction {
        target: target.to_owned(),
        operation: operation.to_string(),
    }
}

struct Answers<T, F> {
    from: Arc<T>,
    answer: F,
}

impl<T, F, Fut> Handler for Answers<T, F>
where
    T: Send + Sync + 'static,
    F: Fn(Arc<T>, IncomingCall) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Outgoing, CallError>> + Send + 'static,
{
    fn handle(
        self: Arc<Self>,
        call: IncomingCall,
    ) -> BoxFuture<'static, Result<Outgoing, CallError>> {
        (self.answer)(self.from.clone(), call).boxed()
    }
}

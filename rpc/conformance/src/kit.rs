//! Short ways to say what tests say often.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use trellis_lattice::ComponentId;
use trellis_rpc::{
    Call, CallContext, CallError, Handler, Incoming, IncomingCall, Operation, Outgoing, Route,
};

/// Waits for a condition, for at most 10 s.
pub async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition().await {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// As [`until`], for what needs no waiting to be looked at.
pub async fn until_true(what: &str, mut condition: impl FnMut() -> bool) {
    until(what, || std::future::ready(condition())).await;
}

/// Something that has to come within 10 s.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), future)
        .await
        .unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

struct Closure<F>(F);

impl<F, R> Handler for Closure<F>
where
    F: Fn(IncomingCall) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Outgoing, CallError>> + Send + 'static,
{
    fn handle(
        self: Arc<Self>,
        call: IncomingCall,
    ) -> BoxFuture<'static, Result<Outgoing, CallError>> {
        (self.0)(call).boxed()
    }
}

/// A handler that is a function.
pub fn handler<F, R>(function: F) -> Arc<dyn Handler>
where
    F: Fn(IncomingCall) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Outgoing, CallError>> + Send + 'static,
{
    Arc::new(Closure(function))
}

/// A handler that gives back what it gets.
pub fn echo() -> Arc<dyn Handler> {
    handler(|call| async move { Ok(Outgoing::unary(call.params.root)) })
}

/// The target that the cases call.
pub fn target() -> ComponentId {
    ComponentId::new("callee").unwrap()
}

/// The operation that they call.
pub fn operation() -> Operation {
    Operation::new("acme:test/things@1.2.3", "do-it")
}

/// A call of the tests' operation with a deadline of 5 s.
pub fn call(params: Outgoing) -> Call {
    call_within(Duration::from_secs(5), params)
}

/// The same with another deadline.
pub fn call_within(limit: Duration, params: Outgoing) -> Call {
    let context = CallContext {
        deadline: Some(Instant::now() + limit),
        ..CallContext::default()
    };
    Call {
        operation: operation(),
        context,
        params,
    }
}

/// Calls with bytes and gets bytes.
pub async fn unary(route: &Arc<dyn Route>, params: impl Into<Bytes>) -> Result<Bytes, CallError> {
    route
        .call(call(Outgoing::unary(params)))
        .await
        .map(|Incoming { root, .. }| root)
}

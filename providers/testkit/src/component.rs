//! The component at the other end of a link: it answers calls, and makes them.

use std::{future::Future, sync::Arc};

use anyhow::Result;
use futures::future::{BoxFuture, FutureExt as _};
use trellis_provider::{
    contract::LinkName,
    rpc::{
        Call, CallError, Handler, IncomingCall, Operation, Outgoing,
        codec::{self, Decode, Encode},
        nats::{ServeOptions, Serving},
    },
};

use crate::host::{Host, context};

struct Answer<F>(F);

impl<F, Fut> Handler for Answer<F>
where
    F: Fn(IncomingCall) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Outgoing, CallError>> + Send + 'static,
{
    fn handle(self: Arc<Self>, call: IncomingCall) -> BoxFuture<'static, Result<Outgoing, CallError>> {
        (self.0)(call).boxed()
    }
}

/// Answers every call to a component, as its host would.
///
/// # Errors
/// NATS doesn't take the subscription.
pub async fn answer<F, Fut>(host: &Host, component: &str, answer: F) -> Result<Serving>
where
    F: Fn(IncomingCall) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Outgoing, CallError>> + Send + 'static,
{
    let handler = Arc::new(Answer(answer));
    let serving = host.rpc().serve(&component.parse()?, handler, ServeOptions::default()).await?;
    host.client().flush().await?;
    Ok(serving)
}

impl Host {
    /// Calls a provider as a component would, over the link named `default`.
    ///
    /// # Errors
    /// The call's own.
    pub async fn call<P: Encode, R: Decode>(
        &self,
        source: &str,
        provider: &str,
        operation: Operation,
        params: &P,
    ) -> Result<R, CallError> {
        self.call_over(&LinkName::default(), source, provider, operation, params).await
    }

    /// Calls a provider as a component would, over a link.
    ///
    /// # Errors
    /// The call's own.
    pub async fn call_over<P: Encode, R: Decode>(
        &self,
        link: &LinkName,
        source: &str,
        provider: &str,
        operation: Operation,
        params: &P,
    ) -> Result<R, CallError> {
        let target = provider
            .parse()
            .map_err(|error| CallError::Failed(format!("the test's provider id: {error}")))?;
        let call = Call {
            operation,
            context: context(source, link),
            params: Outgoing::unary(codec::to_bytes(params)),
        };
        let incoming = self.rpc().route(&target).call(call).await?;
        codec::from_bytes(incoming.root).map_err(|error| CallError::Malformed(error.to_string()))
    }
}

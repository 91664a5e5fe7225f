//! The component at the other end of a link: it answers calls, and makes them.

use std::{future::Future, sync::Arc};

use anyhow::Result;
use futures::future::{BoxFuture, FutureExt as _};
use trellis_provider::{
    contract::LinkName,
    rpc::{
        CallError, Handler, IncomingCall, Outgoing,
        interface::Function,
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
    fn handle(
        self: Arc<Self>,
        call: IncomingCall,
    ) -> BoxFuture<'static, Result<Outgoing, CallError>> {
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
    let serving = host
        .rpc()
        .serve(&component.parse()?, handler, ServeOptions::default())
        .await?;
    host.client().flush().await?;
    Ok(serving)
}

impl Host {
    /// Calls a provider as a component would, over the link named `default`.
    ///
    /// # Errors
    /// The call's own.
    pub async fn call<F: Function>(
        &self,
        source: &str,
        provider: &str,
        params: &F::Params,
    ) -> Result<F::Result, CallError>
    where
        F::Params: Sync,
    {
        self.call_over::<F>(&LinkName::default(), source, provider, params)
            .await
    }

    /// Calls a provider as a component would, over a link.
    ///
    /// # Errors
    /// The call's own.
    pub async fn call_over<F: Function>(
        &self,
        link: &LinkName,
        source: &str,
        provider: &str,
        params: &F::Params,
    ) -> Result<F::Result, CallError>
    where
        F::Params: Sync,
    {
        let target = provider
            .parse()
            .map_err(|error| CallError::Failed(format!("the test's provider id: {error}")))?;
        F::call(&*self.rpc().route(&target), context(source, link), params).await
    }
}

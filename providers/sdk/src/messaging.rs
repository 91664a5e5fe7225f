//! Answering `wasmcloud:messaging/consumer`: a provider implements [`Messaging`], and [`handler`] makes a handler of it.
//! The other direction, a message to a component, is [`Component::invoke`](crate::Component::invoke) of
//! [`HandleMessage`].

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
pub use trellis_rpc::interface::messaging::{BrokerMessage, HandleMessage};
use trellis_rpc::{
    CallContext, CallError, Handler, IncomingCall, Outgoing,
    interface::{
        Function,
        messaging::{CONSUMER, Publish, Request},
    },
};

use crate::answers::{self, unknown_function};

/// A message broker, as components see it. The context says who calls, over which link.
///
/// An error is the interface's own, in words, and reaches the component as such.
pub trait Messaging: Send + Sync + 'static {
    /// Publishes a message.
    fn publish(
        &self,
        context: &CallContext,
        message: BrokerMessage,
    ) -> impl Future<Output = Result<(), String>> + Send;

    /// Publishes a message and waits for one answer.
    fn request(
        &self,
        context: &CallContext,
        subject: String,
        body: Bytes,
        timeout: Duration,
    ) -> impl Future<Output = Result<BrokerMessage, String>> + Send;
}

/// A handler that answers the interface `consumer` from a broker.
pub fn handler<T: Messaging>(broker: Arc<T>) -> Arc<dyn Handler> {
    answers::handler(broker, answer::<T>)
}

async fn answer<T: Messaging>(broker: Arc<T>, call: IncomingCall) -> Result<Outgoing, CallError> {
    let IncomingCall {
        operation,
        context: by,
        params,
        ..
    } = call;
    Ok(match (&*operation.instance, &*operation.function) {
        (CONSUMER, "publish") => {
            let message = Publish::decode_params(params)?;
            Publish::answer(&broker.publish(&by, message).await)
        }
        (CONSUMER, "request") => {
            let params = Request::decode_params(params)?;
            let timeout = Duration::from_millis(params.timeout_ms.into());
            Request::answer(
                &broker
                    .request(&by, params.subject, params.body, timeout)
                    .await,
            )
        }
        _ => return Err(unknown_function(&operation, &by)),
    })
}

//! `wasmcloud:messaging`: what an actor sends, over its link to a broker's provider.

use std::time::{Duration, Instant};

use trellis_rpc::{
    CallError,
    interface::{
        Function,
        messaging::{BrokerMessage, Publish, Request, RequestParams},
    },
};
use wasmtime::{
    StoreContextMut,
    component::{ComponentType, Lift, Linker, Lower},
};

use crate::runtime::{interface::Typed, state::CallState};

/// What the provider may need beyond the broker's own time.
const REQUEST_GRACE: Duration = Duration::from_secs(1);

/// A message, as guests have it.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(record)]
pub(in crate::runtime) struct Message {
    subject: String,
    body: Vec<u8>,
    #[component(name = "reply-to")]
    reply_to: Option<String>,
}

impl From<BrokerMessage> for Message {
    fn from(
        BrokerMessage {
            subject,
            body,
            reply_to,
        }: BrokerMessage,
    ) -> Self {
        Self {
            subject,
            body: body.into(),
            reply_to,
        }
    }
}

impl From<Message> for BrokerMessage {
    fn from(
        Message {
            subject,
            body,
            reply_to,
        }: Message,
    ) -> Self {
        Self {
            subject,
            body: body.into(),
            reply_to,
        }
    }
}

/// Offers it.
pub(super) fn add_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    let mut consumer = linker.instance(trellis_rpc::interface::messaging::CONSUMER)?;
    consumer.func_wrap_async(
        "publish",
        |store: StoreContextMut<'_, CallState>, (message,): (Message,)| {
            let sent = call::<Publish, ()>(store.data(), message.into(), None);
            Box::new(async move { Ok((sent.await,)) })
        },
    )?;
    consumer.func_wrap_async(
        "request",
        |store: StoreContextMut<'_, CallState>,
         (subject, body, timeout_ms): (String, Vec<u8>, u32)| {
            let timeout = Duration::from_millis(timeout_ms.into());
            let params = RequestParams {
                subject,
                body: body.into(),
                timeout_ms,
            };
            let answer = call::<Request, BrokerMessage>(store.data(), params, Some(timeout));
            Box::new(async move { Ok((answer.await.map(Message::from),)) })
        },
    )
}

/// Asks the provider. What goes wrong on the way is an error of the broker to the guest, which can handle it.
fn call<F, T>(
    state: &CallState,
    params: F::Params,
    timeout: Option<Duration>,
) -> impl Future<Output = Result<T, String>> + Send + use<F, T>
where
    F: Function<Result = Result<T, String>>,
    F::Params: Sync,
    T: Send,
{
    let way = state.scope.call_out(Typed::MessagingConsumer as usize);
    async move {
        let asked: Result<F::Result, CallError> = async {
            let (link, mut context) = way?;
            if let Some(timeout) = timeout {
                let latest = Instant::now() + timeout + REQUEST_GRACE;
                context.deadline = context.deadline.map(|deadline| deadline.min(latest));
            }
            F::call(&*link.route, context, &params).await
        }
        .await;
        asked.unwrap_or_else(|error| Err(error.to_string()))
    }
}

//! Handlers of single interfaces, put together.

use std::{fmt, future::Future, sync::Arc};

use futures::future::{BoxFuture, FutureExt as _};
use trellis_rpc::{CallError, Handler, IncomingCall, Outgoing};

use crate::answers::unknown_function;

/// One interface, and what answers its functions.
pub struct Interface {
    instance: &'static str,
    answer: Box<Answer>,
}

type Answered = BoxFuture<'static, Result<Outgoing, CallError>>;

type Answer = dyn Fn(IncomingCall) -> Answered + Send + Sync;

impl Interface {
    /// An interface by its whole name, for example `acme:currency/converter@0.1.0`, and what answers each call of it.
    pub fn new<F, Fut>(instance: &'static str, answer: F) -> Self
    where
        F: Fn(IncomingCall) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Outgoing, CallError>> + Send + 'static,
    {
        Self {
            instance,
            answer: Box::new(move |call| answer(call).boxed()),
        }
    }
}

impl fmt::Debug for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Interface").field(&self.instance).finish()
    }
}

/// A handler of several interfaces; a call of any other is refused by name.
pub fn combined(interfaces: impl IntoIterator<Item = Interface>) -> Arc<dyn Handler> {
    Arc::new(Combined(interfaces.into_iter().collect()))
}

struct Combined(Vec<Interface>);

impl Handler for Combined {
    fn handle(self: Arc<Self>, call: IncomingCall) -> Answered {
        let instance = &*call.operation.instance;
        match self.0.iter().find(|one| one.instance == instance) {
            Some(interface) => (interface.answer)(call),
            None => {
                let error = unknown_function(&call.operation, &call.context);
                async { Err(error) }.boxed()
            }
        }
    }
}

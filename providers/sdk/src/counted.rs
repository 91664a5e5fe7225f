//! The calls of components as they are seen from outside: counted, for the host's inventory, and each in a span of its own, for
//! the log.

use std::{sync::Arc, time::Instant};

use futures::future::BoxFuture;
use tracing::Instrument as _;
use trellis_rpc::{CallError, Handler, IncomingCall, Outgoing, stats::Stats};

/// The handler, with its calls counted.
pub(crate) fn calls(handler: Arc<dyn Handler>, stats: Arc<Stats>) -> Arc<dyn Handler> {
    Arc::new(Counted { handler, stats })
}

struct Counted {
    handler: Arc<dyn Handler>,
    stats: Arc<Stats>,
}

impl Handler for Counted {
    fn handle(
        self: Arc<Self>,
        call: IncomingCall,
    ) -> BoxFuture<'static, Result<Outgoing, CallError>> {
        let started = Instant::now();
        let running = self.stats.enter().run();
        // What is logged while the call is handled says whose it is, where `log_level` has debug. Nothing is formatted else.
        let span = tracing::debug_span!(
            "call",
            operation = %call.operation,
            source = call.context.source_id.as_deref(),
            link = call.context.link_name.as_deref(),
            trace = call.context.trace.map(tracing::field::display),
        );
        let answer = self.handler.clone().handle(call);
        let counted = async move {
            let answer = answer.await;
            if let Err(error) = &answer {
                tracing::debug!(%error, "the call failed");
            }
            self.stats.ended(started.elapsed(), answer.is_err());
            drop(running);
            answer
        };
        Box::pin(counted.instrument(span))
    }
}

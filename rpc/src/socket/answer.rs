//! One call on the callee's side: its parameters in, its results or its error out.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::{
    connection::Entered,
    exchange::Event,
    frame::{Frame, MAX_PART},
    outbox::Pace,
    served::Place,
    stream,
};
use crate::{
    call::{CallContext, Incoming, IncomingCall, Operation, Outgoing},
    error::CallError,
    serving,
};

/// A call that has been taken.
pub(super) struct Answer {
    pub(super) entered: Arc<Entered>,
    /// Its place among those that run.
    pub(super) place: Place,
    pub(super) operation: Operation,
    pub(super) context: CallContext,
    pub(super) cancelled: CancellationToken,
    pub(super) received: Instant,
}

impl Answer {
    /// Runs the handler under the call's deadline and sends what it gives.
    pub(super) async fn run(self) {
        let Self {
            entered,
            place,
            operation,
            mut context,
            cancelled,
            received,
        } = self;
        let default = place.0.options.default_deadline;
        let deadline = *context.deadline.get_or_insert_with(|| received + default);
        let unanswered = Unanswered(Some(&entered));
        let work = async {
            let root = match entered.exchange.take_whole() {
                Some(root) => root,
                // In a box, as what a simple call does not need. Whatever deadline the caller names, it may not hold a
                // place for longer without sending.
                None => Box::pin(tokio::time::timeout(default, gather(&entered)))
                    .await
                    .map_err(|_| serving::late_params())??,
            };
            let params = Incoming {
                root,
                channels: stream::arriving(&entered, ()),
            };
            let call = IncomingCall {
                operation,
                context,
                params,
                cancelled: cancelled.clone(),
            };
            place.0.handler.clone().handle(call).await
        };
        let result = serving::run(work, &cancelled, received, deadline).await;
        match result {
            // A caller that gave up waits for nothing; one whose callee was stopped does.
            None if place.0.is_stopped() => drop(unanswered),
            None => unanswered.answer(),
            Some(result) => {
                unanswered.answer();
                match result {
                    Ok(results) => respond(&entered, results, &cancelled).await,
                    Err(error) => refuse(&entered, &error),
                }
            }
        }
    }
}

/// The parameters that the call's first frame did not hold.
async fn gather(entered: &Entered) -> Result<Bytes, CallError> {
    loop {
        match entered.exchange.event().await {
            Ok(Event::Root(root)) => return Ok(root),
            Ok(Event::Granted) => {}
            Err(failure) => return Err(failure.error),
        }
    }
}

/// Says that the call failed, and why.
pub(super) fn refuse(entered: &Entered, error: &CallError) {
    tracing::debug!(kind = error.kind(), %error, "a call failed");
    let connection = &entered.connection;
    let (frame, words) = match error {
        // That it found nobody for a call of its own does not mean that nobody took this one.
        CallError::NoResponder { .. } | CallError::OutOfBounds(_) => {
            failed(entered.id, &CallError::Failed(error.to_string()))
        }
        _ => failed(entered.id, error),
    };
    connection.outbox.send(&frame, &words, connection.pace());
}

/// An error as a frame and its payload.
pub(super) fn failed(id: u64, error: &CallError) -> (Frame, Bytes) {
    let kind = error.kind().into();
    (
        Frame::Failed { id, kind },
        Bytes::from(serving::words(error)),
    )
}

/// Sends the results, and then what streams among them.
async fn respond(
    entered: &Arc<Entered>,
    Outgoing { root, channels }: Outgoing,
    cancelled: &CancellationToken,
) {
    let connection = &entered.connection;
    let limit = connection.options.max_message_bytes;
    if root.len() > limit {
        let (what, bytes) = ("the results".into(), root.len());
        return refuse(entered, &CallError::TooLarge { what, bytes, limit });
    }
    let paths = match stream::paths(&channels) {
        Ok(paths) => paths,
        Err(error) => return refuse(entered, &error),
    };
    let mut rest = root;
    let total = rest.len() as u64;
    let first = rest.split_to(rest.len().min(MAX_PART));
    if !channels.is_empty() {
        entered
            .exchange
            .announce(channels.len(), connection.window());
    }
    let frame = Frame::Results {
        id: entered.id,
        total,
        channels: paths,
    };
    let pace = connection.pace();
    tokio::select! {
        biased;
        put = connection.outbox.room() => {
            let Ok(mut put) = put else { return };
            put.frame(&frame, &first);
            put.send(pace);
        }
        () = cancelled.cancelled() => return,
    }
    if rest.is_empty() && channels.is_empty() {
        return;
    }
    let others = Box::pin(async {
        let frame = Frame::MoreResults { id: entered.id };
        while !rest.is_empty() {
            let mut put = connection.outbox.quiet().await?;
            put.frame(&frame, &rest.split_to(rest.len().min(MAX_PART)));
            put.send(Pace::Together);
        }
        stream::send_all(entered, channels).await;
        Ok::<_, CallError>(())
    });
    tokio::select! {
        biased;
        () = cancelled.cancelled() => {}
        sent = others => {
            if let Err(error) = sent {
                tracing::debug!(%error, "a call's results could not be sent whole");
            }
        }
    }
}

/// A call that nothing has been said about. Dropped so, with its server, it tells the caller that nothing will be.
struct Unanswered<'a>(Option<&'a Entered>);

impl Unanswered<'_> {
    fn answer(mut self) {
        self.0 = None;
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(entered) = self.0 {
            let (frame, words) = failed(entered.id, &serving::stopped());
            entered.notify(&frame, &words);
        }
    }
}

//! The callee's side: takes calls, each its own task, within the limit.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_nats::{Message, Subject, Subscriber};
use futures::StreamExt as _;
use tokio::task::JoinSet;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use trellis_lattice::ComponentId;

use super::{answer::Answer, connection::Connection, exchange::Dialect, operation};
use crate::{
    call::{Handler, Operation},
    error::CallError,
    serving::{self, ServeOptions},
};

/// More operations than a target has are named by mistake or malice; they are not remembered.
const MAX_OPERATIONS: usize = 1024;

/// How many more calls a server that leaves still takes. The client forgets a subscription before the NATS server has
/// heard of it, and what comes between is lost without a word; one that ends by itself, after a number of messages that
/// both count, loses none. More than can be on their way at any moment.
const LAST_CALLS: u64 = 128;
/// After so long without a call, none is likely to come in the moment between.
const QUIET: Duration = Duration::from_millis(25);
/// When calls come too slowly to be that many, and too fast to be quiet.
const LONGEST_LEAVE: Duration = Duration::from_secs(1);

/// A target being served. Dropping it ends the serving and the calls that run.
#[derive(Debug)]
pub struct Serving {
    drain: CancellationToken,
    gone: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Serving {
    /// Takes a few last calls and then no more; those that run go on. Over within two seconds, even when NATS is away.
    pub async fn leave(&self) {
        self.drain.cancel();
        let patience = LONGEST_LEAVE * 2;
        if tokio::time::timeout(patience, self.gone.cancelled())
            .await
            .is_err()
        {
            tracing::debug!("NATS has not taken back a subscription in {patience:?}");
        }
    }

    /// Takes a few last calls, lets those that run finish, and ends. Bound it with a timeout: a call may stream for as
    /// long as it likes.
    pub async fn drain(self) {
        self.drain.cancel();
        if let Err(error) = self.task.await
            && error.is_panic()
        {
            tracing::error!(%error, "serving calls ended with a panic");
        }
    }

    /// Waits until serving ends by itself: when the connection is closed.
    pub async fn ended(&mut self) {
        _ = (&mut self.task).await;
    }
}

/// Subscribes and starts serving.
pub(super) async fn serve(
    connection: Arc<Connection>,
    target: &ComponentId,
    handler: Arc<dyn Handler>,
    options: ServeOptions,
) -> Result<Serving, CallError> {
    let client = &connection.client;
    let failed = |error: async_nats::SubscribeError| CallError::Transport(error.to_string());
    // Cancels first: once a call can come, its cancel is heard.
    let cancels = client
        .subscribe(connection.subjects.call_cancel(target))
        .await
        .map_err(failed)?;
    let subject = connection.subjects.calls(target);
    let calls = client
        .queue_subscribe(subject, target.to_string())
        .await
        .map_err(failed)?;
    connection.confirm().await?;
    let drain = CancellationToken::new();
    let gone = CancellationToken::new();
    let server = Server {
        connection,
        target: target.clone(),
        handler,
        options,
        operations: HashMap::new(),
        running: Running::default(),
        tasks: JoinSet::new(),
        received: 0,
    };
    let task = tokio::spawn(server.run(calls, cancels, drain.clone(), gone.clone()));
    Ok(Serving {
        drain,
        gone,
        task: AbortOnDropHandle::new(task),
    })
}

struct Server {
    connection: Arc<Connection>,
    target: ComponentId,
    handler: Arc<dyn Handler>,
    options: ServeOptions,
    /// The operations called so far, by the end of their subject.
    operations: HashMap<String, Operation>,
    running: Running,
    tasks: JoinSet<()>,
    /// How many messages the subscription brought.
    received: u64,
}

/// A server on its leave.
#[derive(Clone, Copy, Debug)]
struct Leaving {
    /// When it has been quiet for long enough.
    quiet: Instant,
    /// When it ends in any case.
    latest: Instant,
}

impl Server {
    async fn run(
        mut self,
        mut calls: Subscriber,
        mut cancels: Subscriber,
        drain: CancellationToken,
        gone: CancellationToken,
    ) {
        let mut draining = false;
        let mut leaving = None;
        let mut open = true;
        while open || !self.tasks.is_empty() {
            if !open {
                gone.cancel();
            }
            tokio::select! {
                // A cancel comes after its call: calls that are there are taken first.
                biased;
                Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => report(ended),
                () = drain.cancelled(), if !draining => {
                    draining = true;
                    let last = self.received + LAST_CALLS;
                    open &= calls.unsubscribe_after(last).await.is_ok();
                    let now = Instant::now();
                    leaving = Some(Leaving { quiet: now + QUIET, latest: now + LONGEST_LEAVE });
                }
                () = left(leaving), if leaving.is_some() => {
                    leaving = None;
                    open &= calls.drain().await.is_ok();
                }
                call = calls.next(), if open => match call {
                    Some(call) => {
                        self.received += 1;
                        if let Some(leaving) = &mut leaving {
                            leaving.quiet = Instant::now() + QUIET;
                        }
                        self.accept(call).await;
                    }
                    None => {
                        open = false;
                        leaving = None;
                    }
                },
                Some(cancel) = cancels.next() => self.running.cancel(&cancel.payload),
            }
        }
        gone.cancel();
    }

    async fn accept(&mut self, message: Message) {
        let received = Instant::now();
        let Some(reply) = message.reply.clone() else {
            tracing::debug!(subject = %message.subject, "a call without an inbox for its results was left out");
            return;
        };
        let dialect = Dialect::of(message.headers.as_ref());
        let cancelled = CancellationToken::new();
        let answer = Answer::new(
            self.connection.clone(),
            reply.clone(),
            dialect,
            cancelled.clone(),
        );
        let Some(operation) = self.operation(&message.subject) else {
            let operation = message.subject.to_string();
            let target = self.target.to_string();
            return answer
                .refuse(&CallError::UnknownFunction { target, operation })
                .await;
        };
        if self.tasks.len() >= self.options.max_in_flight {
            let busy = serving::overloaded(&self.target, self.options.max_in_flight);
            return answer.refuse(&busy).await;
        }
        let entry = dialect
            .is_trellis()
            .then(|| self.running.enter(&reply, cancelled));
        let (handler, default) = (self.handler.clone(), self.options.default_deadline);
        self.tasks.spawn(async move {
            answer
                .run(message, operation, handler, received, default)
                .await;
            drop(entry);
        });
    }

    fn operation(&mut self, subject: &Subject) -> Option<Operation> {
        let suffix = self
            .connection
            .subjects
            .call_suffix(&self.target, subject)?;
        if let Some(operation) = self.operations.get(suffix) {
            return Some(operation.clone());
        }
        let operation = operation::parse(suffix)?;
        if self.operations.len() < MAX_OPERATIONS {
            self.operations.insert(suffix.to_owned(), operation.clone());
        }
        Some(operation)
    }
}

/// Waits until who leaves may go.
async fn left(leaving: Option<Leaving>) {
    if let Some(Leaving { quiet, latest }) = leaving {
        tokio::time::sleep_until(quiet.min(latest).into()).await;
    }
}

/// A handler's panic is answered and caught; what ends a task otherwise is ours.
fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "answering a call ended with a panic");
    }
}

/// The calls that run, by their caller's inbox: where a cancel finds them.
#[derive(Clone, Debug, Default)]
struct Running {
    calls: Arc<Mutex<HashMap<Arc<str>, CancellationToken>>>,
}

/// A call that runs for as long as this lives.
struct Entry {
    running: Running,
    inbox: Arc<str>,
}

impl Running {
    fn enter(&self, inbox: &str, cancelled: CancellationToken) -> Entry {
        let inbox: Arc<str> = inbox.into();
        self.lock().insert(inbox.clone(), cancelled);
        Entry {
            running: self.clone(),
            inbox,
        }
    }

    fn cancel(&self, inbox: &[u8]) {
        let Ok(inbox) = std::str::from_utf8(inbox) else {
            return;
        };
        let cancelled = self.lock().get(inbox).cloned();
        if let Some(cancelled) = cancelled {
            cancelled.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, CancellationToken>> {
        // Nothing panics while holding it.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.running.lock().remove(&self.inbox);
    }
}

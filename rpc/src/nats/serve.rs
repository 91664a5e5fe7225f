//! The callee's side: takes calls, each its own task, within the limit.

use std::{
    collections::HashMap,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use async_nats::{Message, Subject, Subscriber};
use futures::StreamExt as _;
use tokio::task::JoinSet;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use trellis_lattice::{ComponentId, Place, subject::Tier};

use super::{
    answer::{Answer, Signature},
    connection::Connection,
    exchange::Dialect,
    headers, operation,
};
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
/// The farthest PoP that it is waited for beside.
const FARTHEST: Duration = Duration::from_millis(500);
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
    pub fn leave(&self) -> impl Future<Output = ()> + Send + use<> {
        self.drain.cancel();
        let gone = self.gone.clone();
        async move {
            let patience = LONGEST_LEAVE * 2;
            if tokio::time::timeout(patience, gone.cancelled())
                .await
                .is_err()
            {
                tracing::debug!("NATS has not taken back a subscription in {patience:?}");
            }
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
    let mut calls = Calls::default();
    for tier in tiers(connection.place()) {
        let subject = connection.subjects.calls_at(target, &tier);
        let subscriber = client
            .queue_subscribe(subject, target.to_string())
            .await
            .map_err(failed)?;
        calls.add(subscriber);
    }
    if let Some(vicinity) = &connection.vicinity {
        vicinity.answer(client, &connection.subjects).await?;
    }
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
        leaving: false,
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
    /// It takes its last calls.
    leaving: bool,
}

/// Whom a server there listens for: everybody, and those who call from or for its PoP or its region.
fn tiers(place: Option<&Place>) -> Vec<Tier> {
    let mut tiers = vec![Tier::Anywhere];
    if let Some(place) = place {
        tiers.push(Tier::Pop(place.pop.clone()));
        tiers.extend(place.region.clone().map(Tier::Region));
    }
    tiers
}

/// The calls of one target, whatever subject they come under.
#[derive(Debug, Default)]
struct Calls {
    subscriptions: Vec<Subscription>,
    /// Who is looked at first: none holds up the others.
    turn: usize,
}

#[derive(Debug)]
struct Subscription {
    subscriber: Subscriber,
    /// How many messages it brought.
    received: u64,
    open: bool,
}

impl Calls {
    fn add(&mut self, subscriber: Subscriber) {
        self.subscriptions.push(Subscription {
            subscriber,
            received: 0,
            open: true,
        });
    }

    /// The next call; none once all subscriptions have ended.
    async fn next(&mut self) -> Option<Message> {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Message>> {
        let count = self.subscriptions.len();
        let mut open = false;
        for step in 0..count {
            let index = (self.turn + step) % count;
            let Some(one) = self.subscriptions.get_mut(index).filter(|one| one.open) else {
                continue;
            };
            match one.subscriber.poll_next_unpin(context) {
                Poll::Ready(Some(message)) => {
                    one.received += 1;
                    self.turn = (index + 1) % count;
                    return Poll::Ready(Some(message));
                }
                Poll::Ready(None) => one.open = false,
                Poll::Pending => open = true,
            }
        }
        match open {
            true => Poll::Pending,
            false => Poll::Ready(None),
        }
    }

    /// Lets each end after a few messages more.
    async fn leave(&mut self) {
        for one in self.subscriptions.iter_mut().filter(|one| one.open) {
            let last = one.received + LAST_CALLS;
            one.open &= one.subscriber.unsubscribe_after(last).await.is_ok();
        }
    }

    /// Ends each with what is there.
    async fn drain(&mut self) {
        for one in self.subscriptions.iter_mut().filter(|one| one.open) {
            one.open &= one.subscriber.drain().await.is_ok();
        }
    }
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
        mut calls: Calls,
        mut cancels: Subscriber,
        drain: CancellationToken,
        gone: CancellationToken,
    ) {
        let mut draining = false;
        let mut quiet = QUIET;
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
                    (draining, self.leaving) = (true, true);
                    quiet = self.quiet();
                    calls.leave().await;
                    let now = Instant::now();
                    leaving = Some(Leaving { quiet: now + quiet, latest: now + LONGEST_LEAVE });
                }
                () = left(leaving), if leaving.is_some() => {
                    leaving = None;
                    calls.drain().await;
                }
                call = calls.next(), if open => match call {
                    Some(call) => {
                        if let Some(leaving) = &mut leaving {
                            leaving.quiet = Instant::now() + quiet;
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

    /// After how long without a call it may go: one from another PoP is under way for a while, and so is the word to
    /// there that none should come here.
    fn quiet(&self) -> Duration {
        let around = self.connection.vicinity.as_ref();
        QUIET + around.map_or(Duration::ZERO, |around| around.farthest().min(FARTHEST))
    }

    async fn accept(&mut self, message: Message) {
        let received = Instant::now();
        let Some(reply) = message.reply.clone() else {
            tracing::debug!(subject = %message.subject, "a call without an inbox for its results was left out");
            return;
        };
        let headers = message.headers.as_ref();
        let dialect = Dialect::of(headers);
        let signature = Signature {
            who: headers::asks_who(headers),
            leaving: self.leaving && dialect.is_trellis(),
        };
        let cancelled = CancellationToken::new();
        let answer = Answer::new(
            self.connection.clone(),
            reply.clone(),
            dialect,
            signature,
            cancelled.clone(),
        );
        if !headers::allows(headers, self.connection.place()) {
            return answer.refuse_outside().await;
        }
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

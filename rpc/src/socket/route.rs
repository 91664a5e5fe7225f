//! The caller's side.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio_util::task::AbortOnDropHandle;

use super::{
    connection::{Entered, PASSING_HEAD},
    exchange::{Event, Exchange, Failure},
    frame::{Frame, Head, MAX_PART},
    outbox::{Pace, Put},
    stream,
    targets::{Cell, Lane},
};
use crate::{
    call::{Call, Incoming, Route, RouteKind},
    channel::{Channels, Path},
    counts::CallCounts,
    deadline,
    error::CallError,
    trail::{Trail, Try, TryEnd, Who},
};

/// Over a socket while a peer serves the target, else the other way.
pub(super) struct SocketRoute {
    pub(super) cell: Arc<Cell>,
    pub(super) otherwise: Arc<dyn Route>,
    pub(super) default_deadline: Duration,
    pub(super) counts: Option<Arc<CallCounts>>,
}

/// A call that did not go through, and, if the callee can't have begun, the call itself.
type GivenBack = (CallError, Option<Box<Call>>);

impl fmt::Debug for SocketRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketRoute")
            .field("target", &self.cell.target)
            .field("otherwise", &self.otherwise)
            .finish_non_exhaustive()
    }
}

impl Route for SocketRoute {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Incoming, CallError>> {
        match self.cell.lane() {
            Some(lane) => Box::pin(self.call_over(lane, call)),
            None => self.otherwise.call(call),
        }
    }

    fn kind(&self) -> RouteKind {
        match self.cell.is_served() {
            true => RouteKind::UnixSocket,
            false => self.otherwise.kind(),
        }
    }
}

impl SocketRoute {
    async fn call_over(&self, lane: Arc<Lane>, mut call: Call) -> Result<Incoming, CallError> {
        let started = Instant::now();
        let default = self.default_deadline;
        // Settled here: what is left of it is what the other way has.
        let deadline = *call
            .context
            .deadline
            .get_or_insert_with(|| started + default);
        let trail = call.context.trail.clone();
        let over = tokio::time::timeout_at(deadline.into(), lane.call(call, deadline));
        let (error, call) = match over.await {
            Ok(Ok(results)) => {
                self.taken(trail.as_deref(), started);
                return Ok(results);
            }
            Ok(Err(given_back)) => given_back,
            Err(_) => return Err(deadline::exceeded(started)),
        };
        let Some(call) = call else {
            self.taken(trail.as_deref(), started);
            return Err(error);
        };
        tracing::debug!(target_id = %self.cell.target, %error, "a call goes another way than the socket");
        match Box::pin(self.otherwise.call(*call)).await {
            // That somebody is there and busy says more than that nobody else is.
            Err(CallError::NoResponder { .. }) if matches!(error, CallError::Overloaded(_)) => {
                Err(error)
            }
            result => result,
        }
    }

    /// Notes that a call went this way.
    fn taken(&self, trail: Option<&Trail>, started: Instant) {
        if let Some(counts) = &self.counts {
            counts.socket();
        }
        if let Some(trail) = trail {
            trail.push(Try {
                way: RouteKind::UnixSocket,
                tier: None,
                // Whoever is at the other end is known to whom made the route.
                end: TryEnd::Answered(Who::default()),
                took: started.elapsed(),
            });
        }
    }
}

impl Lane {
    /// Makes one call.
    async fn call(&self, mut call: Call, deadline: Instant) -> Result<Incoming, GivenBack> {
        let limit = self.connection.options.max_message_bytes;
        if call.params.root.len() > limit {
            let (what, bytes) = ("the parameters".into(), call.params.root.len());
            return Err((CallError::TooLarge { what, bytes, limit }, None));
        }
        let paths = stream::paths(&call.params.channels).map_err(|error| (error, None))?;
        let streams = !paths.is_empty();
        let head = match self.head(&call.operation, &call.context) {
            Ok(head) => head,
            Err(error @ CallError::Malformed(_)) => return Err((error, None)),
            Err(error) => return Err((error, Some(Box::new(call)))),
        };
        let under_way = match self.connection.outbox.room().await {
            Ok(put) => self.begin(put, &call, head, paths, deadline),
            Err(error) => return Err((error, Some(Box::new(call)))),
        };
        let result = match call.params.root.len() > MAX_PART || streams {
            false => match under_way.entered.exchange.event().await {
                Ok(Event::Root(root)) => Ok(root),
                Err(failure) => Err(failure),
                // Nobody can grant for what is not sent.
                Ok(Event::Granted) => Err(Failure {
                    error: CallError::lost(0, 0),
                    not_started: false,
                }),
            },
            // In a box: few calls come here, and the others need not carry its state about.
            true => Box::pin(under_way.send_all(&mut call)).await,
        };
        match result {
            Ok(root) => Ok(under_way.results(root)),
            Err(Failure { error, not_started }) => {
                if not_started {
                    under_way.is_over();
                }
                let given_back = not_started && under_way.sending.get().is_none();
                Err((error, given_back.then(|| Box::new(call))))
            }
        }
    }

    /// Sends the call's first frame.
    fn begin(
        &self,
        put: Put<'_>,
        call: &Call,
        head: Result<u32, Head>,
        paths: Vec<Path>,
        deadline: Instant,
    ) -> UnderWay {
        let (head, passing) = match head {
            Ok(number) => (number, None),
            Err(head) => {
                let number = PASSING_HEAD;
                (number, Some(Frame::Head { number, head }))
            }
        };
        let root = &call.params.root;
        let first = root.slice(..root.len().min(MAX_PART));
        let exchange = Arc::new(Exchange::asked(paths.len()));
        let frame = |id| Frame::Call {
            id,
            head,
            deadline_ms: deadline::ms_left(deadline),
            trace: call.context.trace,
            total: root.len() as u64,
            channels: paths,
        };
        let whole = first.len() == root.len();
        let connection = &self.connection;
        let entered = connection.ask(put, &exchange, passing.as_ref(), frame, &first, whole);
        UnderWay {
            entered: Arc::new(entered),
            over: AtomicBool::new(false),
            sending: OnceLock::new(),
        }
    }
}

/// A call from its first frame to the end of its last stream. Dropped before that, it tells the callee.
struct UnderWay {
    entered: Arc<Entered>,
    /// The callee has said its last word.
    over: AtomicBool,
    /// Sends the parameters' channels.
    sending: OnceLock<AbortOnDropHandle<()>>,
}

impl UnderWay {
    /// Sends what the first frame did not hold, and waits for the results.
    async fn send_all(&self, call: &mut Call) -> Result<Bytes, Failure> {
        let rest = call
            .params
            .root
            .slice(MAX_PART.min(call.params.root.len())..);
        let answered = {
            let sending = self.send_root(rest);
            tokio::pin!(sending);
            tokio::select! {
                biased;
                event = self.entered.exchange.event() => Some(event),
                sent = &mut sending => {
                    sent?;
                    None
                }
            }
        };
        let mut event = match answered {
            Some(event) => event?,
            None => self.entered.exchange.event().await?,
        };
        loop {
            match event {
                Event::Root(root) => {
                    // A callee that has said its last word reads no more; one whose results stream may still.
                    if self.entered.exchange.has_channels() {
                        self.send_channels(call);
                    }
                    return Ok(root);
                }
                Event::Granted => self.send_channels(call),
            }
            event = self.entered.exchange.event().await?;
        }
    }

    async fn send_root(&self, mut rest: Bytes) -> Result<(), Failure> {
        let Entered {
            connection,
            exchange,
            id,
        } = &*self.entered;
        while !rest.is_empty() {
            let mut put = connection.outbox.quiet().await.map_err(|error| Failure {
                error,
                not_started: true,
            })?;
            let part = rest.split_to(rest.len().min(MAX_PART));
            put.frame(&Frame::Params { id: *id }, &part);
            if rest.is_empty() {
                exchange.put_until(put.position());
            }
            put.send(Pace::Together);
        }
        Ok(())
    }

    fn send_channels(&self, call: &mut Call) {
        let channels = std::mem::take(&mut call.params.channels);
        if channels.is_empty() {
            return;
        }
        let entered = self.entered.clone();
        let sending = tokio::spawn(async move { stream::send_all(&entered, channels).await });
        _ = self.sending.set(AbortOnDropHandle::new(sending));
    }

    fn results(self, root: Bytes) -> Incoming {
        if !self.entered.exchange.has_channels() {
            self.is_over();
            return Incoming {
                root,
                channels: Channels::none(),
            };
        }
        let entered = self.entered.clone();
        // The last of the channels to be dropped ends the call.
        let channels = stream::arriving(&entered, Arc::new(self));
        Incoming { root, channels }
    }

    fn is_over(&self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if !self.over.load(Ordering::Relaxed) {
            let id = self.entered.id;
            self.entered.notify(&Frame::Cancel { id }, &Bytes::new());
        }
    }
}

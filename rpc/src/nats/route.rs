//! The caller's side.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::{Duration, Instant},
};

use async_nats::{HeaderMap, Message, StatusCode, Subject};
use bytes::Bytes;
use futures::future::BoxFuture;
use tokio_util::task::AbortOnDropHandle;
use trellis_lattice::{ComponentId, Within, subject::Tier};

use super::{
    RouteOptions,
    attempt::Attempt,
    channel::{self, Peer},
    connection::{Connection, Opened},
    exchange::{Dialect, Receives, RootEvent, add_part},
    headers,
    reach::Reach,
};
use crate::{
    call::{Call, CallContext, Incoming, Operation, Outgoing, Route, RouteKind},
    channel::{ByteStream, Channels, Path},
    counts::CallCounts,
    deadline,
    error::CallError,
    root::Root,
    trail::TryEnd,
};

/// More operations than a target has are named by mistake; they are not remembered.
const MAX_SUBJECTS: usize = 1024;

/// How long a call to another PoP may go without an answer before that PoP is asked whether it is there.
const WONDER: Duration = Duration::from_secs(1);

/// The way to one target.
pub(super) struct NatsRoute {
    connection: Arc<Connection>,
    target: ComponentId,
    within: Option<Within>,
    /// Whom it may ask, in which order; why it may ask nobody.
    reach: Result<Reach, CallError>,
    counts: Option<Arc<CallCounts>>,
    cancel: Subject,
    /// For those who are asked first.
    subjects: RwLock<HashMap<Operation, Subject>>,
}

impl fmt::Debug for NatsRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsRoute")
            .field("target", &self.target)
            .field("within", &self.within)
            .finish_non_exhaustive()
    }
}

impl Route for NatsRoute {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Incoming, CallError>> {
        Box::pin(self.call_until_deadline(call))
    }

    fn kind(&self) -> RouteKind {
        RouteKind::Nats
    }
}

/// A call's first message, for whoever takes it.
struct Asked<'a> {
    operation: &'a Operation,
    context: &'a CallContext,
    deadline: Instant,
    /// The parameters, whole.
    root: Bytes,
}

/// What whoever took a call said first, and what is still to send of the parameters. None: nobody took it; it was not
/// delivered, or refused before it began.
type Taken = Option<(RootEvent, Bytes)>;

impl NatsRoute {
    pub(super) fn new(
        connection: Arc<Connection>,
        target: ComponentId,
        RouteOptions { within, counts }: RouteOptions,
    ) -> Self {
        let cancel = Subject::from(connection.subjects.call_cancel(&target));
        let reach = Reach::new(connection.place(), within.as_ref(), target.as_str());
        Self {
            connection,
            target,
            within,
            reach: reach.map_err(|outside| CallError::OutOfBounds(outside.to_string())),
            counts,
            cancel,
            subjects: RwLock::default(),
        }
    }

    async fn call_until_deadline(&self, call: Call) -> Result<Incoming, CallError> {
        let started = Instant::now();
        let deadline = call
            .context
            .deadline
            .unwrap_or_else(|| started + self.connection.options.default_deadline);
        match tokio::time::timeout_at(deadline.into(), self.call_once(call, deadline)).await {
            Ok(result) => result,
            Err(_) => Err(deadline::exceeded(started)),
        }
    }

    async fn call_once(&self, call: Call, deadline: Instant) -> Result<Incoming, CallError> {
        let Call {
            operation,
            context,
            params: Outgoing { root, channels },
        } = call;
        let reach = self.reach.as_ref().map_err(Clone::clone)?;
        let limit = self.connection.options.max_message_bytes;
        if root.len() > limit {
            return Err(CallError::TooLarge {
                what: "the parameters".into(),
                bytes: root.len(),
                limit,
            });
        }
        let mut guard = UnderWay {
            opened: self.connection.open(Receives::Results, None).await?,
            connection: self.connection.clone(),
            cancel: self.cancel.clone(),
            peer: OnceLock::new(),
            whole: false,
            channels: OnceLock::new(),
            sending: OnceLock::new(),
        };
        let again = reach.goes_on().then(|| root.clone());
        let asked = Asked {
            operation: &operation,
            context: &context,
            deadline,
            root,
        };
        let subject = self.subject(&operation, reach.first());
        let taken = self
            .ask(&mut guard, reach, reach.first(), subject, asked)
            .await?;
        let (event, rest) = match (taken, again) {
            (Some(taken), _) => taken,
            (None, None) => return Err(self.nobody()),
            (None, Some(root)) => {
                let asked = Asked {
                    operation: &operation,
                    context: &context,
                    deadline,
                    root,
                };
                Box::pin(self.ask_on(&mut guard, reach, asked)).await?
            }
        };
        match event {
            RootEvent::Reply(message) if message.reply.is_none() => self.whole(guard, message),
            // In a box: few calls come here, and the others need not carry its state about.
            event => Box::pin(self.collect(guard, event, rest, channels, &operation)).await,
        }
    }

    /// Asks those who come after the first, until somebody takes the call.
    async fn ask_on(
        &self,
        guard: &mut UnderWay,
        reach: &Reach,
        asked: Asked<'_>,
    ) -> Result<(RootEvent, Bytes), CallError> {
        for tier in reach.beyond(self.connection.vicinity.as_ref()) {
            let subject = self.subject_at(asked.operation, &tier);
            let again = Asked {
                root: asked.root.clone(),
                ..asked
            };
            match self.ask(guard, reach, &tier, subject, again).await? {
                Some(taken) => return Ok(taken),
                None => reach.missed(&tier),
            }
        }
        Err(self.nobody())
    }

    /// Asks those of one tier, and waits until somebody takes the call or nobody is there.
    async fn ask(
        &self,
        guard: &mut UnderWay,
        reach: &Reach,
        tier: &Tier,
        subject: Subject,
        asked: Asked<'_>,
    ) -> Result<Taken, CallError> {
        let attempt = Attempt {
            connection: &self.connection,
            reach,
            tier,
            trail: asked.context.trail.as_deref(),
            counts: self.counts.as_deref(),
            begun: Instant::now(),
            deadline: asked.deadline,
            over: false,
        };
        // Who is asked of a PoP is in it. Who else would be counted right has to say where it is.
        let placed = self.connection.vicinity.is_some();
        let who = asked.context.trail.is_some() || placed && !matches!(tier, Tier::Pop(_));
        let (headers, first, rest) = self.first_message(asked, who)?;
        let inbox = guard.opened.inbox.clone();
        guard.whole = false;
        self.connection
            .publish(subject, Some(inbox), Some(headers), first)
            .await?;
        let event = match (reach.other_pop(tier), &self.connection.vicinity) {
            (Some(_), Some(vicinity)) => match tokio::time::timeout(WONDER, guard.next()).await {
                Ok(event) => event?,
                Err(_) => {
                    vicinity.wonder();
                    guard.next().await?
                }
            },
            _ => guard.next().await?,
        };
        if let RootEvent::Reply(message) = &event {
            let nobody = message.status == Some(StatusCode::NO_RESPONDERS);
            if nobody || headers::is_outside(message.headers.as_ref()) {
                // Nobody has it: there is nobody to cancel it at.
                guard.whole = true;
                attempt.free(match nobody {
                    true => TryEnd::Nobody,
                    false => TryEnd::Outside,
                });
                return Ok(None);
            }
        }
        attempt.taken(&event);
        Ok(Some((event, rest)))
    }

    /// The first message's headers and content, and what of the parameters it does not hold.
    fn first_message(
        &self,
        asked: Asked<'_>,
        who: bool,
    ) -> Result<(HeaderMap, Bytes, Bytes), CallError> {
        let window = self.connection.options.window_bytes;
        let mut headers = headers::of_call(asked.context, asked.deadline, window)?;
        if let Some(within) = &self.within {
            headers::set_within(&mut headers, within);
        }
        if who {
            headers::ask_who(&mut headers);
        }
        let most = self.connection.client.max_payload();
        let mut rest = asked.root;
        if rest.len() <= most.saturating_sub(headers::wire_bytes(&headers)) {
            return Ok((headers, rest, Bytes::new()));
        }
        headers::set_total(&mut headers, rest.len());
        let first = rest.split_to(most.saturating_sub(headers::wire_bytes(&headers)));
        Ok((headers, first, rest))
    }

    /// Why nobody took a call.
    fn nobody(&self) -> CallError {
        match &self.within {
            Some(within) => CallError::nobody_within(within, &self.target),
            None => CallError::NoResponder {
                target: self.target.to_string(),
            },
        }
    }

    /// Results, or an error, in one message.
    fn whole(&self, mut guard: UnderWay, message: Message) -> Result<Incoming, CallError> {
        guard.whole = true;
        self.check(&message)?;
        Ok(Incoming {
            root: message.payload,
            channels: Channels::none(),
        })
    }

    /// Waits for results in several messages, answering handshakes on the way.
    async fn collect(
        &self,
        guard: UnderWay,
        mut event: RootEvent,
        rest: Bytes,
        channels: Vec<(Path, ByteStream)>,
        operation: &Operation,
    ) -> Result<Incoming, CallError> {
        let mut to_send = Some((rest, channels));
        let mut root = Root::new(self.connection.options.max_message_bytes);
        loop {
            match event {
                RootEvent::Reply(message) => {
                    let Some(inbox) = message.reply.clone() else {
                        return self.whole(guard, message);
                    };
                    self.check(&message)?;
                    let dialect = Dialect::of(message.headers.as_ref());
                    let peer = guard.peer.get_or_init(|| Peer {
                        connection: self.connection.clone(),
                        exchange: guard.opened.clone(),
                        inbox,
                        dialect,
                        sends: Receives::Params.token(),
                    });
                    // Whatever is left to send can go to that server now.
                    if let Some((rest, channels)) = to_send.take() {
                        guard.send(peer.clone(), rest, channels);
                    }
                    if let Some(channels) = headers::channels(message.headers.as_ref()) {
                        _ = guard.channels.set(channels);
                    }
                    if let Some(total) = headers::total(message.headers.as_ref()) {
                        root.begin(total, message.payload)?;
                    }
                }
                RootEvent::Chunk(message) => {
                    let plain = guard
                        .peer
                        .get()
                        .is_some_and(|peer| !peer.dialect.is_trellis());
                    add_part(&mut root, message, plain)?;
                }
                RootEvent::Failed(message) => {
                    let reason = String::from_utf8_lossy(&message.payload);
                    return Err(CallError::Failed(format!(
                        "{} failed at {operation}: {reason}",
                        self.target
                    )));
                }
            }
            if root.complete {
                // What may still come on this level, such as a second handshake, is not kept.
                guard.opened.root.end(Ok(()));
                let bytes = root.take();
                return Ok(Incoming {
                    root: bytes,
                    channels: guard.into_channels(),
                });
            }
            event = match guard.peer.get() {
                None => guard.next().await?,
                Some(peer) => peer.wait(guard.next()).await?,
            };
        }
    }

    /// What an answer says beside its values.
    fn check(&self, message: &Message) -> Result<(), CallError> {
        match message.status {
            None | Some(StatusCode::OK) => {}
            Some(StatusCode::NO_RESPONDERS) => {
                return Err(CallError::NoResponder {
                    target: self.target.to_string(),
                });
            }
            Some(status) => {
                return Err(CallError::Transport(format!(
                    "NATS answered the call with status {status}"
                )));
            }
        }
        match headers::error(message.headers.as_ref(), &message.payload) {
            None => Ok(()),
            Some(error) => Err(error),
        }
    }

    /// The operation's subject for those who are asked first, put together once.
    fn subject(&self, operation: &Operation, first: &Tier) -> Subject {
        // Nothing panics while holding it.
        let known = self
            .subjects
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(operation)
            .cloned();
        known.unwrap_or_else(|| {
            let subject = self.subject_at(operation, first);
            let mut known = self
                .subjects
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            if known.len() < MAX_SUBJECTS {
                known.insert(operation.clone(), subject.clone());
            }
            subject
        })
    }

    fn subject_at(&self, operation: &Operation, tier: &Tier) -> Subject {
        let Operation { instance, function } = operation;
        let subjects = &self.connection.subjects;
        Subject::from(subjects.call_at(&self.target, tier, instance, function))
    }
}

/// A call from its first message to the end of its last stream. Dropped before that, it tells the callee.
struct UnderWay {
    opened: Opened,
    connection: Arc<Connection>,
    /// Where every server of the target hears of calls given up.
    cancel: Subject,
    /// The server that took the call, once it said so.
    peer: OnceLock<Peer>,
    /// The results came whole, and nothing after them.
    whole: bool,
    /// How many channels the results have, once a callee of ours said so.
    channels: OnceLock<usize>,
    /// Sends what did not fit the first message.
    sending: OnceLock<AbortOnDropHandle<()>>,
}

impl UnderWay {
    /// The next thing that happens to the call as a whole.
    async fn next(&self) -> Result<RootEvent, CallError> {
        let closed = || CallError::Transport("the call's inbox was closed".to_owned());
        self.opened
            .root
            .next()
            .await?
            .map(|(event, _)| event)
            .ok_or_else(closed)
    }

    fn send(&self, peer: Peer, rest: Bytes, channels: Vec<(Path, ByteStream)>) {
        // A callee of ours that has the values whole asked for the channels.
        if peer.dialect.is_trellis() && rest.is_empty() && channels.is_empty() {
            return;
        }
        let sending = tokio::spawn(async move {
            match peer.send_root(rest).await {
                Ok(()) => peer.send_channels(channels).await,
                Err(error) => peer.exchange.fail(error),
            }
        });
        _ = self.sending.set(AbortOnDropHandle::new(sending));
    }

    /// The result's channels; the last of them to be dropped ends the call.
    fn into_channels(self) -> Channels {
        let call = Arc::new(self);
        Channels::from_fn(move |path| {
            let channel = call.opened.take_channel(path)?;
            let peer = call.peer.get()?.clone();
            Some(channel::read(
                peer,
                channel,
                path.into(),
                None,
                call.clone(),
            ))
        })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        match self.peer.get() {
            // Whole results are the callee's last word, and so is the end of their last channel.
            _ if self.whole => {}
            Some(_)
                if self
                    .channels
                    .get()
                    .is_some_and(|count| self.opened.has_ended(*count)) => {}
            Some(peer) if peer.dialect.is_trellis() => {
                self.connection.notify(
                    Subject::from(format!("{}.cancel", peer.inbox)),
                    None,
                    Bytes::new(),
                );
            }
            // A 1.x callee can't be told.
            Some(_) => {}
            None => {
                let inbox = Bytes::copy_from_slice(self.opened.inbox.as_bytes());
                self.connection.notify(self.cancel.clone(), None, inbox);
            }
        }
    }
}

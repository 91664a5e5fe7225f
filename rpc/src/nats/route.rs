//! The caller's side.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::Instant,
};

use async_nats::{Message, StatusCode, Subject};
use bytes::Bytes;
use futures::future::BoxFuture;
use tokio_util::task::AbortOnDropHandle;
use trellis_lattice::ComponentId;

use super::{
    channel::{self, Peer},
    connection::{Connection, Opened},
    exchange::{Dialect, Receives, RootEvent, add_part},
    headers,
};
use crate::{
    call::{Call, Incoming, Operation, Outgoing, Route, RouteKind},
    channel::{ByteStream, Channels, Path},
    deadline,
    error::CallError,
    root::Root,
};

/// More operations than a target has are named by mistake; they are not remembered.
const MAX_SUBJECTS: usize = 1024;

/// The way to one target.
pub(super) struct NatsRoute {
    connection: Arc<Connection>,
    target: ComponentId,
    cancel: Subject,
    subjects: RwLock<HashMap<Operation, Subject>>,
}

impl fmt::Debug for NatsRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsRoute")
            .field("target", &self.target)
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

impl NatsRoute {
    pub(super) fn new(connection: Arc<Connection>, target: ComponentId) -> Self {
        let cancel = Subject::from(connection.subjects.call_cancel(&target));
        Self {
            connection,
            target,
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
        let options = &self.connection.options;
        if root.len() > options.max_message_bytes {
            return Err(CallError::TooLarge {
                what: "the parameters".into(),
                bytes: root.len(),
                limit: options.max_message_bytes,
            });
        }
        let subject = self.subject(&operation);
        let mut headers = headers::of_call(&context, deadline, options.window_bytes)?;
        let mut rest = root;
        let room = self
            .connection
            .client
            .max_payload()
            .saturating_sub(headers::wire_bytes(&headers));
        let first = if rest.len() <= room {
            std::mem::take(&mut rest)
        } else {
            headers::set_total(&mut headers, rest.len());
            let room = self
                .connection
                .client
                .max_payload()
                .saturating_sub(headers::wire_bytes(&headers));
            rest.split_to(room)
        };
        let guard = UnderWay {
            opened: self.connection.open(Receives::Results, None).await?,
            connection: self.connection.clone(),
            cancel: self.cancel.clone(),
            peer: OnceLock::new(),
            whole: false,
            channels: OnceLock::new(),
            sending: OnceLock::new(),
        };
        let inbox = guard.opened.inbox.clone();
        self.connection
            .publish(subject, Some(inbox), Some(headers), first)
            .await?;
        let event = match guard.next().await? {
            RootEvent::Reply(message) if message.reply.is_none() => {
                return self.whole(guard, message);
            }
            event => event,
        };
        // In a box: few calls come here, and the others need not carry its state about.
        Box::pin(self.collect(guard, event, rest, channels, &operation)).await
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

    /// The operation's subject, put together once.
    fn subject(&self, operation: &Operation) -> Subject {
        // Nothing panics while holding it.
        let known = self
            .subjects
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(operation)
            .cloned();
        known.unwrap_or_else(|| {
            let subjects = &self.connection.subjects;
            let text = subjects.call(&self.target, &operation.instance, &operation.function);
            let subject = Subject::from(text);
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

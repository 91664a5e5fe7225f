//! The caller's side.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::Instant,
};

use async_nats::{Message, StatusCode, Subject};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures::future::BoxFuture;
use tokio_util::task::AbortOnDropHandle;
use trellis_lattice::ComponentId;

use super::{
    channel::{self, Peer},
    connection::{Connection, Opened},
    exchange::{Dialect, Receives, RootEvent, lost},
    headers,
};
use crate::{
    call::{Call, Incoming, Operation, Outgoing, Route, RouteKind},
    channel::{ByteStream, Channels, Path},
    error::CallError,
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
            Err(_) => {
                let waited = started.elapsed().as_millis();
                Err(CallError::DeadlineExceeded {
                    after_ms: u64::try_from(waited).unwrap_or(u64::MAX),
                })
            }
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
            sending: OnceLock::new(),
        };
        let inbox = guard.opened.inbox.clone();
        self.connection
            .publish(subject, Some(inbox), Some(headers), first)
            .await?;
        self.collect(guard, rest, channels, &operation).await
    }

    /// Waits for the results, answering handshakes on the way.
    async fn collect(
        &self,
        mut guard: UnderWay,
        rest: Bytes,
        channels: Vec<(Path, ByteStream)>,
        operation: &Operation,
    ) -> Result<Incoming, CallError> {
        let mut to_send = Some((rest, channels));
        let mut root = Root::new(self.connection.options.max_message_bytes);
        loop {
            let event = match guard.peer.get() {
                None => guard.opened.root.next().await,
                Some(peer) => peer.wait(guard.opened.root.next()).await,
            };
            let Some((event, _)) = event? else {
                return Err(CallError::Transport(
                    "the call's inbox was closed".to_owned(),
                ));
            };
            match event {
                RootEvent::Reply(message) => {
                    self.check(&message)?;
                    let Some(inbox) = message.reply.clone() else {
                        guard.whole = true;
                        return Ok(Incoming {
                            root: message.payload,
                            channels: Channels::none(),
                        });
                    };
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
                    if let Some(total) = headers::total(message.headers.as_ref()) {
                        root.begin(total, message.payload)?;
                    }
                }
                RootEvent::Chunk(message) => {
                    let plain = guard
                        .peer
                        .get()
                        .is_some_and(|peer| !peer.dialect.is_trellis());
                    root.add(message, plain)?;
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
                let bytes = root.take();
                return Ok(Incoming {
                    root: bytes,
                    channels: guard.into_channels(),
                });
            }
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
    /// Sends what did not fit the first message.
    sending: OnceLock<AbortOnDropHandle<()>>,
}

impl UnderWay {
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
            // Whole results are the callee's last word.
            _ if self.whole => {}
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

/// Root values that arrive in parts.
pub(super) struct Root {
    limit: usize,
    first: Bytes,
    more: BytesMut,
    total: Option<usize>,
    next_sequence: u64,
    /// They are all there.
    pub(super) complete: bool,
}

impl Root {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            first: Bytes::new(),
            more: BytesMut::new(),
            total: None,
            next_sequence: 0,
            complete: false,
        }
    }

    /// The first part of so many bytes in all.
    pub(super) fn begin(&mut self, total: u64, first: Bytes) -> Result<(), CallError> {
        let total = usize::try_from(total).unwrap_or(usize::MAX);
        self.check(total)?;
        self.total = Some(total);
        self.append(first)
    }

    /// The first part of nobody says how many bytes: a 1.x peer.
    pub(super) fn start(&mut self, first: Bytes) -> Result<(), CallError> {
        self.append(first)
    }

    /// A further part. A 1.x peer's last one is empty.
    pub(super) fn add(&mut self, message: Message, plain: bool) -> Result<(), CallError> {
        if plain && message.payload.is_empty() {
            self.complete = true;
            return Ok(());
        }
        if let Some(sequence) = headers::sequence(message.headers.as_ref()) {
            if sequence != self.next_sequence {
                return Err(lost(self.next_sequence, sequence));
            }
            self.next_sequence += 1;
        }
        self.append(message.payload)
    }

    /// The values.
    pub(super) fn take(self) -> Bytes {
        if self.more.is_empty() {
            self.first
        } else {
            self.more.freeze()
        }
    }

    fn append(&mut self, part: Bytes) -> Result<(), CallError> {
        let length = self.length() + part.len();
        self.check(length)?;
        if self.length() == 0 {
            self.first = part;
        } else {
            if self.more.is_empty() {
                // What was announced is within the bound, and most of what is announced comes.
                self.more.reserve(self.total.unwrap_or(length).max(length));
                self.more.put_slice(&std::mem::take(&mut self.first));
            }
            self.more.put_slice(&part);
        }
        match self.total {
            Some(total) if length > total => Err(CallError::Malformed(format!(
                "{length} bytes of values came where {total} were announced"
            ))),
            Some(total) => {
                self.complete = length == total;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn length(&self) -> usize {
        self.first.len() + self.more.len()
    }

    fn check(&self, bytes: usize) -> Result<(), CallError> {
        if bytes <= self.limit {
            return Ok(());
        }
        Err(CallError::TooLarge {
            what: "a call's values".into(),
            bytes,
            limit: self.limit,
        })
    }
}

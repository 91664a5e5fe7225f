//! One call on the callee's side: its parameters in, its results or its error out.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use async_nats::{Message, Subject};
use bytes::Bytes;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::{
    channel::{self, Peer},
    connection::{Connection, Opened},
    exchange::{Dialect, Receives, RootEvent, add_part},
    headers,
};
use crate::{
    call::{Handler, Incoming, IncomingCall, Operation, Outgoing},
    channel::Channels,
    error::CallError,
    root::Root,
    serving,
};

/// What is needed to answer a call.
pub(super) struct Answer {
    connection: Arc<Connection>,
    /// The caller's inbox.
    reply: Subject,
    dialect: Dialect,
    /// What to add to the first message of the answer.
    signature: Signature,
    cancelled: CancellationToken,
    /// Our inbox, once the call needs one.
    opened: OnceLock<Opened>,
    handshake: OnceCell<()>,
}

/// What an answer says beside its values.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Signature {
    /// Who answers.
    pub(super) who: bool,
    /// That whoever answers is about to leave.
    pub(super) leaving: bool,
}

impl Answer {
    pub(super) fn new(
        connection: Arc<Connection>,
        reply: Subject,
        dialect: Dialect,
        signature: Signature,
        cancelled: CancellationToken,
    ) -> Arc<Self> {
        let (opened, handshake) = (OnceLock::new(), OnceCell::new());
        Arc::new(Self {
            connection,
            reply,
            dialect,
            signature,
            cancelled,
            opened,
            handshake,
        })
    }

    /// Runs the handler under the call's deadline and sends what it gives.
    pub(super) async fn run(
        self: Arc<Self>,
        message: Message,
        operation: Operation,
        handler: Arc<dyn Handler>,
        received: Instant,
        default_deadline: Duration,
    ) {
        let mut context = headers::context(message.headers.as_ref(), received);
        let deadline = *context
            .deadline
            .get_or_insert_with(|| received + default_deadline);
        let unanswered = Unanswered(Some(&self));
        let total = headers::total(message.headers.as_ref());
        let work = async {
            // In a box, as everything that a simple call does not need.
            let whole = self.dialect.is_trellis() && total.is_none();
            let params = match whole {
                true => Incoming {
                    root: message.payload,
                    channels: self.channels(),
                },
                false => {
                    // Whatever deadline the caller names, it may not hold a place for longer without sending.
                    let gathered = Box::pin(self.gather(message.payload, total));
                    tokio::time::timeout(default_deadline, gathered)
                        .await
                        .map_err(|_| serving::late_params())??
                }
            };
            let cancelled = self.cancelled.clone();
            handler
                .handle(IncomingCall {
                    operation,
                    context,
                    params,
                    cancelled,
                })
                .await
        };
        let result = serving::run(work, &self.cancelled, received, deadline).await;
        unanswered.answer();
        match result {
            None => {}
            Some(Ok(results)) => self.respond(results).await,
            Some(Err(error)) => Box::pin(self.refuse(&error)).await,
        }
    }

    /// Says that the call failed, and why. A 1.x caller sees what it sees of a 1.x callee: results without a byte.
    pub(super) async fn refuse(&self, error: &CallError) {
        tracing::debug!(kind = error.kind(), %error, "a call failed");
        let headers = headers::of_error(error);
        let message = Bytes::from(serving::words(error));
        let sent = match self.dialect {
            Dialect::Trellis { .. } => {
                let headers = self.signed(Some(headers));
                self.publish("", None, headers, message).await
            }
            Dialect::Plain => self.refuse_plainly(Some(headers), message).await,
        };
        self.log_unsent(sent);
    }

    /// Says that the call was not taken: its residency bound does not hold who is here.
    pub(super) async fn refuse_outside(&self) {
        let headers = Some(headers::of_outside());
        let sent = self.publish("", None, headers, Bytes::new()).await;
        self.log_unsent(sent);
    }

    /// Headers of the answer's first message, with what there is to say beside.
    fn signed(&self, headers: Option<async_nats::HeaderMap>) -> Option<async_nats::HeaderMap> {
        let Signature { who, leaving } = self.signature;
        if !who && !leaving {
            return headers;
        }
        let mut headers = headers.unwrap_or_default();
        if who {
            let connection = &self.connection;
            headers::set_who(&mut headers, connection.host.as_ref(), connection.place());
        }
        if leaving {
            headers::set_leaving(&mut headers);
        }
        Some(headers)
    }

    async fn refuse_plainly(
        &self,
        headers: Option<async_nats::HeaderMap>,
        message: Bytes,
    ) -> Result<(), CallError> {
        if !self.handshake.initialized() {
            self.publish("", Some(self.connection.nowhere()), None, Bytes::new())
                .await?;
        }
        self.publish(".error", None, headers, message).await?;
        self.publish(".results", None, None, Bytes::new()).await
    }

    /// Sends the results, and then what streams among them.
    async fn respond(self: &Arc<Self>, results: Outgoing) {
        let max_payload = self.connection.client.max_payload();
        let signed = self.signed(None);
        let room = max_payload
            - signed
                .as_ref()
                .map_or(0, headers::wire_bytes)
                .min(max_payload);
        let in_one = results.channels.is_empty() && results.root.len() <= room;
        let sent = if self.dialect.is_trellis() && in_one {
            self.publish("", None, signed, results.root).await
        } else {
            Box::pin(async {
                tokio::select! {
                    biased;
                    () = self.cancelled.cancelled() => Ok(()),
                    sent = self.send(results, max_payload) => sent,
                }
            })
            .await
        };
        self.log_unsent(sent);
    }

    async fn send(
        self: &Arc<Self>,
        Outgoing { root, channels }: Outgoing,
        max_payload: usize,
    ) -> Result<(), CallError> {
        let limit = self.connection.options.max_message_bytes;
        if root.len() > limit {
            let what = "the results".into();
            self.refuse(&CallError::TooLarge {
                what,
                bytes: root.len(),
                limit,
            })
            .await;
            return Ok(());
        }
        let peer = self.peer();
        let mut rest = root;
        if self.dialect.is_trellis() {
            let window = self.connection.options.window_bytes;
            let mut headers = headers::of_results(window, channels.len());
            headers::set_total(&mut headers, rest.len());
            let headers = self.signed(Some(headers));
            let taken = headers.as_ref().map_or(0, headers::wire_bytes);
            let first = rest.split_to(max_payload.saturating_sub(taken).min(rest.len()));
            self.publish("", Some(peer.exchange.inbox.clone()), headers, first)
                .await?;
        }
        peer.send_root(rest).await?;
        peer.send_channels(channels).await;
        Ok(())
    }

    /// The parameters that the call itself did not hold, or not certainly.
    async fn gather(
        self: &Arc<Self>,
        first: Bytes,
        total: Option<u64>,
    ) -> Result<Incoming, CallError> {
        let plain = !self.dialect.is_trellis();
        let mut root = Root::new(self.connection.options.max_message_bytes);
        // A 1.x caller does not say how much is to come: it ends its parameters with an empty message.
        match total {
            Some(total) if !plain => root.begin(total, first)?,
            _ => root.start(first)?,
        }
        self.shake_hands().await?;
        let peer = self.peer();
        while !root.complete {
            let next = peer.wait(peer.exchange.root.next()).await?;
            if let Some((RootEvent::Chunk(message), _)) = next {
                add_part(&mut root, message, plain)?;
            }
        }
        peer.exchange.root.end(Ok(()));
        Ok(Incoming {
            root: root.take(),
            channels: self.channels(),
        })
    }

    /// The parameters' channels. A caller of ours sends them once one is read, and only then.
    fn channels(self: &Arc<Self>) -> Channels {
        let answer = self.clone();
        Channels::from_fn(move |path| {
            let peer = answer.peer();
            let channel = peer.exchange.take_channel(path)?;
            let shaking = answer.clone();
            let opening = Box::pin(async move { shaking.shake_hands().await });
            Some(channel::read(
                peer,
                channel,
                path.into(),
                Some(opening),
                answer.clone(),
            ))
        })
    }

    /// Tells the caller our inbox, once.
    async fn shake_hands(&self) -> Result<(), CallError> {
        let shake = || async {
            let window = self.connection.options.window_bytes;
            let headers = self
                .dialect
                .is_trellis()
                .then(|| headers::of_handshake(window));
            let headers = headers.and_then(|headers| self.signed(Some(headers)));
            let inbox = self.opened().inbox.clone();
            self.publish("", Some(inbox), headers, Bytes::new()).await
        };
        self.handshake.get_or_try_init(shake).await.map(|_| ())
    }

    fn peer(&self) -> Peer {
        Peer {
            connection: self.connection.clone(),
            exchange: (**self.opened()).clone(),
            inbox: self.reply.clone(),
            dialect: self.dialect,
            sends: Receives::Results.token(),
        }
    }

    fn opened(&self) -> &Opened {
        self.opened.get_or_init(|| {
            let opened = self
                .connection
                .enter(Receives::Params, Some(self.cancelled.clone()));
            opened.set_dialect(self.dialect);
            opened
        })
    }

    async fn publish(
        &self,
        below: &str,
        reply: Option<Subject>,
        headers: Option<async_nats::HeaderMap>,
        payload: Bytes,
    ) -> Result<(), CallError> {
        let subject = match below {
            "" => self.reply.clone(),
            _ => Subject::from(format!("{}{below}", self.reply)),
        };
        self.connection
            .publish(subject, reply, headers, payload)
            .await
    }

    fn log_unsent(&self, sent: Result<(), CallError>) {
        if let Err(error) = sent {
            tracing::warn!(%error, "a call's answer could not be sent");
        }
    }
}

/// A call that nothing has been said about. Dropped so, with its server, it tells the caller that nothing will be.
struct Unanswered<'a>(Option<&'a Answer>);

impl Unanswered<'_> {
    fn answer(mut self) {
        self.0 = None;
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        let Some(Answer {
            connection,
            reply,
            dialect,
            ..
        }) = self.0
        else {
            return;
        };
        let stopped = serving::stopped();
        let headers = Some(headers::of_error(&stopped));
        match dialect {
            Dialect::Trellis { .. } => {
                connection.notify(reply.clone(), headers, Bytes::from(stopped.to_string()));
            }
            // No results is all that a 1.x callee says. One that waits for the handshake only has its own timeout.
            Dialect::Plain => {
                let results = Subject::from(format!("{reply}.results"));
                connection.notify(results, None, Bytes::new());
            }
        }
    }
}

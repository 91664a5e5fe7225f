//! One call's inbox: what arrives for it, sorted by what it is.
//!
//! Both sides of a call have one: the caller's from the start, the callee's once it has to receive anything after the
//! call itself. Below it are the root values (`.results` or `.params`), the channels (`.results.0.1`), what the other
//! side grants for the channels sent to it (`.flow.0.1`), `.error`, `.cancel` and `.probe`.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use async_nats::{Message, Subject};
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::headers;
use crate::{
    channel::{MAX_CHANNELS, MAX_PATH, Path},
    credit::{Credit, cost},
    error::CallError,
    mailbox::Mailbox,
    root::Root,
};

/// Which values arrive here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receives {
    /// The caller's inbox.
    Results,
    /// The callee's inbox.
    Params,
}

impl Receives {
    pub(super) fn token(self) -> &'static str {
        match self {
            Self::Results => "results",
            Self::Params => "params",
        }
    }
}

/// How the other side speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// As 1.x: nothing but the values.
    Plain,
    /// As we do: numbered messages, and so many bytes on each channel before we grant more.
    Trellis {
        /// What the other side takes on each channel that we send.
        window: u64,
    },
}

impl Dialect {
    /// What a peer speaks, from the headers it sent.
    pub(super) fn of(headers: Option<&async_nats::HeaderMap>) -> Self {
        headers::flow(headers).map_or(Self::Plain, |window| Self::Trellis { window })
    }

    /// Whether it is ours.
    pub(super) fn is_trellis(self) -> bool {
        matches!(self, Self::Trellis { .. })
    }
}

/// Bounds on what an exchange holds for readers that have not come yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Root values.
    pub(super) root: usize,
    /// What we let a Trellis peer send on a channel.
    pub(super) window: usize,
    /// What a 1.x peer, which knows no windows, may be ahead of the reader.
    pub(super) plain: usize,
}

/// A part of the root values, or an answer about the call as a whole.
#[derive(Debug)]
pub(super) enum RootEvent {
    /// On the inbox itself: a handshake, a whole answer, an error, or "nobody is there".
    Reply(Message),
    /// A part of the root values; an empty one ends a 1.x peer's.
    Chunk(Message),
    /// On `.error`: what 1.x's callees say when they fail.
    Failed(Message),
}

/// A call's inbox.
#[derive(Debug)]
pub(super) struct Exchange {
    /// Its number among the connection's.
    pub(super) id: u64,
    /// Its subject.
    pub(super) inbox: Subject,
    receives: Receives,
    bounds: Bounds,
    /// How often the connection had been made when it began.
    pub(super) born: u64,
    dialect: OnceLock<Dialect>,
    /// What happens on the root level.
    pub(super) root: Mailbox<RootEvent>,
    channels: Mutex<HashMap<Path, Arc<Channel>>>,
    credits: Mutex<HashMap<Path, Arc<Credit>>>,
    /// The callee's: the caller gave up.
    cancelled: Option<CancellationToken>,
    failed: OnceLock<CallError>,
}

/// A stream or future on its way in.
#[derive(Debug, Default)]
pub(super) struct Channel {
    /// Its chunks.
    pub(super) chunks: Mailbox<Bytes>,
    progress: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    next_sequence: u64,
    taken: bool,
}

impl Exchange {
    pub(super) fn new(
        id: u64,
        inbox: Subject,
        receives: Receives,
        bounds: Bounds,
        born: u64,
        cancelled: Option<CancellationToken>,
    ) -> Self {
        Self {
            id,
            inbox,
            receives,
            bounds,
            born,
            dialect: OnceLock::new(),
            root: Mailbox::default(),
            channels: Mutex::default(),
            credits: Mutex::default(),
            cancelled,
            failed: OnceLock::new(),
        }
    }

    /// Settles how the other side speaks; the first word counts.
    pub(super) fn set_dialect(&self, dialect: Dialect) {
        _ = self.dialect.set(dialect);
    }

    /// Takes in a message that arrived at `rest` below the inbox. Never waits.
    pub(super) fn deliver(&self, rest: &str, message: Message) {
        if rest.is_empty() {
            if message.reply.is_some() {
                self.set_dialect(Dialect::of(message.headers.as_ref()));
            }
            return self.push_root(RootEvent::Reply(message));
        }
        let (kind, path) = match rest.split_once('.') {
            Some((kind, path)) => (kind, Some(path)),
            None => (rest, None),
        };
        match (kind, path) {
            (kind, None) if kind == self.receives.token() => {
                self.push_root(RootEvent::Chunk(message))
            }
            (kind, Some(path)) if kind == self.receives.token() => {
                self.deliver_chunk(path, message)
            }
            ("flow", Some(path)) => self.deliver_grant(path, &message.payload),
            ("error", None) => self.push_root(RootEvent::Failed(message)),
            ("cancel", None) => {
                if let Some(cancelled) = &self.cancelled {
                    cancelled.cancel();
                }
            }
            // A probe itself needs no answer: that nobody denies it is one.
            ("probe", None) => {
                if message.status.is_some() {
                    self.fail(CallError::Transport(
                        "the other side of the call is gone".to_owned(),
                    ));
                } else if let Some(error) =
                    headers::error(message.headers.as_ref(), &message.payload)
                {
                    self.fail(error);
                }
            }
            _ => {}
        }
    }

    /// Ends everything here with an error. What arrived before it can still be read.
    pub(super) fn fail(&self, error: CallError) {
        _ = self.failed.set(error.clone());
        self.root.end(Err(error.clone()));
        for channel in lock(&self.channels).values() {
            channel.chunks.end(Err(error.clone()));
        }
        for credit in lock(&self.credits).values() {
            credit.fail(error.clone());
        }
    }

    /// Whether so many channels have come here to their end.
    pub(super) fn has_ended(&self, channels: usize) -> bool {
        let known = lock(&self.channels);
        let ended = known.values().filter(|one| one.chunks.has_ended());
        ended.count() == channels
    }

    /// The channel at a path, for its one reader.
    pub(super) fn take_channel(&self, path: &[u32]) -> Option<Arc<Channel>> {
        let channel = self.channel(path)?;
        let mut progress = lock(&channel.progress);
        if std::mem::replace(&mut progress.taken, true) {
            return None;
        }
        drop(progress);
        Some(channel)
    }

    /// What the other side grants for a channel that we send.
    pub(super) fn credit(&self, path: &Path, window: u64) -> Arc<Credit> {
        let credit = lock(&self.credits).entry(path.clone()).or_default().clone();
        credit.grant(window);
        if let Some(error) = self.failed.get() {
            credit.fail(error.clone());
        }
        credit
    }

    fn push_root(&self, event: RootEvent) {
        let (RootEvent::Reply(message) | RootEvent::Chunk(message) | RootEvent::Failed(message)) =
            &event;
        let cost = cost(&message.payload);
        // The reader's own bound is exact; this one is for a reader that does not come.
        if self
            .root
            .push(event, cost, self.bounds.root.saturating_mul(2))
            .is_err()
        {
            let limit = self.bounds.root;
            self.fail(CallError::TooLarge {
                what: "a message".into(),
                bytes: limit,
                limit,
            });
        }
    }

    fn deliver_chunk(&self, path: &str, message: Message) {
        let Some(channel) =
            parse_path(path).and_then(|(path, length)| self.channel(&path[..length]))
        else {
            return;
        };
        let limit = match self.dialect.get() {
            // One message may cross the last bytes of a window.
            Some(Dialect::Trellis { .. }) => self.bounds.window.saturating_mul(2),
            _ => self.bounds.plain,
        };
        channel.deliver(message, limit);
    }

    fn deliver_grant(&self, path: &str, payload: &[u8]) {
        let Some((path, length)) = parse_path(path) else {
            return;
        };
        let Some(credit) = lock(&self.credits).get(&path[..length]).cloned() else {
            return;
        };
        if payload.is_empty() {
            return credit.stop();
        }
        if let Some(total) = std::str::from_utf8(payload)
            .ok()
            .and_then(|text| text.parse().ok())
        {
            credit.grant(total);
        }
    }

    fn channel(&self, path: &[u32]) -> Option<Arc<Channel>> {
        let mut channels = lock(&self.channels);
        if let Some(channel) = channels.get(path) {
            return Some(channel.clone());
        }
        if channels.len() >= MAX_CHANNELS || path.len() > MAX_PATH {
            return None;
        }
        let channel = Arc::new(Channel::default());
        if let Some(error) = self.failed.get() {
            channel.chunks.end(Err(error.clone()));
        }
        channels.insert(path.into(), channel.clone());
        Some(channel)
    }
}

impl Channel {
    /// Takes in the next chunk, the end, or an error.
    fn deliver(&self, message: Message, limit: usize) {
        if let Some(error) = headers::error(message.headers.as_ref(), &message.payload) {
            return self.chunks.end(Err(error));
        }
        if let Some(sequence) = headers::sequence(message.headers.as_ref()) {
            let mut progress = lock(&self.progress);
            let expected = progress.next_sequence;
            progress.next_sequence = sequence.saturating_add(1);
            drop(progress);
            if sequence != expected {
                return self.chunks.end(Err(CallError::lost(expected, sequence)));
            }
        }
        if message.payload.is_empty() {
            return self.chunks.end(Ok(()));
        }
        let last = headers::is_last(message.headers.as_ref());
        let cost = cost(&message.payload);
        if self.chunks.push(message.payload, cost, limit).is_err() {
            self.chunks.end(Err(CallError::TooLarge {
                what: "a stream that is read more slowly than it is sent without flow control"
                    .into(),
                bytes: limit.saturating_add(cost),
                limit,
            }));
        } else if last {
            self.chunks.end(Ok(()));
        }
    }
}

/// Adds a further part of the root values. A 1.x peer's last one is empty.
pub(super) fn add_part(root: &mut Root, message: Message, plain: bool) -> Result<(), CallError> {
    if plain && message.payload.is_empty() {
        root.complete = true;
        return Ok(());
    }
    root.add(headers::sequence(message.headers.as_ref()), message.payload)
}

/// `0.1` as a path and its length.
fn parse_path(text: &str) -> Option<([u32; MAX_PATH], usize)> {
    let mut path = [0; MAX_PATH];
    let mut length = 0;
    for token in text.split('.') {
        *path.get_mut(length)? = token.parse().ok()?;
        length += 1;
    }
    Some((path, length))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while holding one.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credit::MESSAGE_COST;

    fn exchange(receives: Receives) -> Exchange {
        let bounds = Bounds {
            root: 1000,
            window: 200,
            plain: 500,
        };
        Exchange::new(1, "_INBOX.test.1".into(), receives, bounds, 1, None)
    }

    fn message(payload: &'static [u8]) -> Message {
        Message {
            subject: "_INBOX.test.1".into(),
            reply: None,
            payload: Bytes::from_static(payload),
            headers: None,
            status: None,
            description: None,
            length: payload.len(),
        }
    }

    fn numbered(number: u64, payload: &'static [u8]) -> Message {
        Message {
            headers: Some(headers::of_chunk(number)),
            ..message(payload)
        }
    }

    #[tokio::test]
    async fn channels_are_kept_apart_by_path() {
        let exchange = exchange(Receives::Results);
        exchange.deliver("results.0.1", message(b"trailers"));
        exchange.deliver("results.0.0", message(b"body"));
        exchange.deliver("params.0.0", message(b"not ours"));
        exchange.deliver("results.0.0", message(b""));
        let body = exchange.take_channel(&[0, 0]).unwrap();
        assert_eq!(body.chunks.next().await.unwrap().unwrap().0, "body");
        assert!(body.chunks.next().await.unwrap().is_none());
        assert!(
            exchange.take_channel(&[0, 0]).is_none(),
            "a channel has one reader"
        );
        let trailers = exchange.take_channel(&[0, 1]).unwrap();
        assert_eq!(trailers.chunks.next().await.unwrap().unwrap().0, "trailers");
    }

    #[tokio::test]
    async fn a_lost_message_is_an_error_after_what_came_before_it() {
        let exchange = exchange(Receives::Params);
        exchange.deliver("params.0", numbered(0, b"a"));
        exchange.deliver("params.0", numbered(2, b"c"));
        exchange.deliver("params.0", numbered(3, b""));
        let channel = exchange.take_channel(&[0]).unwrap();
        assert_eq!(channel.chunks.next().await.unwrap().unwrap().0, "a");
        assert!(matches!(
            channel.chunks.next().await,
            Err(CallError::Transport(_))
        ));
    }

    #[tokio::test]
    async fn a_plain_sender_that_runs_ahead_fails_its_own_stream_only() {
        let exchange = exchange(Receives::Params);
        for _ in 0..9 {
            exchange.deliver("params.0", message(b"0123456789"));
        }
        exchange.deliver("params.1", message(b"fine"));
        let slow = exchange.take_channel(&[0]).unwrap();
        let mut got = 0;
        let error = loop {
            match slow.chunks.next().await {
                Ok(chunk) => got += chunk.map(|_| 1).unwrap(),
                Err(error) => break error,
            }
        };
        assert_eq!(got, 500 / (10 + MESSAGE_COST));
        assert!(matches!(error, CallError::TooLarge { .. }));
        let other = exchange.take_channel(&[1]).unwrap();
        assert_eq!(other.chunks.next().await.unwrap().unwrap().0, "fine");
    }

    #[test]
    fn garbage_is_left_alone() {
        let exchange = exchange(Receives::Params);
        for rest in [
            "params.x",
            "params.",
            "params.1.2.3.4.5.6.7.8.9",
            "flow.0",
            "what",
            "params.4294967296",
        ] {
            exchange.deliver(rest, message(b"\xff\xff"));
        }
        assert!(lock(&exchange.channels).is_empty());
        for index in 0..100 {
            exchange.deliver(&format!("params.{index}"), message(b"x"));
        }
        assert_eq!(lock(&exchange.channels).len(), MAX_CHANNELS);
    }

    #[tokio::test]
    async fn a_failure_reaches_every_reader_and_writer() {
        let exchange = exchange(Receives::Results);
        let channel = exchange.take_channel(&[0]).unwrap();
        let credit = exchange.credit(&[1].into(), 10);
        exchange.fail(CallError::Transport("gone".to_owned()));
        assert!(exchange.root.next().await.is_err());
        assert!(channel.chunks.next().await.is_err());
        assert!(credit.reach(11).await.is_err());
        assert!(
            exchange
                .take_channel(&[2])
                .unwrap()
                .chunks
                .next()
                .await
                .is_err()
        );
    }
}

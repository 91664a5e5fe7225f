//! Streams and futures over NATS, both ways: numbered and with windows between our own, plain with a 1.x peer.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use async_nats::Subject;
use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};

use super::{
    connection::Connection,
    exchange::{Channel, Dialect, Exchange},
    headers,
};
use crate::{
    channel::{ByteStream, Path},
    credit::{Credit, Reached, Window, cost},
    error::CallError,
};

/// A 1.x peer may not hear a probe although it is well; after so long without a word it is given up.
const PLAIN_PATIENCE: Duration = Duration::from_secs(300);
/// A message's headers among its bytes.
const HEADER_ROOM: usize = 128;

/// The other side of a call.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) connection: Arc<Connection>,
    /// Our own inbox for the call.
    pub(super) exchange: Arc<Exchange>,
    /// Its inbox.
    pub(super) inbox: Subject,
    /// How it speaks.
    pub(super) dialect: Dialect,
    /// What we send it: `params` or `results`.
    pub(super) sends: &'static str,
}

impl Peer {
    /// Sends the rest of the root values and, to a 1.x peer, their end.
    pub(super) async fn send_root(&self, mut rest: Bytes) -> Result<(), CallError> {
        let subject = Subject::from(format!("{}.{}", self.inbox, self.sends));
        let most = self
            .connection
            .client
            .max_payload()
            .saturating_sub(HEADER_ROOM)
            .max(1);
        let mut sequence = 0;
        while !rest.is_empty() {
            let part = rest.split_to(most.min(rest.len()));
            let headers = self
                .dialect
                .is_trellis()
                .then(|| headers::of_chunk(sequence));
            sequence += 1;
            self.connection
                .publish(subject.clone(), None, headers, part)
                .await?;
        }
        match self.dialect {
            Dialect::Trellis { .. } => Ok(()),
            Dialect::Plain => {
                self.connection
                    .publish(subject, None, None, Bytes::new())
                    .await
            }
        }
    }

    /// Sends every channel to its end, each at its own pace.
    pub(super) async fn send_channels(&self, channels: Vec<(Path, ByteStream)>) {
        let each = channels
            .into_iter()
            .map(|(path, content)| self.send_channel(path, content));
        futures::future::join_all(each).await;
    }

    async fn send_channel(&self, path: Path, mut content: ByteStream) {
        let mut writer = Writer::new(self, &path);
        let mut known = None;
        loop {
            let next = match (&writer.credit, known.take()) {
                (_, Some(next)) => next,
                (None, None) => content.next().await,
                (Some(credit), None) => tokio::select! {
                    next = content.next() => next,
                    // The reader went away or the way there broke: nobody needs the rest.
                    _ = credit.ended() => {
                        writer.open = false;
                        return;
                    }
                },
            };
            let sent = match next {
                Some(Ok(chunk)) => {
                    if writer.credit.is_some() {
                        // A last chunk that is known to be the last needs no message for the end.
                        known = content.next().now_or_never();
                    }
                    writer.send(chunk, matches!(known, Some(None))).await
                }
                Some(Err(error)) => return writer.fail(&error).await,
                None => writer.end().await,
            };
            match sent {
                Ok(()) if writer.open => {}
                Ok(()) => return,
                Err(error) => {
                    tracing::debug!(%error, subject = %writer.subject, "a stream could not be sent to its end");
                    writer.open = false;
                    return;
                }
            }
        }
    }

    /// Asks whether anybody still listens there. The answer, if nobody does, fails our exchange.
    async fn probe(&self) -> Result<(), CallError> {
        let subject = Subject::from(format!("{}.probe", self.inbox));
        let reply = Subject::from(format!("{}.probe", self.exchange.inbox));
        self.connection
            .publish(subject, Some(reply), None, Bytes::new())
            .await
    }

    /// Waits for something from the other side, asking for a sign of life when it takes long.
    pub(super) async fn wait<T>(
        &self,
        event: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        tokio::pin!(event);
        let patience = match self.dialect {
            Dialect::Trellis { .. } => self.connection.options.probe_interval,
            Dialect::Plain => PLAIN_PATIENCE,
        };
        loop {
            match tokio::time::timeout(patience, &mut event).await {
                Ok(result) => return result,
                Err(_) if self.dialect.is_trellis() => self.probe().await?,
                Err(_) => {
                    let seconds = PLAIN_PATIENCE.as_secs();
                    return Err(CallError::Transport(format!(
                        "nothing came from the other side for {seconds} s"
                    )));
                }
            }
        }
    }
}

/// Sends one channel. Dropped before the end, it tells the reader that the rest will not come.
struct Writer<'a> {
    peer: &'a Peer,
    subject: Subject,
    credit: Option<Arc<Credit>>,
    /// The largest part of a chunk to send at once.
    most: usize,
    sent: u64,
    sequence: u64,
    open: bool,
}

impl<'a> Writer<'a> {
    fn new(peer: &'a Peer, path: &Path) -> Self {
        let subject = Subject::from(format!("{}.{}.{}", peer.inbox, peer.sends, dotted(path)));
        let payload = peer
            .connection
            .client
            .max_payload()
            .saturating_sub(HEADER_ROOM);
        let (credit, most) = match peer.dialect {
            Dialect::Plain => (None, payload),
            // Several messages to a window, so that grants come back while others are on their way.
            Dialect::Trellis { window } => {
                let part = usize::try_from(window / 4).unwrap_or(usize::MAX);
                (Some(peer.exchange.credit(path, window)), payload.min(part))
            }
        };
        Self {
            peer,
            subject,
            credit,
            most: most.max(1),
            sent: 0,
            sequence: 0,
            open: true,
        }
    }

    async fn send(&mut self, mut chunk: Bytes, last: bool) -> Result<(), CallError> {
        if chunk.is_empty() && last {
            return self.end().await;
        }
        while !chunk.is_empty() {
            let part = chunk.split_to(self.most.min(chunk.len()));
            if let Some(credit) = &self.credit {
                self.sent += cost(&part) as u64;
                if self.peer.wait(credit.reach(self.sent)).await? == Reached::Stopped {
                    self.open = false;
                    return Ok(());
                }
            }
            let last = last && chunk.is_empty();
            self.publish(part, last).await?;
            self.open = !last;
        }
        Ok(())
    }

    async fn end(&mut self) -> Result<(), CallError> {
        self.publish(Bytes::new(), false).await?;
        self.open = false;
        Ok(())
    }

    /// Ends the channel with an error. A 1.x peer sees it end too early.
    async fn fail(&mut self, error: &CallError) {
        self.open = false;
        let (headers, payload) = self.last_words(error);
        let connection = &self.peer.connection;
        if let Err(error) = connection
            .publish(self.subject.clone(), None, headers, payload)
            .await
        {
            tracing::debug!(%error, subject = %self.subject, "a stream's failure could not be sent");
        }
    }

    async fn publish(&mut self, payload: Bytes, last: bool) -> Result<(), CallError> {
        let headers = self.credit.is_some().then(|| match last {
            true => headers::of_last_chunk(self.sequence),
            false => headers::of_chunk(self.sequence),
        });
        self.sequence += 1;
        self.peer
            .connection
            .publish(self.subject.clone(), None, headers, payload)
            .await
    }

    fn last_words(&self, error: &CallError) -> (Option<async_nats::HeaderMap>, Bytes) {
        match self.credit {
            None => (None, Bytes::new()),
            Some(_) => (
                Some(headers::of_error(error)),
                Bytes::from(error.to_string()),
            ),
        }
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        if self.open {
            let (headers, payload) = self.last_words(&CallError::Cancelled);
            self.peer
                .connection
                .notify(self.subject.clone(), headers, payload);
        }
    }
}

/// Something to be done before the first reading of a channel.
pub(super) type Opening = BoxFuture<'static, Result<(), CallError>>;

/// Reads one channel. `keep` lives as long as the reading does.
pub(super) fn read<K: Send + 'static>(
    peer: Peer,
    channel: Arc<Channel>,
    path: Path,
    opening: Option<Opening>,
    keep: K,
) -> ByteStream {
    let window = Window::granted(peer.connection.options.window_bytes as u64);
    let reader = Reader {
        peer,
        channel,
        path,
        opening,
        window,
        open: true,
    };
    Box::pin(stream::unfold(
        (reader, keep),
        |(mut reader, keep)| async move {
            let item = reader.next().await.transpose()?;
            Some((item, (reader, keep)))
        },
    ))
}

/// Reads one channel and grants more as it goes. Dropped before the end, it tells the writer to stop.
struct Reader {
    peer: Peer,
    channel: Arc<Channel>,
    path: Path,
    opening: Option<Opening>,
    window: Window,
    open: bool,
}

impl Reader {
    async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        if !self.open {
            return Ok(None);
        }
        let next = self.next_chunk().await;
        if !matches!(next, Ok(Some(_))) {
            self.open = false;
        }
        next
    }

    async fn next_chunk(&mut self) -> Result<Option<Bytes>, CallError> {
        if let Some(opening) = self.opening.take() {
            opening.await?;
        }
        let Some((chunk, cost)) = self.peer.wait(self.channel.chunks.next()).await? else {
            return Ok(None);
        };
        if self.peer.dialect.is_trellis()
            && let Some(total) = self.window.read(cost)
        {
            let payload = Bytes::from(total.to_string());
            self.peer
                .connection
                .publish(self.grants(), None, None, payload)
                .await?;
        }
        Ok(Some(chunk))
    }

    fn grants(&self) -> Subject {
        Subject::from(format!("{}.flow.{}", self.peer.inbox, dotted(&self.path)))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // A writer that has sent everything needs no telling.
        if self.open && self.peer.dialect.is_trellis() && !self.channel.chunks.has_ended() {
            self.peer
                .connection
                .notify(self.grants(), None, Bytes::new());
        }
    }
}

/// A path as it stands in a subject: `0.1`.
fn dotted(path: &[u32]) -> String {
    let mut text = String::new();
    for (index, step) in path.iter().enumerate() {
        // Writing to a string cannot fail.
        _ = write!(text, "{}{step}", if index == 0 { "" } else { "." });
    }
    text
}

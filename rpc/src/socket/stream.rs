//! Streams and futures of a call, both ways.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, stream};

use super::{
    channel::Channel,
    connection::Entered,
    exchange::Exchange,
    frame::{Frame, MAX_PART, Values},
    outbox::Pace,
};
use crate::{
    channel::{ByteStream, Channels, MAX_CHANNELS, MAX_PATH, Path},
    credit::{Credit, MESSAGE_COST, Reached, Window, cost},
    error::CallError,
    serving,
};

/// The smallest window that a peer may announce: a writer sends parts of a quarter.
pub(super) const MIN_WINDOW: u64 = 1024;

/// The channels' paths, as they are announced.
///
/// # Errors
/// [`CallError::Malformed`] when they can't be.
pub(super) fn paths(channels: &[(Path, ByteStream)]) -> Result<Vec<Path>, CallError> {
    if channels.is_empty() {
        return Ok(Vec::new());
    }
    let too_many = channels.len() > MAX_CHANNELS;
    if too_many || channels.iter().any(|(path, _)| path.len() > MAX_PATH) {
        return Err(CallError::Malformed(format!(
            "values with more than {MAX_CHANNELS} streams, or one deeper than {MAX_PATH} levels"
        )));
    }
    let mut paths: Vec<Path> = Vec::with_capacity(channels.len());
    for (path, _) in channels {
        if paths.contains(path) {
            return Err(CallError::Malformed(
                "two streams are at one place of the values".to_owned(),
            ));
        }
        paths.push(path.clone());
    }
    Ok(paths)
}

/// Sends every channel to its end, each at its own pace.
pub(super) async fn send_all(entered: &Entered, channels: Vec<(Path, ByteStream)>) {
    let each = channels
        .into_iter()
        .enumerate()
        .filter_map(|(number, (_, content))| Writer::new(entered, number).map(|one| (one, content)))
        .map(|(writer, content)| writer.send_to_end(content));
    futures::future::join_all(each).await;
}

/// Sends one channel. Dropped before the end, it tells the reader that the rest will not come.
struct Writer<'a> {
    entered: &'a Entered,
    channel: u8,
    credit: Arc<Credit>,
    /// The largest part of a chunk to send at once.
    most: usize,
    sent: u64,
    open: bool,
}

impl<'a> Writer<'a> {
    fn new(entered: &'a Entered, channel: usize) -> Option<Self> {
        // Several parts to a window, so that grants come back while others are on their way.
        let quarter = usize::try_from(entered.connection.window() / 4).unwrap_or(usize::MAX);
        Some(Self {
            entered,
            channel: u8::try_from(channel).ok()?,
            credit: entered.exchange.credit(channel)?,
            most: quarter.min(MAX_PART).saturating_sub(MESSAGE_COST).max(1),
            sent: 0,
            open: true,
        })
    }

    async fn send_to_end(mut self, mut content: ByteStream) {
        let credit = self.credit.clone();
        while self.open {
            let next = tokio::select! {
                next = content.next() => next,
                // The reader went away or the way there broke: nobody needs the rest.
                _ = credit.ended() => break,
            };
            let sent = match next {
                Some(Ok(chunk)) => self.send(chunk).await,
                Some(Err(error)) => {
                    self.fail(&error);
                    Ok(())
                }
                None => {
                    self.end();
                    Ok(())
                }
            };
            if let Err(error) = sent {
                tracing::debug!(%error, "a stream could not be sent to its end");
                break;
            }
        }
        self.open = false;
    }

    async fn send(&mut self, mut chunk: Bytes) -> Result<(), CallError> {
        while !chunk.is_empty() {
            let part = chunk.split_to(self.most.min(chunk.len()));
            self.sent += cost(&part) as u64;
            if self.credit.reach(self.sent).await? == Reached::Stopped {
                self.open = false;
                return Ok(());
            }
            let connection = &self.entered.connection;
            let frame = Frame::Data {
                values: self.entered.exchange.sends,
                id: self.entered.id,
                channel: self.channel,
            };
            let pace = connection.pace();
            let mut put = connection.outbox.quiet().await?;
            put.frame(&frame, &part);
            put.send(pace);
        }
        Ok(())
    }

    fn end(&mut self) {
        self.open = false;
        let frame = Frame::End {
            values: self.entered.exchange.sends,
            id: self.entered.id,
            channel: self.channel,
        };
        self.entered.notify(&frame, &Bytes::new());
    }

    fn fail(&mut self, error: &CallError) {
        self.open = false;
        let frame = Frame::Broken {
            values: self.entered.exchange.sends,
            id: self.entered.id,
            channel: self.channel,
            kind: error.kind().into(),
        };
        self.entered
            .notify(&frame, &Bytes::from(serving::words(error)));
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        if self.open {
            self.fail(&CallError::Cancelled);
        }
    }
}

/// The arriving channels of a call. `keep` lives as long as they, and what is read from them, do.
pub(super) fn arriving<K: Clone + Send + 'static>(entered: &Arc<Entered>, keep: K) -> Channels {
    if !entered.exchange.has_channels() {
        return Channels::none();
    }
    let entered = entered.clone();
    Channels::from_fn(move |path| {
        let (channel, number) = entered.exchange.take_channel(path)?;
        Some(read(entered.clone(), channel, number, keep.clone()))
    })
}

fn read<K: Send + 'static>(
    entered: Arc<Entered>,
    channel: Arc<Channel>,
    number: u8,
    keep: K,
) -> ByteStream {
    let bytes = entered.connection.options.window_bytes as u64;
    let reader = Reader {
        window: Window::granted(bytes),
        // A callee asks for the parameters' channels; those of the results come by themselves.
        asked: entered.exchange.sends == Values::Params,
        entered,
        channel,
        number,
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
    entered: Arc<Entered>,
    channel: Arc<Channel>,
    number: u8,
    window: Window,
    asked: bool,
    open: bool,
}

impl Reader {
    async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        if !self.open {
            return Ok(None);
        }
        if !std::mem::replace(&mut self.asked, true) {
            self.grant(self.entered.connection.options.window_bytes as u64);
        }
        let next = self.channel.chunks.next().await;
        match next {
            Ok(Some((chunk, cost))) => {
                if let Some(total) = self.window.read(cost) {
                    self.grant(total);
                }
                Ok(Some(chunk))
            }
            Ok(None) => {
                self.open = false;
                Ok(None)
            }
            Err(error) => {
                self.open = false;
                Err(error)
            }
        }
    }

    fn grant(&self, total: u64) {
        let Entered { exchange, id, .. } = &*self.entered;
        self.channel.granted(total);
        let frame = Frame::Grant {
            values: receives(exchange),
            id: *id,
            channel: self.number,
            total,
        };
        self.entered.notify(&frame, &Bytes::new());
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // A writer that has sent everything needs no telling.
        let stop = self.open && !self.channel.chunks.has_ended();
        // What is on its way is not kept.
        self.channel.chunks.end(Ok(()));
        if stop {
            let Entered { exchange, id, .. } = &*self.entered;
            let frame = Frame::Stop {
                values: receives(exchange),
                id: *id,
                channel: self.number,
            };
            self.entered.notify(&frame, &Bytes::new());
        }
    }
}

fn receives(exchange: &Exchange) -> Values {
    match exchange.sends {
        Values::Params => Values::Results,
        Values::Results => Values::Params,
    }
}

impl Entered {
    /// Sends a small frame that nobody waits for.
    pub(super) fn notify(&self, frame: &Frame, payload: &Bytes) {
        self.connection.outbox.send(frame, payload, Pace::Together);
    }
}

//! What is written to a connection: a queue that many fill and one writer empties.
//!
//! Small frames are put together, large payloads are queued as they are, and all that has gathered while the writer was
//! busy goes out in one system call. While little is going on, whoever sends writes by itself: waking the writer for one
//! small frame would cost more than writing it.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io::{self, IoSlice},
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::sync::Notify;

use super::{frame::Frame, halves::Writes};
use crate::error::CallError;

/// Payloads up to here are copied behind their frame; larger ones stand on their own.
const COPY_UP_TO: usize = 4 * 1024;
/// So much room small frames find; it is used again once written.
const FIRST_ROOM: usize = 16 * 1024;
/// The most pieces given to one system call.
const MAX_PIECES: usize = 64;
/// Long values and streams wait while so much is queued, so that a short call does not wait behind megabytes.
const CROWDED: usize = 512 * 1024;
/// Small frames are not held back, but no honest peer leaves so many times the bound unread.
const FLOODED: usize = 2;

/// The writing half of a connection.
#[derive(Debug)]
pub(super) struct Outbox {
    socket: Writes,
    queue: Mutex<Queue>,
    /// Somebody may send again, or never again.
    room: Notify,
    /// How many bytes may be queued before calls wait.
    bound: usize,
}

#[derive(Debug)]
struct Queue {
    /// To be written before the tail.
    pieces: VecDeque<Bytes>,
    /// Where frames are put.
    tail: BytesMut,
    /// Bytes put in, since the connection was made.
    put: u64,
    /// Bytes the system took.
    written: u64,
    /// Bytes it may have taken: the writer is just giving it some.
    reach: u64,
    /// The writer was woken or has something in hand: nobody else may write.
    writing: bool,
    writer: Option<Waker>,
    /// Set once; nothing is taken any more.
    closed: Option<CallError>,
    /// The number of the last call of ours.
    last_call: u64,
}

/// Frames being put, in one go.
pub(super) struct Put<'a> {
    outbox: &'a Outbox,
    queue: MutexGuard<'a, Queue>,
}

/// How a frame goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// At once if possible: little else is going on.
    Now,
    /// Together with what else there is to send.
    Together,
}

impl Outbox {
    pub(super) fn new(socket: Writes, bound: usize) -> Self {
        let queue = Queue {
            pieces: VecDeque::new(),
            tail: BytesMut::new(),
            put: 0,
            written: 0,
            reach: 0,
            writing: false,
            writer: None,
            closed: None,
            last_call: 0,
        };
        Self {
            socket,
            queue: Mutex::new(queue),
            room: Notify::new(),
            bound,
        }
    }

    /// Begins to put frames.
    ///
    /// # Errors
    /// Why the connection was closed.
    pub(super) fn begin(&self) -> Result<Put<'_>, CallError> {
        let queue = self.lock();
        match &queue.closed {
            Some(error) => Err(error.clone()),
            None => Ok(Put {
                outbox: self,
                queue,
            }),
        }
    }

    /// Sends one frame without waiting. Nothing happens if the connection is closed.
    pub(super) fn send(&self, frame: &Frame, payload: &Bytes, pace: Pace) {
        if let Ok(mut put) = self.begin() {
            put.frame(frame, payload);
            put.send(pace);
        }
    }

    /// As [`Self::begin`], once no more than the bound is queued: what calls wait for.
    pub(super) async fn room(&self) -> Result<Put<'_>, CallError> {
        self.until(|queue| queue.queued() <= self.bound).await
    }

    /// As [`Self::begin`], once little is queued: what parts of something long wait for.
    pub(super) async fn quiet(&self) -> Result<Put<'_>, CallError> {
        self.until(|queue| queue.queued() <= CROWDED.min(self.bound))
            .await
    }

    /// Waits until what was put so far is written, or never will be.
    pub(super) async fn flushed(&self) {
        let put = self.lock().put;
        // Closed is as good as written here.
        _ = self.until(|queue| queue.written >= put).await.map(|_| ());
    }

    /// Takes nothing any more. Gives the number of bytes that may have been written.
    pub(super) fn close(&self, error: &CallError) -> u64 {
        let mut queue = self.lock();
        if queue.closed.is_none() {
            queue.closed = Some(error.clone());
            queue.pieces.clear();
            queue.tail = BytesMut::new();
        }
        // Whoever reads it, here or there, sees the end.
        if let Err(error) = self.socket.shutdown() {
            tracing::debug!(%error, "a socket could not be shut down");
        }
        let (written, writer) = (queue.written.max(queue.reach), queue.writer.take());
        drop(queue);
        if let Some(writer) = writer {
            writer.wake();
        }
        self.room.notify_waiters();
        written
    }

    /// The number of the last call that was put.
    pub(super) fn last_call(&self) -> u64 {
        self.lock().last_call
    }

    /// Writes what is queued, until the connection is closed or breaks.
    pub(super) async fn write(&self, busy: impl Fn() -> bool) -> io::Result<()> {
        let mut hand = VecDeque::new();
        while self.work().await {
            if busy() {
                // Whoever is ready to run has something to send too: one system call for all.
                tokio::task::yield_now().await;
            }
            self.lock().hand_over(&mut hand);
            let mut left: usize = hand.iter().map(Bytes::len).sum();
            while !hand.is_empty() {
                let written = match try_write(&self.socket, &hand) {
                    Ok(written) => written,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.lock().reach = 0;
                        self.socket.writable().await?;
                        let mut queue = self.lock();
                        queue.reach = queue.written + left as u64;
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                consume(&mut hand, written);
                left -= written;
                self.lock().written += written as u64;
                self.room.notify_waiters();
            }
        }
        Ok(())
    }

    /// Waits for something to write; false once there will be nothing more.
    async fn work(&self) -> bool {
        poll_fn(|context| {
            let mut queue = self.lock();
            if queue.closed.is_some() {
                return Poll::Ready(false);
            }
            if !queue.is_empty() {
                queue.writing = true;
                return Poll::Ready(true);
            }
            queue.writing = false;
            queue.writer = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Begins to put frames once there is room: looking and putting are one, or all who wait would find the same room.
    async fn until(&self, enough: impl Fn(&Queue) -> bool) -> Result<Put<'_>, CallError> {
        let look = || {
            let put = self.begin();
            match put {
                Ok(put) if !enough(&put.queue) => None,
                put => Some(put),
            }
        };
        loop {
            if let Some(put) = look() {
                return put;
            }
            let changed = self.room.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            // What changed between the look and the enabling is not told.
            if let Some(put) = look() {
                return put;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while holding it.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Put<'_> {
    /// The number of a new call.
    pub(super) fn next_call(&mut self) -> u64 {
        self.queue.last_call += 1;
        self.queue.last_call
    }

    /// Puts a frame.
    pub(super) fn frame(&mut self, frame: &Frame, payload: &Bytes) {
        let queue = &mut *self.queue;
        if queue.tail.capacity() - queue.tail.len() < 256 {
            queue.tail.reserve(FIRST_ROOM);
        }
        let before = queue.tail.len();
        frame.put(payload.len(), &mut queue.tail);
        if payload.len() <= COPY_UP_TO {
            queue.tail.extend_from_slice(payload);
            queue.put += (queue.tail.len() - before) as u64;
        } else {
            queue.put += (queue.tail.len() - before + payload.len()) as u64;
            let frames = queue.tail.split().freeze();
            queue.pieces.push_back(frames);
            queue.pieces.push_back(payload.clone());
        }
    }

    /// Where what was put ends.
    pub(super) fn position(&self) -> u64 {
        self.queue.put
    }

    /// Sends what was put.
    pub(super) fn send(mut self, pace: Pace) {
        let outbox = self.outbox;
        let queue = &mut *self.queue;
        if queue.queued() > outbox.bound.saturating_mul(FLOODED) {
            drop(self);
            outbox.close(&CallError::Transport(
                "the other side does not read what it is sent".to_owned(),
            ));
            return;
        }
        if queue.writing {
            return;
        }
        if pace == Pace::Now && queue.pieces.is_empty() {
            // An error is found again by the writer, whose business it is.
            let written = outbox.socket.try_write(&queue.tail).unwrap_or(0);
            queue.written += written as u64;
            if written == queue.tail.len() {
                queue.tail.clear();
                return;
            }
            queue.tail.advance(written);
        }
        queue.writing = true;
        let writer = queue.writer.take();
        drop(self);
        if let Some(writer) = writer {
            writer.wake();
        }
    }
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.tail.is_empty()
    }

    /// Bytes put and not written.
    fn queued(&self) -> usize {
        usize::try_from(self.put - self.written).unwrap_or(usize::MAX)
    }

    /// Moves everything into the writer's hand.
    fn hand_over(&mut self, hand: &mut VecDeque<Bytes>) {
        std::mem::swap(&mut self.pieces, hand);
        if !self.tail.is_empty() {
            hand.push_back(self.tail.split().freeze());
        }
        self.reach = self.put;
    }
}

fn try_write(socket: &Writes, pieces: &VecDeque<Bytes>) -> io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); MAX_PIECES];
    let count = pieces.len().min(MAX_PIECES);
    for (slice, piece) in slices.iter_mut().zip(pieces) {
        *slice = IoSlice::new(piece);
    }
    let written = match count {
        1 => socket.try_write(&slices[0])?,
        _ => socket.try_write_vectored(&slices[..count])?,
    };
    match written {
        0 => Err(io::ErrorKind::WriteZero.into()),
        _ => Ok(written),
    }
}

/// Drops what was written.
fn consume(pieces: &mut VecDeque<Bytes>, mut written: usize) {
    while let Some(first) = pieces.front_mut() {
        if written < first.len() {
            first.advance(written);
            return;
        }
        written -= first.len();
        pieces.pop_front();
    }
}

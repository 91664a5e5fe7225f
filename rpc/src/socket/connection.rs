//! A connection to one peer: the calls under way either way, and their end with it.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use trellis_lattice::ComponentId;

use super::{
    SocketOptions,
    exchange::{Exchange, Failure},
    frame::{Frame, Head, MAX_NAME, Values},
    halves::Writes,
    outbox::{Outbox, Pace, Put},
};
use crate::error::CallError;

/// How many of the largest values may be half there at once.
const LARGEST_AT_ONCE: usize = 4;
/// With so many calls under way, what is sent is gathered first.
const FEW: usize = 4;
/// The most heads that a peer has to remember; calls past it bring theirs along.
pub(super) const MAX_HEADS: u32 = 4096;
/// The number of a head that is for the next call only.
pub(super) const PASSING_HEAD: u32 = u32::MAX;

/// One connection, after its handshake.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) options: Arc<SocketOptions>,
    pub(super) outbox: Outbox,
    /// Who the peer is by its token; on the side that connected it is the host, which may say who calls.
    pub(super) peer: Option<ComponentId>,
    /// What the peer takes on each channel at first.
    window: OnceLock<u64>,
    /// Calls of ours.
    asked: Table,
    /// The peer's calls.
    taken: Table,
    /// The heads that the peer knows.
    heads: Mutex<HashMap<Head, u32>>,
    /// Bytes announced for values that are not there whole.
    awaited: Arc<AtomicUsize>,
}

/// What values that come in parts take of the room for such.
#[derive(Debug)]
pub(super) struct Share {
    awaited: Arc<AtomicUsize>,
    bytes: usize,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.awaited.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Calls under way by their number. They leave it by themselves.
#[derive(Debug, Default)]
struct Table {
    calls: Mutex<HashMap<u64, Weak<Exchange>>>,
}

/// A call that is in its table for as long as this lives.
#[derive(Debug)]
pub(super) struct Entered {
    pub(super) connection: Arc<Connection>,
    pub(super) exchange: Arc<Exchange>,
    pub(super) id: u64,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let table = match self.exchange.sends {
            Values::Params => &self.connection.asked,
            Values::Results => &self.connection.taken,
        };
        table.lock().remove(&self.id);
    }
}

impl Connection {
    pub(super) fn new(
        socket: Writes,
        peer: Option<ComponentId>,
        options: Arc<SocketOptions>,
    ) -> Self {
        Self {
            outbox: Outbox::new(socket, options.max_queued_bytes),
            options,
            peer,
            window: OnceLock::new(),
            asked: Table::default(),
            taken: Table::default(),
            heads: Mutex::default(),
            awaited: Arc::default(),
        }
    }

    /// Settles what the peer takes on each channel at first.
    pub(super) fn set_window(&self, window: u64) {
        _ = self.window.set(window);
    }

    /// What the peer takes on each channel at first.
    pub(super) fn window(&self) -> u64 {
        // No call is made or taken before the handshake, which settles it.
        self.window.get().copied().unwrap_or_default()
    }

    /// Room for values of which so many bytes are still to come.
    ///
    /// # Errors
    /// [`CallError::Overloaded`] when too much is awaited already: what is announced is held, as far as it has come.
    pub(super) fn share(&self, bytes: u64) -> Result<Option<Share>, CallError> {
        if bytes == 0 {
            return Ok(None);
        }
        let limit = self.options.max_message_bytes;
        // More than that is refused as such, and holds nothing.
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).min(limit);
        let awaited = self.awaited.clone();
        let before = awaited.fetch_add(bytes, Ordering::Relaxed);
        let share = Share { awaited, bytes };
        if before.saturating_add(bytes) > limit.saturating_mul(LARGEST_AT_ONCE) {
            return Err(CallError::Overloaded(format!(
                "{before} bytes of large values are on their way over one socket already"
            )));
        }
        Ok(Some(share))
    }

    /// How what belongs to a call is sent now.
    pub(super) fn pace(&self) -> Pace {
        // Whichever way they go: a process that is busy either way gathers.
        match self.asked.lock().len().max(self.taken.lock().len()) {
            0..=FEW => Pace::Now,
            _ => Pace::Together,
        }
    }

    /// Whether much is going on.
    pub(super) fn is_busy(&self) -> bool {
        self.pace() == Pace::Together
    }

    /// Puts a call of ours among those under way and sends its first frame.
    pub(super) fn ask(
        self: &Arc<Self>,
        mut put: Put<'_>,
        exchange: &Arc<Exchange>,
        pass: Option<&Frame>,
        frame: impl FnOnce(u64) -> Frame,
        first: &Bytes,
        whole: bool,
    ) -> Entered {
        let pace = self.pace();
        let id = put.next_call();
        self.asked.lock().insert(id, Arc::downgrade(exchange));
        if let Some(head) = pass {
            put.frame(head, &Bytes::new());
        }
        put.frame(&frame(id), first);
        if whole {
            exchange.put_until(put.position());
        }
        put.send(pace);
        Entered {
            connection: self.clone(),
            exchange: exchange.clone(),
            id,
        }
    }

    /// Puts a call of the peer's among those under way.
    pub(super) fn take(self: &Arc<Self>, id: u64, exchange: Arc<Exchange>) -> Entered {
        self.taken.lock().insert(id, Arc::downgrade(&exchange));
        Entered {
            connection: self.clone(),
            exchange,
            id,
        }
    }

    /// The call that something about these values is for, when its sender sends them: parameters belong to calls of the
    /// peer's.
    pub(super) fn receiving(&self, values: Values, id: u64) -> Option<Arc<Exchange>> {
        match values {
            Values::Params => self.taken.get(id),
            Values::Results => self.asked.get(id),
        }
    }

    /// The call that something about these values is for, when their reader says it.
    pub(super) fn sending(&self, values: Values, id: u64) -> Option<Arc<Exchange>> {
        match values {
            Values::Params => self.asked.get(id),
            Values::Results => self.taken.get(id),
        }
    }

    /// The calls of the peer's that are under way.
    pub(super) fn taken(&self) -> Vec<Arc<Exchange>> {
        self.taken.all()
    }

    /// The number by which the peer knows a head, telling it if it doesn't. `None`: it knows too many already.
    ///
    /// # Errors
    /// [`CallError::Malformed`] for a name that is too long, or the reason why the connection is closed.
    pub(super) fn head(&self, head: &Head) -> Result<Option<u32>, CallError> {
        let texts = [&head.source_id, &head.target_id, &head.link_name];
        let texts = texts.into_iter().flatten();
        for text in texts.chain([&head.instance, &head.function, &head.target]) {
            if text.len() > MAX_NAME {
                let start: String = text.chars().take(80).collect();
                return Err(CallError::Malformed(format!(
                    "the name {start:?}… is longer than {MAX_NAME} bytes"
                )));
            }
        }
        // Nothing panics while holding it.
        let mut heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = heads.get(head) {
            return Ok(Some(*number));
        }
        let number = u32::try_from(heads.len()).unwrap_or(MAX_HEADS);
        if number >= MAX_HEADS {
            return Ok(None);
        }
        // Put while nobody else can know the number: it goes before every call that has it.
        let mut put = self.outbox.begin()?;
        let head = head.clone();
        put.frame(
            &Frame::Head {
                number,
                head: head.clone(),
            },
            &Bytes::new(),
        );
        put.send(Pace::Together);
        heads.insert(head, number);
        Ok(Some(number))
    }

    /// Ends the connection and everything that goes over it. Only the first reason counts.
    pub(super) fn close(&self, error: &CallError) {
        let written = self.outbox.close(error);
        for exchange in self.asked.all() {
            let not_started = exchange.is_beyond(written);
            let error = error.clone();
            exchange.fail(Failure { error, not_started });
        }
        for exchange in self.taken.all() {
            exchange.fail(Failure {
                error: error.clone(),
                not_started: false,
            });
            exchange.cancel();
        }
    }
}

impl Table {
    fn get(&self, id: u64) -> Option<Arc<Exchange>> {
        self.lock().get(&id)?.upgrade()
    }

    fn all(&self) -> Vec<Arc<Exchange>> {
        self.lock().values().filter_map(Weak::upgrade).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Weak<Exchange>>> {
        // Nothing panics while holding it.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

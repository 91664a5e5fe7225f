//! One call on one side of a connection: what arrives for it, sorted by what it is.

use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Poll, Waker},
};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::{
    channel::Channel,
    connection::Share,
    frame::{Values, Violation},
    served::Served,
};
use crate::{channel::Path, credit::Credit, error::CallError, root::Root};

/// A position in what is written that is never reached.
const NOT_PUT: u64 = u64::MAX;

/// A call, seen from one side.
#[derive(Debug)]
pub(super) struct Exchange {
    /// The values that we send; the others arrive.
    pub(super) sends: Values,
    state: Mutex<State>,
    /// The caller's: where the call ends in all that the connection writes.
    end: AtomicU64,
    callee: Option<Callee>,
}

/// What only the callee's side of a call has.
#[derive(Debug)]
struct Callee {
    /// The caller gave up, or nobody is left to answer.
    cancelled: CancellationToken,
    /// Who answers.
    served: Arc<Served>,
}

#[derive(Debug)]
struct State {
    arriving: Arriving,
    waker: Option<Waker>,
    /// The callee's first grant.
    granted: Granted,
    /// The arriving channels, in the order announced.
    channels: Vec<Arc<Channel>>,
    /// What the other side grants for each channel that we send.
    credits: Vec<Arc<Credit>>,
}

/// Whether the callee has begun to read the parameters' channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Granted {
    No,
    /// And who waits for the call does not know yet.
    Yes,
    Seen,
}

/// The root values.
#[derive(Debug)]
enum Arriving {
    Nothing,
    Parts {
        root: Root,
        /// Given back once they are whole.
        _share: Option<Share>,
    },
    Whole(Bytes),
    /// Seen by who waits for them.
    Taken,
    Failed(Failure),
}

/// Why a call ended without results.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) error: CallError,
    /// The callee can't have begun.
    pub(super) not_started: bool,
}

/// Something that who waits for a call has to know.
#[derive(Debug)]
pub(super) enum Event {
    /// The root values are there, whole.
    Root(Bytes),
    /// The callee reads the parameters' channels.
    Granted,
}

impl Exchange {
    /// A call of ours, with so many channels among its parameters.
    pub(super) fn asked(channels: usize) -> Self {
        let credits = (0..channels).map(|_| Arc::default()).collect();
        Self::new(Values::Params, credits, None)
    }

    /// A call of the other side's.
    pub(super) fn taken(cancelled: CancellationToken, served: Arc<Served>) -> Self {
        let callee = Callee { cancelled, served };
        Self::new(Values::Results, Vec::new(), Some(callee))
    }

    fn new(sends: Values, credits: Vec<Arc<Credit>>, callee: Option<Callee>) -> Self {
        let state = State {
            arriving: Arriving::Nothing,
            waker: None,
            granted: Granted::No,
            channels: Vec::new(),
            credits,
        };
        Self {
            sends,
            state: Mutex::new(state),
            end: AtomicU64::new(NOT_PUT),
            callee,
        }
    }

    /// Ends the callee's work.
    pub(super) fn cancel(&self) {
        if let Some(callee) = &self.callee {
            callee.cancelled.cancel();
        }
    }

    /// Ends the callee's work if that is who answers.
    pub(super) fn stop(&self, served: &Arc<Served>) {
        if let Some(callee) = &self.callee
            && Arc::ptr_eq(&callee.served, served)
        {
            callee.cancelled.cancel();
        }
    }

    /// Notes where the whole call ends in what is written.
    pub(super) fn put_until(&self, position: u64) {
        self.end.store(position, Ordering::Release);
    }

    /// Whether so many written bytes leave something of the call out.
    pub(super) fn is_beyond(&self, written: u64) -> bool {
        self.end.load(Ordering::Acquire) > written
    }

    /// The root values begin. `granted`: what the other side may send on each channel before we grant more.
    pub(super) fn begin(
        &self,
        total: u64,
        paths: Vec<Path>,
        first: Bytes,
        granted: u64,
        limit: usize,
        share: Option<Share>,
    ) -> Result<(), Violation> {
        let mut state = self.lock();
        if !matches!(state.arriving, Arriving::Nothing) {
            return match state.arriving {
                Arriving::Failed(_) => Ok(()),
                _ => Err(Violation::of("a call's values begin twice")),
            };
        }
        state.channels = paths
            .into_iter()
            .map(|path| Arc::new(Channel::new(path, granted)))
            .collect();
        if total == first.len() as u64 {
            state.arriving = Arriving::Whole(first);
            wake(state);
            return Ok(());
        }
        let mut root = Root::new(limit);
        let begun = root.begin(total, first);
        state.arriving = match begun {
            Ok(()) => Arriving::Parts {
                root,
                _share: share,
            },
            Err(error) => Arriving::failed(error),
        };
        wake(state);
        Ok(())
    }

    /// The root values go on.
    pub(super) fn part(&self, part: Bytes) -> Result<(), Violation> {
        let mut state = self.lock();
        let Arriving::Parts { root, .. } = &mut state.arriving else {
            return match state.arriving {
                Arriving::Failed(_) => Ok(()),
                _ => Err(Violation::of("a call's values go on after their end")),
            };
        };
        match root.add(None, part) {
            Ok(()) if !root.complete => return Ok(()),
            Ok(()) => {
                let Arriving::Parts { root, .. } =
                    std::mem::replace(&mut state.arriving, Arriving::Nothing)
                else {
                    return Ok(());
                };
                state.arriving = Arriving::Whole(root.take());
            }
            Err(error) => state.arriving = Arriving::failed(error),
        }
        wake(state);
        Ok(())
    }

    /// Ends everything here with an error. What arrived before it on a channel can still be read.
    pub(super) fn fail(&self, failure: Failure) {
        let mut state = self.lock();
        let (channels, credits) = (state.channels.clone(), state.credits.clone());
        if !matches!(state.arriving, Arriving::Whole(_) | Arriving::Taken) {
            state.arriving = Arriving::Failed(failure.clone());
        }
        wake(state);
        for channel in channels {
            channel.chunks.end(Err(failure.error.clone()));
        }
        for credit in credits {
            credit.fail(failure.error.clone());
        }
    }

    /// The next thing that who waits for the call has to know.
    pub(super) async fn event(&self) -> Result<Event, Failure> {
        poll_fn(|context| {
            let mut state = self.lock();
            match &mut state.arriving {
                Arriving::Whole(root) => {
                    let root = std::mem::take(root);
                    state.arriving = Arriving::Taken;
                    return Poll::Ready(Ok(Event::Root(root)));
                }
                Arriving::Failed(failure) => return Poll::Ready(Err(failure.clone())),
                _ => {}
            }
            if state.granted == Granted::Yes {
                state.granted = Granted::Seen;
                return Poll::Ready(Ok(Event::Granted));
            }
            state.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Whether the root values are there already, so that nothing need be waited for.
    pub(super) fn take_whole(&self) -> Option<Bytes> {
        let mut state = self.lock();
        let Arriving::Whole(root) = &mut state.arriving else {
            return None;
        };
        let root = std::mem::take(root);
        state.arriving = Arriving::Taken;
        Some(root)
    }

    /// A chunk arrived on a channel.
    pub(super) fn data(&self, channel: u8, chunk: Bytes) -> Result<(), Violation> {
        match self.channel(channel)? {
            Some(channel) => channel.data(chunk),
            None => Ok(()),
        }
    }

    /// A channel ended.
    pub(super) fn end(&self, channel: u8, end: Result<(), CallError>) -> Result<(), Violation> {
        match self.channel(channel)? {
            Some(channel) => channel.end(end),
            None => Ok(()),
        }
    }

    /// The reader of a channel that we send takes so many bytes in all.
    pub(super) fn grant(&self, channel: u8, total: u64) -> Result<(), Violation> {
        let mut state = self.lock();
        let credit = credit(&state, channel)?;
        if self.sends == Values::Params && state.granted == Granted::No {
            state.granted = Granted::Yes;
            wake(state);
        } else {
            drop(state);
        }
        credit.grant(total);
        Ok(())
    }

    /// The reader of a channel that we send wants no more.
    pub(super) fn enough(&self, channel: u8) -> Result<(), Violation> {
        let credit = credit(&self.lock(), channel)?;
        credit.stop();
        Ok(())
    }

    /// Announces channels that we send, with what the other side takes on each at first.
    pub(super) fn announce(&self, channels: usize, granted: u64) {
        let mut state = self.lock();
        let failed = match &state.arriving {
            Arriving::Failed(failure) => Some(failure.error.clone()),
            _ => None,
        };
        state.credits = (0..channels)
            .map(|_| {
                let credit = Credit::default();
                credit.grant(granted);
                if let Some(error) = &failed {
                    credit.fail(error.clone());
                }
                Arc::new(credit)
            })
            .collect();
    }

    /// What the other side grants for a channel that we send.
    pub(super) fn credit(&self, channel: usize) -> Option<Arc<Credit>> {
        self.lock().credits.get(channel).cloned()
    }

    /// The arriving channel at a path, for its one reader, and its number.
    pub(super) fn take_channel(&self, path: &[u32]) -> Option<(Arc<Channel>, u8)> {
        let state = self.lock();
        let number = state.channels.iter().position(|one| one.is_at(path))?;
        let channel = state.channels[number].clone();
        drop(state);
        let number = u8::try_from(number).ok()?;
        channel.take().then_some((channel, number))
    }

    /// Whether any channel arrives.
    pub(super) fn has_channels(&self) -> bool {
        !self.lock().channels.is_empty()
    }

    /// The arriving channel of that number; none if the call failed here, which the other side can't know yet.
    fn channel(&self, number: u8) -> Result<Option<Arc<Channel>>, Violation> {
        let state = self.lock();
        match state.channels.get(usize::from(number)) {
            Some(channel) => Ok(Some(channel.clone())),
            None if matches!(state.arriving, Arriving::Failed(_)) => Ok(None),
            None => Err(Violation::of("a channel was not announced")),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while holding it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Arriving {
    fn failed(error: CallError) -> Self {
        Self::Failed(Failure {
            error,
            not_started: false,
        })
    }
}

fn credit(state: &State, channel: u8) -> Result<Arc<Credit>, Violation> {
    state
        .credits
        .get(usize::from(channel))
        .cloned()
        .ok_or(Violation::of("a grant is for a channel that nobody sends"))
}

/// Wakes who waits once the lock is given back.
fn wake(mut state: MutexGuard<'_, State>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

//! What the reader of a channel lets its writer send.

use std::{
    future::poll_fn,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

use crate::error::CallError;

/// What holding a message costs beside its payload; both sides count it in a window.
pub(crate) const MESSAGE_COST: usize = 64;

/// What a message counts against a bound or a window.
pub(crate) fn cost(payload: &[u8]) -> usize {
    payload.len() + MESSAGE_COST
}

/// The reader's side: what it has let the writer send, and how far it has read.
#[derive(Debug)]
pub(crate) struct Window {
    bytes: u64,
    read: u64,
    granted: u64,
}

impl Window {
    /// A window of so many bytes that the writer knows of.
    pub(crate) fn granted(bytes: u64) -> Self {
        Self {
            bytes,
            read: 0,
            granted: bytes,
        }
    }

    /// Notes what a message that was read had cost. Gives the bytes in all to grant now, if any: half a window at a
    /// time, since a grant costs a message.
    pub(crate) fn read(&mut self, cost: usize) -> Option<u64> {
        self.read += cost as u64;
        if self.read + self.bytes < self.granted + self.bytes / 2 {
            return None;
        }
        self.granted = self.read + self.bytes;
        Some(self.granted)
    }
}

/// Bytes granted for one channel, counted from its start. One writer waits on it.
#[derive(Debug, Default)]
pub(crate) struct Credit {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    granted: u64,
    end: Option<End>,
    waker: Option<Waker>,
}

#[derive(Debug)]
enum End {
    /// The reader wants no more.
    Stopped,
    Failed(CallError),
}

/// What waiting for credit came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    /// There is enough.
    Granted,
    /// The reader wants no more.
    Stopped,
}

impl Credit {
    /// Grants so many bytes in all; never fewer than before.
    pub(crate) fn grant(&self, total: u64) {
        self.change(|state| state.granted = state.granted.max(total));
    }

    /// The reader wants no more.
    pub(crate) fn stop(&self) {
        self.change(|state| state.end = state.end.take().or(Some(End::Stopped)));
    }

    /// The way there broke.
    pub(crate) fn fail(&self, error: CallError) {
        self.change(|state| state.end = state.end.take().or(Some(End::Failed(error))));
    }

    /// Waits until so many bytes in all are granted.
    pub(crate) async fn reach(&self, total: u64) -> Result<Reached, CallError> {
        self.wait(|state| state.granted >= total).await
    }

    /// Waits until the reader wants no more, or the way there breaks.
    pub(crate) async fn ended(&self) -> Result<Reached, CallError> {
        self.wait(|_| false).await
    }

    async fn wait(&self, enough: impl Fn(&State) -> bool) -> Result<Reached, CallError> {
        poll_fn(|context| {
            let mut state = self.lock();
            match &state.end {
                Some(End::Stopped) => Poll::Ready(Ok(Reached::Stopped)),
                Some(End::Failed(error)) => Poll::Ready(Err(error.clone())),
                None if enough(&state) => Poll::Ready(Ok(Reached::Granted)),
                None => {
                    state.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while holding it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn it_waits_for_enough() {
        let credit = Credit::default();
        credit.grant(10);
        assert_eq!(credit.reach(10).await.unwrap(), Reached::Granted);
        assert!(credit.reach(11).now_or_never().is_none());
        credit.grant(5);
        assert!(credit.reach(11).now_or_never().is_none());
        credit.grant(11);
        assert_eq!(credit.reach(11).await.unwrap(), Reached::Granted);
    }

    #[tokio::test]
    async fn a_reader_that_stops_ends_the_writer() {
        let credit = Credit::default();
        assert!(credit.ended().now_or_never().is_none());
        credit.stop();
        credit.fail(CallError::Cancelled);
        assert_eq!(credit.reach(1).await.unwrap(), Reached::Stopped);
        assert_eq!(credit.ended().await.unwrap(), Reached::Stopped);
    }
}

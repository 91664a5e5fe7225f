//! A queue with one reader and a bound on what it holds, filled without waiting.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

use crate::error::CallError;

/// What arrives for one reader. Whoever fills it never waits, so that one slow reader holds up nobody else; what goes
/// past the bound is refused.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<(T, usize)>,
    /// The sum of the items' costs.
    held: usize,
    /// Set once: nothing comes after it.
    end: Option<Result<(), CallError>>,
    waker: Option<Waker>,
}

/// The item does not fit.
#[derive(Debug)]
pub(crate) struct Full;

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        let state = State {
            items: VecDeque::new(),
            held: 0,
            end: None,
            waker: None,
        };
        Self {
            state: Mutex::new(state),
        }
    }
}

impl<T> Mailbox<T> {
    /// Adds an item unless the mailbox would hold more than `limit` with it. After the end, items are dropped.
    pub(crate) fn push(&self, item: T, cost: usize, limit: usize) -> Result<(), Full> {
        let mut state = self.lock();
        if state.end.is_some() {
            return Ok(());
        }
        if state.held.saturating_add(cost) > limit {
            return Err(Full);
        }
        state.held += cost;
        state.items.push_back((item, cost));
        wake(state);
        Ok(())
    }

    /// Ends it, after what it holds. Only the first end counts.
    pub(crate) fn end(&self, end: Result<(), CallError>) {
        let mut state = self.lock();
        if state.end.is_none() {
            state.end = Some(end);
            wake(state);
        }
    }

    /// Whether nothing more will come than what it holds.
    pub(crate) fn has_ended(&self) -> bool {
        self.lock().end.is_some()
    }

    /// The next item and its cost; `None` at the end, an error when it ended with one.
    pub(crate) async fn next(&self) -> Result<Option<(T, usize)>, CallError> {
        poll_fn(|context| {
            let mut state = self.lock();
            if let Some((item, cost)) = state.items.pop_front() {
                state.held -= cost;
                return Poll::Ready(Ok(Some((item, cost))));
            }
            match &state.end {
                Some(Ok(())) => Poll::Ready(Ok(None)),
                Some(Err(error)) => Poll::Ready(Err(error.clone())),
                None => {
                    state.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing panics while holding it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes the reader once the lock is given back.
fn wake<T>(mut state: MutexGuard<'_, State<T>>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_gives_back_in_order_then_the_end() {
        let mailbox = Mailbox::default();
        mailbox.push('a', 1, 2).unwrap();
        mailbox.push('b', 1, 2).unwrap();
        mailbox.push('c', 1, 2).unwrap_err();
        mailbox.end(Ok(()));
        mailbox.end(Err(CallError::Cancelled));
        assert_eq!(mailbox.next().await.unwrap(), Some(('a', 1)));
        assert_eq!(mailbox.next().await.unwrap(), Some(('b', 1)));
        assert_eq!(mailbox.next().await.unwrap(), None);
    }

    #[tokio::test]
    async fn reading_makes_room_again() {
        let mailbox = Mailbox::default();
        for round in 0..10 {
            mailbox.push(round, 5, 9).unwrap();
            mailbox.push(round, 5, 9).unwrap_err();
            assert_eq!(mailbox.next().await.unwrap(), Some((round, 5)));
        }
    }

    #[tokio::test]
    async fn a_waiting_reader_is_woken() {
        let mailbox = std::sync::Arc::new(Mailbox::default());
        let reader = tokio::spawn({
            let mailbox = mailbox.clone();
            async move { mailbox.next().await }
        });
        tokio::task::yield_now().await;
        mailbox.push(1, 1, 1).unwrap();
        assert_eq!(reader.await.unwrap().unwrap(), Some((1, 1)));
    }
}

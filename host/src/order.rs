//! First come, first served, for each name: requests about one component or provider run one after the other in
//! the order they came, requests about different ones at once.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::oneshot;

/// Hands out tickets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Order {
    /// For each name the last ticket's mark and the signal of its end.
    last: Arc<Mutex<HashMap<Arc<str>, Last>>>,
    numbers: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Last {
    number: u64,
    done: oneshot::Receiver<()>,
}

/// A place in a name's queue, held from when it is taken until it is dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    order: Order,
    name: Arc<str>,
    number: u64,
    before: Option<oneshot::Receiver<()>>,
    /// Dropping it lets the next one go on.
    _done: oneshot::Sender<()>,
}

impl Order {
    /// Takes the next place; [`Ticket::turn`] waits for it.
    pub(crate) fn ticket(&self, name: &str) -> Ticket {
        let (done, next) = oneshot::channel();
        let name: Arc<str> = name.into();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let before = last
            .insert(name.clone(), Last { number, done: next })
            .map(|last| last.done);
        Ticket {
            order: self.clone(),
            name,
            number,
            before,
            _done: done,
        }
    }
}

impl Ticket {
    /// Waits until everyone before has dropped theirs.
    pub(crate) async fn turn(&mut self) {
        if let Some(before) = self.before.take() {
            // Its sender is never used, only dropped.
            let _ = before.await;
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut last = self
            .order
            .last
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // A queue without anyone in it is forgotten. One dropped before its turn would let the next one pass those
        // before it, which only happens when the host ends and all are dropped.
        if last
            .get(&self.name)
            .is_some_and(|last| last.number == self.number)
        {
            last.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn one_name_is_served_in_order() {
        let order = Order::default();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..50_u64 {
            let mut ticket = order.ticket("a");
            let seen = seen.clone();
            tasks.spawn(async move {
                ticket.turn().await;
                // The later, the shorter: without the order, the last would be first.
                tokio::time::sleep(Duration::from_micros(500 - number * 10)).await;
                seen.lock().unwrap().push(number);
            });
        }
        tasks.join_all().await;
        assert_eq!(*seen.lock().unwrap(), (0..50).collect::<Vec<_>>());
        assert!(order.last.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn other_names_do_not_wait() {
        let order = Order::default();
        let _held = order.ticket("a");
        let mut other = order.ticket("b");
        tokio::time::timeout(Duration::from_secs(5), other.turn())
            .await
            .unwrap();
        let mut behind = order.ticket("a");
        assert!(
            tokio::time::timeout(Duration::from_millis(20), behind.turn())
                .await
                .is_err()
        );
    }
}

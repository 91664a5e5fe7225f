//! Acknowledgements leave in the order in which their messages came, as MQTT 5 asks of a client (4.6, [MQTT-4.6.0-2]),
//! while the messages are handled side by side.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

/// The messages of one connection that are not acknowledged. As many as the broker sends at once, no more.
#[derive(Debug, Default)]
pub struct Acknowledgements {
    due: Mutex<Due>,
}

#[derive(Debug, Default)]
struct Due {
    /// The ticket of the first that waits.
    first: u64,
    /// Packet ids, and whether the message is handled.
    waiting: VecDeque<(u16, bool)>,
}

/// A message's place among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

impl Acknowledgements {
    /// A message came that is to be acknowledged.
    pub fn arrived(&self, packet: u16) -> Ticket {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        due.waiting.push_back((packet, false));
        Ticket(due.first + due.waiting.len() as u64 - 1)
    }

    /// A message is handled: `acknowledge` is called for it and for those behind it, once all before it are handled.
    /// It must not wait: the order is kept by a lock.
    pub fn handled(&self, ticket: Ticket, mut acknowledge: impl FnMut(u16)) {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let at = ticket.0.checked_sub(due.first);
        let at = at.and_then(|at| usize::try_from(at).ok());
        if let Some(place) = at.and_then(|at| due.waiting.get_mut(at)) {
            place.1 = true;
        }
        while let Some((packet, true)) = due.waiting.front().copied() {
            due.waiting.pop_front();
            due.first += 1;
            acknowledge(packet);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_early_waits_for_those_before() {
        let acknowledgements = Acknowledgements::default();
        let tickets: Vec<_> = [7, 8, 9].map(|id| acknowledgements.arrived(id)).to_vec();
        let mut sent = Vec::new();
        acknowledgements.handled(tickets[1], |id| sent.push(id));
        assert!(sent.is_empty());
        acknowledgements.handled(tickets[0], |id| sent.push(id));
        assert_eq!(sent, [7, 8]);
        // A packet id that is used again is another message.
        let again = acknowledgements.arrived(7);
        acknowledgements.handled(again, |id| sent.push(id));
        assert_eq!(sent, [7, 8]);
        acknowledgements.handled(tickets[2], |id| sent.push(id));
        assert_eq!(sent, [7, 8, 9, 7]);
        // Told twice, it is acknowledged once.
        acknowledgements.handled(tickets[2], |id| sent.push(id));
        assert_eq!(sent, [7, 8, 9, 7]);
    }
}

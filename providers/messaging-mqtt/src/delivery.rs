//! Messages on their way from a connection to a component.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
};

use arc_swap::ArcSwap;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use trellis_provider::Component;

use crate::{
    attempt::Attempts,
    config::Pace,
    connection::Connection,
    live::{Arrived, Live},
    receiver::Wanted,
};

/// How many messages of QoS 0 wait for the component at most. Beyond it they are dropped; those of QoS 1 stay with the broker.
const MAX_WAITING: usize = 4096;
const MAX_WAITING_BYTES: usize = 32 << 20;

/// Who gets the messages, and how.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// The component.
    pub component: Component,
    /// How many at once, for how long, how often.
    pub pace: Pace,
}

/// A link's messages being delivered. Dropping it ends it at once.
#[derive(Debug)]
pub struct Delivery {
    recipient: Arc<ArcSwap<Recipient>>,
    drain: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Delivery {
    /// Delivers what comes.
    pub fn start(
        connection: Arc<Connection>,
        incoming: mpsc::Receiver<Arrived>,
        wanted: watch::Receiver<Wanted>,
        recipient: Recipient,
    ) -> Self {
        let (recipient, drain) = (
            Arc::new(ArcSwap::from_pointee(recipient)),
            CancellationToken::new(),
        );
        let running = Running {
            attempts: Attempts {
                connection,
                recipient: recipient.clone(),
                drain: drain.clone(),
            },
            wanted,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            latest: None,
            dropped: 0,
            unwanted: 0,
            handled: JoinSet::new(),
        };
        let task = AbortOnDropHandle::new(tokio::spawn(running.run(incoming)));
        Self {
            recipient,
            drain,
            task,
        }
    }

    /// From the next attempt on, this is who gets them.
    pub fn redirect(&self, recipient: Recipient) {
        self.recipient.store(Arc::new(recipient));
    }

    /// Waits until what the component has begun with is handled. What it has not is not acknowledged: the broker keeps it.
    pub async fn drain(self) {
        self.drain.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "a link's messages ended with a panic");
        }
    }
}

struct Running {
    attempts: Attempts,
    wanted: watch::Receiver<Wanted>,
    waiting: VecDeque<Arrived>,
    /// The size of those of QoS 0 among them.
    waiting_bytes: usize,
    /// The connection that messages of QoS 1 came over last.
    latest: Option<Weak<Live>>,
    dropped: u64,
    unwanted: u64,
    handled: JoinSet<()>,
}

impl Running {
    async fn run(mut self, mut incoming: mpsc::Receiver<Arrived>) {
        let drain = self.attempts.drain.clone();
        loop {
            tokio::select! {
                arrived = incoming.recv() => match arrived {
                    Some(arrived) => self.arrived(arrived),
                    None => break,
                },
                Some(ended) = self.handled.join_next() => told(ended),
                () = drain.cancelled() => break,
            }
            self.begin();
        }
        incoming.close();
        while let Ok(arrived) = incoming.try_recv() {
            self.arrived(arrived);
        }
        self.waiting.retain(|arrived| arrived.ticket.is_none());
        while !self.waiting.is_empty() || !self.handled.is_empty() {
            self.begin();
            if let Some(ended) = self.handled.join_next().await {
                told(ended);
            }
        }
    }

    fn arrived(&mut self, arrived: Arrived) {
        let topic = String::from_utf8_lossy(&arrived.publish.topic);
        if !self.wanted.borrow().matches(&topic) {
            // The session is older than the link's configuration, which this process has not seen change.
            self.unwanted += 1;
            if self.unwanted.is_power_of_two() {
                tracing::warn!(
                    client_id = self.wanted.borrow().client_id,
                    %topic,
                    dropped = self.unwanted,
                    "messages of a subscription that the link does not have any more are dropped; the broker's session still \
                     has it"
                );
            }
            if let Some(ticket) = arrived.ticket {
                arrived.live.acknowledge(ticket);
            }
            return;
        }
        let bytes = arrived.publish.payload.len();
        // The broker sends as many of QoS 1 as there is room for, over one connection.
        if arrived.ticket.is_some() {
            self.forget_those_that_come_again(&arrived.live);
        } else if self.waiting.len() >= MAX_WAITING
            || self.waiting_bytes + bytes > MAX_WAITING_BYTES
        {
            self.dropped += 1;
            // At the first, the second, the fourth …: a line for each would be a second load.
            if self.dropped.is_power_of_two() {
                tracing::warn!(
                    client_id = self.wanted.borrow().client_id,
                    dropped = self.dropped,
                    "the component is too slow, messages of QoS 0 are dropped"
                );
            }
            return;
        }
        self.waiting_bytes += arrived.counted_bytes();
        self.waiting.push_back(arrived);
    }

    /// The broker gives what was not acknowledged over an earlier connection again over this one.
    fn forget_those_that_come_again(&mut self, live: &Arc<Live>) {
        let same = self
            .latest
            .as_ref()
            .is_some_and(|latest| latest.ptr_eq(&Arc::downgrade(live)));
        if !same {
            self.latest = Some(Arc::downgrade(live));
            self.waiting
                .retain(|waiting| waiting.ticket.is_none() || !waiting.live.has_ended());
        }
    }

    /// Hands over as many as the component takes at once.
    fn begin(&mut self) {
        let at_once = self.attempts.recipient.load().pace.max_in_flight;
        while self.handled.len() < at_once {
            let Some(arrived) = self.waiting.pop_front() else {
                return;
            };
            self.waiting_bytes -= arrived.counted_bytes();
            // The broker gives it again over the next connection.
            if arrived.ticket.is_some() && arrived.live.has_ended() {
                continue;
            }
            self.handled.spawn(self.attempts.clone().deliver(arrived));
        }
    }
}

impl Arrived {
    /// What it counts for among those of QoS 0, in bytes.
    fn counted_bytes(&self) -> usize {
        match self.ticket {
            Some(_) => 0,
            None => self.publish.payload.len(),
        }
    }
}

fn told(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a message's delivery ended with a panic");
    }
}

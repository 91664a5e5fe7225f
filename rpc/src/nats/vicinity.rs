//! The PoPs around a process: which there are, and how far away they are.
//!
//! Every process that serves calls and is in a PoP answers on `trellis.pops.{lattice}`, in the queue group of its PoP: of
//! each PoP one answers. Whoever calls asks now and then, and takes the time until the answers as the distance. Nobody
//! asks often whose calls stay in its own PoP.

mod pops;

use std::{
    collections::{HashSet, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use async_nats::{Client, Message, Subscriber};
use bytes::Bytes;
use futures::StreamExt as _;
use rand::Rng as _;
use tokio::{
    sync::{Notify, OnceCell, watch},
    task::JoinSet,
};
use tokio_util::task::AbortOnDropHandle;
use trellis_lattice::{
    Place, PopName, from_json,
    place::{MAX_POPS, PopPresence},
    subject::Subjects,
};

use self::pops::Pops;
use crate::error::CallError;

/// How often others are asked while calls go to them, and while none does. Each is drawn from around it.
const EVERY: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(60));
/// How soon they are asked again when one has not answered.
const SOON: Duration = Duration::from_secs(1);
/// Calls that went to others make them be asked more often for so long.
const IN_USE: Duration = Duration::from_secs(60);
/// How long answers may take, at least and at most; in between as long as the farthest needs, some times over.
const PATIENCE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(2));
/// Answers to so many pings are still known for what they are.
const REMEMBERED: usize = 4;

/// Asks for the PoPs around, and answers for its own. It ends when it is dropped.
#[derive(Debug)]
pub(super) struct Vicinity {
    shared: Arc<Shared>,
    answering: OnceCell<AbortOnDropHandle<()>>,
    _asking: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    place: Place,
    pops: Mutex<Pops>,
    /// What calls look at.
    order: ArcSwap<Vec<PopName>>,
    started: Instant,
    /// When a call went to another PoP last, in milliseconds from `started`.
    used: AtomicU64,
    /// Whether one ever did.
    was_used: AtomicBool,
    /// Asks at once.
    ask: Notify,
    /// How many rounds are over.
    rounds: watch::Sender<u64>,
}

impl Vicinity {
    /// Begins to ask, in that lattice.
    pub(super) fn start(client: Client, subjects: &Subjects, place: Place) -> Self {
        let pops = Pops::new(&place);
        let shared = Arc::new(Shared {
            order: ArcSwap::from_pointee(pops.order()),
            pops: Mutex::new(pops),
            place,
            started: Instant::now(),
            used: AtomicU64::new(0),
            was_used: AtomicBool::new(false),
            ask: Notify::new(),
            rounds: watch::Sender::new(0),
        });
        let mut asking = JoinSet::new();
        asking.spawn(ask(client, subjects.pops(), shared.clone()));
        Self {
            shared,
            answering: OnceCell::new(),
            _asking: asking,
        }
    }

    /// Where this process is.
    pub(super) fn place(&self) -> &Place {
        &self.shared.place
    }

    /// The other PoPs from near to far, for a call that its own did not take.
    pub(super) fn others(&self) -> Arc<Vec<PopName>> {
        let shared = &self.shared;
        let now = u64::try_from(shared.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        shared.used.store(now, Ordering::Relaxed);
        if !shared.was_used.swap(true, Ordering::Relaxed) {
            shared.ask.notify_one();
        }
        shared.order.load_full()
    }

    /// A call to a PoP takes long: is it there?
    pub(super) fn wonder(&self) {
        self.shared.ask.notify_one();
    }

    /// A call to a PoP was never answered.
    pub(super) fn doubt(&self, pop: &PopName) {
        self.shared.change(|pops| pops.doubt(pop));
        self.shared.ask.notify_one();
    }

    /// The longest measured time to another PoP and back.
    pub(super) fn farthest(&self) -> Duration {
        self.shared.lock().farthest().unwrap_or_default()
    }

    /// Waits until all that are there have had the time to answer once.
    pub(super) async fn surveyed(&self) {
        // The sender is ours.
        _ = self
            .shared
            .rounds
            .subscribe()
            .wait_for(|rounds| *rounds > 0)
            .await;
    }

    /// Answers for its PoP from now on: it serves calls.
    pub(super) async fn answer(
        &self,
        client: &Client,
        subjects: &Subjects,
    ) -> Result<(), CallError> {
        let begin = || async {
            let group = self.place().pop.to_string();
            let asked = client
                .queue_subscribe(subjects.pops(), group)
                .await
                .map_err(|error| CallError::Transport(error.to_string()))?;
            let presence = PopPresence {
                pop: self.place().pop.clone(),
                region: self.place().region.clone(),
            };
            let answer = serde_json::to_vec(&presence)
                .map_err(|error| CallError::Malformed(error.to_string()))?;
            let task = tokio::spawn(answer_all(client.clone(), asked, answer.into()));
            Ok(AbortOnDropHandle::new(task))
        };
        self.answering.get_or_try_init(begin).await.map(|_| ())
    }
}

async fn answer_all(client: Client, mut asked: Subscriber, answer: Bytes) {
    while let Some(message) = asked.next().await {
        if let Some(reply) = message.reply
            && let Err(error) = client.publish(reply, answer.clone()).await
        {
            tracing::debug!(%error, "another PoP's ping was not answered");
        }
    }
}

/// Asks for ever, or until the connection is closed.
async fn ask(client: Client, subject: String, shared: Arc<Shared>) {
    let inbox = client.new_inbox();
    let mut answers = match client.subscribe(format!("{inbox}.*")).await {
        Ok(answers) => answers,
        Err(error) => {
            tracing::warn!(%error, "the PoPs around can't be asked for");
            return;
        }
    };
    let mut survey = Survey::default();
    let mut next = Instant::now();
    loop {
        let round_over = survey.until;
        tokio::select! {
            answer = answers.next() => match answer {
                Some(answer) => survey.hear(&answer, &shared),
                None => return,
            },
            () = tokio::time::sleep_until(round_over.unwrap_or(next).into()) => match round_over {
                Some(_) => next = survey.end(&shared),
                None => {
                    let number = survey.begin(shared.patience());
                    let reply = format!("{inbox}.{number}");
                    let sent = client.publish_with_reply(subject.clone(), reply, Bytes::new());
                    if let Err(error) = sent.await {
                        // Closed: nobody calls over it any more.
                        tracing::debug!(%error, "the PoPs around can't be asked any more");
                        return;
                    }
                }
            },
            // Not at once again, whatever calls wonder.
            () = shared.ask.notified(), if round_over.is_none() => next = next.min(Instant::now() + SOON / 4),
        }
    }
}

/// The pings so far.
#[derive(Debug, Default)]
struct Survey {
    /// The last ping's number.
    number: u64,
    /// When the last ones were sent, by their number.
    sent: VecDeque<(u64, Instant)>,
    /// When the round is over that runs.
    until: Option<Instant>,
    /// Who answered in it.
    answered: HashSet<PopName>,
}

impl Survey {
    /// A new round; gives its number.
    fn begin(&mut self, patience: Duration) -> u64 {
        let now = Instant::now();
        self.number += 1;
        self.sent.push_back((self.number, now));
        if self.sent.len() > REMEMBERED {
            self.sent.pop_front();
        }
        self.answered.clear();
        self.until = Some(now + patience);
        self.number
    }

    /// Takes an answer, a late one too: it says how far away its PoP is.
    fn hear(&mut self, answer: &Message, shared: &Shared) {
        let number = answer.subject.rsplit_once('.');
        let number = number.and_then(|(_, number)| number.parse::<u64>().ok());
        let Some((number, sent)) = self
            .sent
            .iter()
            .find(|(known, _)| number == Some(*known))
            .copied()
        else {
            return;
        };
        if answer.status.is_some() {
            // Nobody is there at all, so nobody needs to be waited for.
            if number == self.number && self.until.is_some() {
                self.until = Some(Instant::now());
            }
            return;
        }
        if let Some(presence) = presence(answer)
            && self.answered.len() <= MAX_POPS
            && self.answered.insert(presence.pop.clone())
        {
            shared.change(|pops| pops.answered(presence, sent.elapsed()));
        }
    }

    /// The round is over; gives the time of the next one.
    fn end(&mut self, shared: &Shared) -> Instant {
        self.until = None;
        shared.change(|pops| pops.round_over(|pop| self.answered.contains(pop)));
        shared.rounds.send_modify(|rounds| *rounds += 1);
        // Who has just come finds others who have, too.
        let early = SOON.saturating_mul(1 << self.number.min(10));
        let pause = shared.pause().min(early);
        Instant::now() + pause.mul_f64(rand::rng().random_range(0.75..1.25))
    }
}

impl Shared {
    /// How long answers may take.
    fn patience(&self) -> Duration {
        let farthest = self.lock().farthest().unwrap_or_default();
        (farthest * 4).clamp(PATIENCE.0, PATIENCE.1)
    }

    /// How long until the next ping.
    fn pause(&self) -> Duration {
        if self.lock().waits() {
            return SOON;
        }
        let used = Duration::from_millis(self.used.load(Ordering::Relaxed));
        let lately = self.started.elapsed().saturating_sub(used) < IN_USE;
        match lately && self.was_used.load(Ordering::Relaxed) {
            true => EVERY.0,
            false => EVERY.1,
        }
    }

    fn change(&self, change: impl FnOnce(&mut Pops)) {
        let mut pops = self.lock();
        change(&mut pops);
        let order = pops.order();
        if **self.order.load() != order {
            tracing::debug!(?order, "the PoPs around, from near to far");
            self.order.store(Arc::new(order));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pops> {
        // Nothing panics while holding it.
        self.pops.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an answer says; one that can't be read says nothing.
fn presence(answer: &Message) -> Option<PopPresence> {
    from_json("answer to a ping of PoPs", &answer.payload)
        .inspect_err(|error| tracing::debug!(%error, "a PoP's answer is left out"))
        .ok()
}

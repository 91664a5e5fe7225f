//! Calls one after another on several connections while something happens to the provider.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use tokio::{sync::watch, task::JoinSet};
use trellis_tests::{http::Http, wait::until};

use super::{
    stand::Stand,
    subject::{Outcome, Subject},
};

/// How many calls run at once.
const CALLERS: usize = 4;
/// The longest that a call may take: 30 s is what an actor and the HTTP server before it have where nothing else is said,
/// and a busy machine may take a little more.
pub const LONGEST: Duration = Duration::from_secs(33);
/// How many calls with other words are kept apart.
const MAX_WORDS: usize = 20;

/// What the calls came to.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Those that were done.
    pub done: u64,
    /// Those that failed, and in which words.
    pub failed: BTreeMap<String, u64>,
    /// Those that ended as no call may.
    pub broken: BTreeMap<String, u64>,
    /// The longest that one took.
    pub longest: Duration,
}

impl Seen {
    fn take(&mut self, outcome: Outcome, took: Duration) {
        self.longest = self.longest.max(took);
        let (words, why) = match outcome {
            Outcome::Done => return self.done += 1,
            Outcome::Failed(why) => (&mut self.failed, why),
            Outcome::Broken(why) => (&mut self.broken, why),
        };
        let why = match words.len() < MAX_WORDS || words.contains_key(&why) {
            true => why,
            false => "other words".to_owned(),
        };
        *words.entry(why).or_default() += 1;
    }

    fn ended(&self) -> u64 {
        let others = self.failed.values().chain(self.broken.values());
        self.done + others.sum::<u64>()
    }
}

/// The calls.
pub struct Load {
    seen: Arc<Mutex<Seen>>,
    stop: watch::Sender<bool>,
    callers: JoinSet<()>,
}

impl Load {
    /// Begins; each next call is made when the one before has ended.
    pub fn start<S: Subject>(stand: &Arc<Stand<S>>) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (stop, stopped) = watch::channel(false);
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let (stand, seen, stopped) = (stand.clone(), seen.clone(), stopped.clone());
            callers.spawn(async move {
                let http = Http::new(stand.at);
                while !*stopped.borrow() {
                    let begun = Instant::now();
                    let outcome = stand.call(&http).await;
                    let done = outcome.is_done();
                    lock(&seen).take(outcome, begun.elapsed());
                    if !done {
                        // Who is refused at once need not ask again at once.
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
            });
        }
        Self {
            seen,
            stop,
            callers,
        }
    }

    /// Waits until `more` further calls are done.
    pub async fn goes_on<S: Subject>(&self, stand: &Stand<S>, more: u64) -> Result<()> {
        let before = self.seen().done;
        until("the calls go on", || async {
            let seen = self.seen();
            ensure!(seen.done >= before + more, "{seen:?}");
            Ok(())
        })
        .await
        .with_context(|| stand.lattice.logs())
    }

    /// Waits until a call that began from now on has surely ended, whichever way, or until `most` is over.
    pub async fn is_felt(&self, most: Duration) {
        let before = self.seen().ended();
        let ended = async {
            while self.seen().ended() <= before + CALLERS as u64 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        // That calls wait for what is away, and have not ended yet, is as good.
        let _ = tokio::time::timeout(most, ended).await;
    }

    /// What was seen so far.
    pub fn seen(&self) -> Seen {
        lock(&self.seen).clone()
    }

    /// Ends it, each caller after the call that it waits for.
    pub async fn stop(mut self) -> Seen {
        // The callers hold the receivers until they end.
        let _ = self.stop.send(true);
        while self.callers.join_next().await.is_some() {}
        self.seen()
    }
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

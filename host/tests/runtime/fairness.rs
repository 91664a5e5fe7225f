//! One greedy actor does not starve others, however many of its calls compute.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;
use trellis_host::runtime::Actor;

use crate::{
    kit::{Kit, get, until},
    reuse::{call, counter},
};

const CALLS: usize = 300;

/// How long calls of an actor take, one after the other: on average, and all but the longest hundredth.
async fn latency(actor: &Arc<Actor>) -> (Duration, Duration) {
    let actor = actor.clone();
    let measured = tokio::spawn(async move {
        let mut times = Vec::new();
        for _ in 0..CALLS {
            let began = Instant::now();
            assert_eq!(get(&actor, "/").await.unwrap().status, 200);
            times.push(began.elapsed());
        }
        times.sort();
        let mean = times.iter().sum::<Duration>() / CALLS as u32;
        (mean, times[CALLS * 99 / 100])
    });
    measured.await.unwrap()
}

/// How many rounds of the counter's loop take about that long.
async fn rounds_of(actor: &Arc<Actor>, time: Duration) -> u32 {
    const ROUNDS: u32 = 50_000_000;
    let began = Instant::now();
    call(actor, "spin", Some(ROUNDS)).await.unwrap();
    let all = time.as_secs_f64() / began.elapsed().as_secs_f64() * f64::from(ROUNDS);
    all as u32
}

/// Callers that call again as soon as they are answered.
struct Callers {
    tasks: JoinSet<()>,
    ended: Arc<AtomicBool>,
    answered: Arc<AtomicU32>,
}

impl Callers {
    fn begin(actor: &Arc<Actor>, callers: usize, rounds: u32) -> Self {
        let (ended, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicU32>::default());
        let mut tasks = JoinSet::new();
        for _ in 0..callers {
            let (actor, ended, answered) = (actor.clone(), ended.clone(), answered.clone());
            tasks.spawn(async move {
                while !ended.load(Relaxed) {
                    call(&actor, "spin", Some(rounds)).await.unwrap();
                    answered.fetch_add(1, Relaxed);
                }
            });
        }
        Self {
            tasks,
            ended,
            answered,
        }
    }

    fn answered(&self) -> u32 {
        self.answered.load(Relaxed)
    }

    async fn end(self) {
        self.ended.store(true, Relaxed);
        self.tasks.join_all().await;
    }
}

/// 64 endless loops on two threads: without turns a neighbour's call waits behind all of them, a third of a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_compute_endlessly_leave_others_their_time() {
    let kit = Kit::new();
    let hello = kit.start("http_hello").await;
    let looping = kit
        .start_with("misbehave", |options| options.max_instances = 56)
        .await;
    latency(&hello).await;
    let (alone, _) = latency(&hello).await;
    let loops: Vec<_> = (0..56)
        .map(|_| {
            let looping = looping.clone();
            tokio::spawn(async move { get(&looping, "/loop").await })
        })
        .collect();
    until("the loops run", || looping.in_flight() == 56).await;
    let (beside, slowest) = latency(&hello).await;
    println!("hello alone {alone:?}, beside 56 endless loops {beside:?}, p99 {slowest:?}");
    for task in loops {
        task.abort();
    }
    // What is measured on machines with nothing else to do is twice its time alone; here are other tests.
    assert!(
        beside < alone * 20 + Duration::from_millis(10),
        "{beside:?}"
    );
    assert!(slowest < Duration::from_millis(150), "{slowest:?}");
}

/// Calls that end before a tick finds them, and are many.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_that_compute_for_a_while_leave_others_their_time() {
    let kit = Kit::new();
    let hello = kit.start("http_hello").await;
    let busy = counter(&kit, "busy", |options| options.max_instances = 56).await;
    let rounds = rounds_of(&busy, Duration::from_millis(6)).await;
    latency(&hello).await;
    let (alone, _) = latency(&hello).await;
    let callers = Callers::begin(&busy, 56, rounds);
    until("it is known", || callers.answered() > 200).await;
    let before = callers.answered();
    let (beside, slowest) = latency(&hello).await;
    println!("hello alone {alone:?}, beside 56 callers of 6 ms {beside:?}, p99 {slowest:?}");
    until("the busy one goes on, too", || callers.answered() > before).await;
    callers.end().await;
    assert!(
        beside < alone * 20 + Duration::from_millis(10),
        "{beside:?}"
    );
    assert!(slowest < Duration::from_millis(150), "{slowest:?}");
}

/// Time is shared out by actors: one caller of one gets as much done as forty of another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn actors_that_both_compute_have_equal_parts() {
    let kit = Kit::new();
    let many = counter(&kit, "many", |options| options.max_instances = 40).await;
    let one = counter(&kit, "one", |_| {}).await;
    let rounds = rounds_of(&one, Duration::from_millis(40)).await;
    let many = Callers::begin(&many, 40, rounds);
    until("the many compute", || many.answered() > 20).await;
    let one = Callers::begin(&one, 1, rounds);
    until("the one does", || one.answered() > 4).await;
    let before = (one.answered(), many.answered());
    until("both have done some more", || {
        one.answered() > before.0 + 20
    })
    .await;
    let (ones, others) = (one.answered() - before.0, many.answered() - before.1);
    println!("one caller {ones}, forty of another actor {others}");
    one.end().await;
    many.end().await;
    // By calls it would be one to forty.
    assert!(others < ones * 8, "{ones} of one caller, {others} of forty");
}

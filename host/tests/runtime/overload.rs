//! Past its capacity an actor answers as many calls as before, none of them much later, and refuses the rest at once.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::task::JoinSet;
use trellis_host::runtime::{Actor, RuntimeConfig};
use trellis_rpc::CallError;

use crate::kit::{Kit, get};

/// How long callers go on.
const LASTING: Duration = Duration::from_secs(2);

/// What callers saw.
#[derive(Default)]
struct Seen {
    answered: Vec<Duration>,
    refused: Vec<Duration>,
}

impl Seen {
    /// All but the longest tenth.
    fn most(times: &mut [Duration]) -> Duration {
        times.sort();
        times[times.len() * 9 / 10]
    }
}

/// Callers that call again when they are answered, and a little later when they are refused.
async fn load(actor: &Arc<Actor>, callers: usize, path: &'static str) -> Seen {
    let seen = Arc::<Mutex<Seen>>::default();
    let until = Instant::now() + LASTING;
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let (actor, seen) = (actor.clone(), seen.clone());
        tasks.spawn(async move {
            while Instant::now() < until {
                let began = Instant::now();
                match get(&actor, path).await {
                    Ok(answer) => {
                        assert_eq!(answer.status, 200);
                        seen.lock().unwrap().answered.push(began.elapsed());
                    }
                    Err(CallError::Overloaded(_)) => {
                        seen.lock().unwrap().refused.push(began.elapsed());
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        });
    }
    tasks.join_all().await;
    std::mem::take(&mut *seen.lock().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admitted_calls_are_answered_in_time_and_the_rest_is_refused_at_once() {
    let kit = Kit::new();
    let actor = kit
        .start_with("misbehave", |options| {
            options.max_instances = 4;
            options.limits.queue = 8;
        })
        .await;
    let path = "/sleep?ms=20";
    let mut at_capacity = load(&actor, 4, path).await;
    assert!(at_capacity.refused.is_empty());
    let mut beyond = load(&actor, 100, path).await;
    let (alone, loaded) = (at_capacity.answered.len(), beyond.answered.len());
    let usual = Seen::most(&mut at_capacity.answered);
    let queued = Seen::most(&mut beyond.answered);
    let refused = Seen::most(&mut beyond.refused);
    println!(
        "at capacity {alone} calls of {usual:?}; beyond {loaded} of {queued:?}, {} refused after {refused:?}",
        beyond.refused.len()
    );
    assert!(loaded * 2 > alone, "{loaded} of {alone}");
    // Behind eight that wait at four places, and then its own turn: three turns.
    assert!(queued < usual * 6, "{queued:?}, and {usual:?} at capacity");
    assert!(beyond.refused.len() > loaded, "{}", beyond.refused.len());
    assert!(refused < usual / 2, "{refused:?}");
}

/// The host's places: beyond them a bounded number waits, and one actor never has all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_actor_does_not_take_all_places_of_a_host() {
    let kit = Kit::with(RuntimeConfig {
        max_calls: 16,
        queue: 8,
        ..Default::default()
    });
    let greedy = kit
        .start_with("misbehave", |options| options.max_instances = 1000)
        .await;
    assert_eq!(greedy.max_instances(), 14);
    let hello = kit.start("http_hello").await;
    let callers = tokio::spawn({
        let greedy = greedy.clone();
        async move { load(&greedy, 100, "/sleep?ms=20").await }
    });
    let mut times = Vec::new();
    while !callers.is_finished() {
        let began = Instant::now();
        assert_eq!(get(&hello, "/").await.unwrap().status, 200);
        times.push(began.elapsed());
    }
    let most = Seen::most(&mut times);
    println!("{} calls of the other actor, {most:?}", times.len());
    // It never waits for a place, only for a processor.
    assert!(most < Duration::from_millis(20), "{most:?}");
    assert!(!callers.await.unwrap().answered.is_empty());
}

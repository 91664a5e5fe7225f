//! Instances that answer more than one call, for actors that ask for it, and only for those.

use std::{sync::Arc, time::Duration};

use bytes::{BufMut as _, Bytes, BytesMut};
use trellis_host::runtime::{Actor, ActorOptions, Limits, RuntimeConfig};
use trellis_rpc::{CallContext, CallError, Operation, Outgoing};

use crate::kit::{Kit, ask, get, id, invoke, until};

/// An actor that counts its calls in its memory, traps, grows and computes as it is asked to.
const COUNTER: &str = r#"
(component
  (core module $m
    (memory (export "memory") 1)
    (global $calls (mut i32) (i32.const 0))
    (func (export "next") (result i32)
      (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
      (global.get $calls))
    (func (export "trap") unreachable)
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "spin") (param i32)
      (loop $again
        (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
        (br_if $again (local.get 0)))))
  (core instance $i (instantiate $m))
  (func $next (result u32) (canon lift (core func $i "next")))
  (func $trap (canon lift (core func $i "trap")))
  (func $grow (param "pages" u32) (result u32) (canon lift (core func $i "grow")))
  (func $spin (param "rounds" u32) (canon lift (core func $i "spin")))
  (instance $counter
    (export "next" (func $next))
    (export "trap" (func $trap))
    (export "grow" (func $grow))
    (export "spin" (func $spin)))
  (export "test:counter/counter@1.0.0" (instance $counter)))
"#;

/// Starts it.
pub async fn counter(kit: &Kit, name: &str, change: impl FnOnce(&mut ActorOptions)) -> Arc<Actor> {
    let module = kit
        .runtime
        .load(wat::parse_str(COUNTER).unwrap())
        .await
        .unwrap();
    let mut options = ActorOptions {
        id: id(name),
        max_instances: 16,
        limits: Limits::default(),
        config: Default::default(),
        links: kit.links.clone(),
    };
    change(&mut options);
    Actor::start(&kit.runtime, &module, options).unwrap()
}

/// Calls a function of it, with one number or none.
pub async fn call(
    actor: &Arc<Actor>,
    function: &str,
    number: Option<u32>,
) -> Result<Bytes, CallError> {
    call_within(actor, function, number, CallContext::default()).await
}

async fn call_within(
    actor: &Arc<Actor>,
    function: &str,
    number: Option<u32>,
    context: CallContext,
) -> Result<Bytes, CallError> {
    let operation = Operation::new("test:counter/counter@1.0.0", function);
    let mut params = BytesMut::new();
    if let Some(mut number) = number {
        while number >= 0x80 {
            params.put_u8(number as u8 | 0x80);
            number >>= 7;
        }
        params.put_u8(number as u8);
    }
    let params = Outgoing::unary(params.freeze());
    let answer = invoke(actor.clone(), operation, context, params).await?;
    Ok(answer.root)
}

async fn next(actor: &Arc<Actor>) -> u8 {
    let answer = call(actor, "next", None).await.unwrap();
    answer[0]
}

fn reusing(options: &mut ActorOptions) {
    options.limits.reuse = true;
}

#[tokio::test]
async fn a_kept_instance_remembers_and_a_new_one_does_not() {
    let kit = Kit::new();
    let fresh = counter(&kit, "fresh", |_| {}).await;
    let reused = counter(&kit, "reused", reusing).await;
    // Of the same module: none sees the other's.
    for call in 1..=5 {
        assert_eq!(next(&fresh).await, 1);
        assert_eq!(next(&reused).await, call);
    }
    assert_eq!(fresh.counters().kept_instances, 0);
    assert_eq!(reused.counters().kept_instances, 1);
    let other = counter(&kit, "other", reusing).await;
    assert_eq!(next(&other).await, 1);
}

#[tokio::test]
async fn a_trap_a_new_configuration_and_growth_end_it() {
    let kit = Kit::new();
    let actor = counter(&kit, "a", |options| {
        reusing(options);
        options.limits.memory_bytes = 8 << 20;
    })
    .await;
    assert_eq!((next(&actor).await, next(&actor).await), (1, 2));
    call(&actor, "trap", None).await.unwrap_err();
    assert_eq!(actor.counters().kept_instances, 0);

    assert_eq!((next(&actor).await, next(&actor).await), (1, 2));
    actor.set_config([("key".to_owned(), "value".to_owned())].into());
    assert_eq!(actor.counters().kept_instances, 0);

    assert_eq!((next(&actor).await, next(&actor).await), (1, 2));
    // Not more than half of what it may have is no matter, more is.
    call(&actor, "grow", Some(32)).await.unwrap();
    assert_eq!(next(&actor).await, 3);
    call(&actor, "grow", Some(64)).await.unwrap();
    assert_eq!(actor.counters().kept_instances, 0);
    assert_eq!(next(&actor).await, 1);
}

#[tokio::test]
async fn a_call_that_is_cut_off_ends_it() {
    let kit = Kit::new();
    let actor = counter(&kit, "a", |options| {
        reusing(options);
        options.limits.call_deadline = Duration::from_millis(100);
    })
    .await;
    assert_eq!((next(&actor).await, next(&actor).await), (1, 2));
    let error = call(&actor, "spin", Some(u32::MAX)).await.unwrap_err();
    assert!(
        matches!(error, CallError::DeadlineExceeded { .. }),
        "{error}"
    );
    until("the call is gone", || actor.in_flight() == 0).await;
    assert_eq!(actor.counters().kept_instances, 0);
    assert_eq!(next(&actor).await, 1);
}

/// A new configuration while a call runs: its instance may have read the old one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_from_before_a_configuration_is_not_kept() {
    let kit = Kit::new();
    let actor = counter(&kit, "a", reusing).await;
    assert_eq!(next(&actor).await, 1);
    let running = tokio::spawn({
        let actor = actor.clone();
        async move { call(&actor, "spin", Some(400_000_000)).await }
    });
    until("it runs", || actor.in_flight() == 1).await;
    actor.set_config(Default::default());
    running.await.unwrap().unwrap();
    assert_eq!(actor.counters().kept_instances, 0);
    assert_eq!(next(&actor).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_call_at_a_time_and_no_more_than_run_at_once() {
    let kit = Kit::new();
    let actor = counter(&kit, "a", |options| {
        reusing(options);
        options.max_instances = 3;
    })
    .await;
    let calls: Vec<_> = (0..90)
        .map(|_| {
            let actor = actor.clone();
            tokio::spawn(async move { next(&actor).await })
        })
        .collect();
    let mut seen = [0_u32; 256];
    for call in calls {
        seen[usize::from(call.await.unwrap())] += 1;
    }
    let kept = actor.counters().kept_instances;
    assert!((1..=3).contains(&kept), "{kept}");
    // Each number once an instance: two calls in one at a time would have counted otherwise.
    assert_eq!(seen.iter().sum::<u32>(), 90);
    assert!(seen.iter().all(|times| *times <= 3), "{seen:?}");
    assert!(seen[30] >= 1, "{seen:?}");
}

#[tokio::test]
async fn places_of_instances_that_wait_go_to_others() {
    let kit = Kit::with(RuntimeConfig {
        max_calls: 2,
        ..Default::default()
    });
    let greedy = kit
        .start_with("misbehave", |options| {
            reusing(options);
            options.max_instances = 2;
        })
        .await;
    let calls = (0..2).map(|_| get(&greedy, "/sleep?ms=20"));
    futures::future::join_all(calls).await;
    assert_eq!(greedy.counters().kept_instances, 2);
    // The pool is full of them.
    let other = counter(&kit, "other", |_| {}).await;
    assert_eq!(next(&other).await, 1);
    assert_eq!(greedy.counters().kept_instances, 1);
}

/// What a call leaves behind is not seen by the next, as far as it is the host's.
#[tokio::test]
async fn the_next_request_finds_everything_as_new() {
    let kit = Kit::new();
    let actor = kit
        .start_with("misbehave", |options| {
            reusing(options);
            options.limits.memory_bytes = 16 << 20;
            options.limits.call_deadline = Duration::from_millis(500);
        })
        .await;
    // Longer, all together, than one call may take.
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_millis(700) {
        assert_eq!(get(&actor, "/sleep?ms=50").await.unwrap().status, 200);
        let echoed = ask("POST", "/echo").body("abc").send(&actor).await.unwrap();
        assert_eq!(echoed.text(), "abc");
        assert_eq!(
            get(&actor, "/big?bytes=100000").await.unwrap().body.len(),
            100_000
        );
    }
    assert_eq!(actor.counters().kept_instances, 1);
    assert_eq!(actor.counters().traps, 0);
    // Its last words are its own.
    assert_eq!(
        get(&actor, "/log?message=before").await.unwrap().status,
        200
    );
    let error = get(&actor, "/trap").await.unwrap_err().to_string();
    assert!(error.contains("because it was asked to"), "{error}");
    assert_eq!(actor.counters().kept_instances, 0);
    let error = get(&actor, "/grow").await.unwrap_err().to_string();
    assert!(error.contains("beyond its limit"), "{error}");
    assert_eq!(get(&actor, "/ok").await.unwrap().text(), "ok\n");
}

#[tokio::test]
async fn a_stopped_actor_keeps_none() {
    let kit = Kit::new();
    let actor = counter(&kit, "a", reusing).await;
    assert_eq!(next(&actor).await, 1);
    actor.stop(Duration::from_secs(1)).await;
    assert_eq!(actor.counters().kept_instances, 0);
}

//! Actors call each other on one host, their values handed over as they are: what is special about this way. What is the
//! same on every way is in `ways`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::task::JoinHandle;
use trellis_host::{
    links::{LinkTable, Routes},
    runtime::{Actor, Local, LocalActors, RuntimeConfig},
};
use trellis_lattice::ComponentId;
use trellis_rpc::{
    CallContext, CallError, Operation, Outgoing, Route,
    codec::{Decode, Encode, from_bytes, to_bytes},
};

use crate::kit::{Kit, id, invoke, until};
use crate::local::Elsewhere;

const RELAY: &str = "trellis:test/relay@0.1.0";

/// Calls an actor as its own caller, from elsewhere.
async fn call<R: Decode>(
    actor: &Arc<Actor>,
    function: &str,
    params: &impl Encode,
) -> Result<R, CallError> {
    let operation = Operation::new(RELAY, function);
    let params = Outgoing::unary(to_bytes(params));
    let results = invoke(actor.clone(), operation, CallContext::default(), params).await?;
    Ok(from_bytes(results.root).unwrap())
}

async fn forward(actor: &Arc<Actor>, what: &str, number: u64) -> Result<String, CallError> {
    call(actor, "forward", &(what, number)).await
}

/// A call that has its callee sleep for a minute.
fn sleeping(actor: &Arc<Actor>) -> JoinHandle<Result<String, CallError>> {
    let actor = actor.clone();
    tokio::spawn(async move { forward(&actor, "sleep", 60_000).await })
}

/// A relay under that name, with as many instances.
async fn relay(kit: &Kit, name: &str, max_instances: u32) -> Arc<Actor> {
    kit.start_with("relay", |options| {
        options.id = id(name);
        options.max_instances = max_instances;
    })
    .await
}

/// Two relays, each linked to the other.
async fn pair(kit: &Kit) -> (Arc<Actor>, Arc<Actor>) {
    let pair = (relay(kit, "a", 64).await, relay(kit, "b", 64).await);
    kit.link("a", "default", "trellis:test/relay", "b");
    kit.link("b", "default", "trellis:test/relay", "a");
    pair
}

/// A host's routes: in process, or elsewhere, where calls are counted and fail.
struct HostLike {
    locals: Arc<LocalActors>,
    elsewhere: Arc<Elsewhere>,
}

impl Routes for HostLike {
    fn route(&self, target: &ComponentId) -> Arc<dyn Route> {
        self.locals.route(target, self.elsewhere.clone())
    }

    fn place(&self, target: &ComponentId) -> Option<Arc<Local>> {
        Some(self.locals.place(target))
    }
}

/// A caller, a callee with as many instances, the actors that others find here, and what counts the calls that left.
async fn hosted(
    kit: &Kit,
    max_instances: u32,
) -> (Arc<Actor>, Arc<Actor>, Arc<LocalActors>, Arc<Elsewhere>) {
    let (locals, elsewhere) = (Arc::<LocalActors>::default(), Arc::<Elsewhere>::default());
    let routes = Arc::new(HostLike {
        locals: locals.clone(),
        elsewhere: elsewhere.clone(),
    });
    let links = Arc::new(LinkTable::new(routes));
    let caller = kit
        .start_with("relay", |options| {
            options.id = id("a");
            options.links = links.clone();
        })
        .await;
    let callee = relay(kit, "b", max_instances).await;
    locals.add(&callee);
    links.set_links(
        &id("a"),
        &[crate::kit::link("a", "default", "trellis:test/relay", "b")],
    );
    (caller, callee, locals, elsewhere)
}

#[tokio::test]
async fn calls_stay_in_the_process_while_the_callee_has_room() {
    let kit = Kit::new();
    let (caller, callee, locals, elsewhere) = hosted(&kit, 1).await;
    for number in 0..10 {
        let said = forward(&caller, "answer", number).await.unwrap();
        assert_eq!(said, format!("it says: {number}"));
    }
    assert_eq!((callee.counters().calls, elsewhere.calls()), (10, 0));

    // Busy here: another host may have room.
    let busy = sleeping(&caller);
    until("the callee is busy", || callee.in_flight() == 1).await;
    forward(&caller, "answer", 1).await.unwrap_err();
    assert_eq!(elsewhere.calls(), 1);
    busy.abort();
    until("the callee has room", || callee.has_room()).await;
    forward(&caller, "answer", 1).await.unwrap();

    // Nor does one that went.
    locals.remove(&callee);
    forward(&caller, "answer", 1).await.unwrap_err();
    locals.add(&callee);
    forward(&caller, "answer", 1).await.unwrap();
    callee.stop(Duration::from_secs(1)).await;
    forward(&caller, "answer", 1).await.unwrap_err();
    drop(callee);
    forward(&caller, "answer", 1).await.unwrap_err();
    assert_eq!(elsewhere.calls(), 4);
}

#[tokio::test]
async fn calls_that_go_in_a_circle_end_with_an_error() {
    let kit = Kit::new();
    let (a, b) = pair(&kit).await;
    assert_eq!(call::<u32>(&a, "descend", &20_u32).await.unwrap(), 20);
    for _ in 0..3 {
        let error = call::<u32>(&a, "descend", &1000_u32).await.unwrap_err();
        assert!(matches!(error, CallError::Failed(_)), "{error:?}");
        let said = error.to_string();
        assert!(
            said.contains("32 deep") && said.contains("circle"),
            "{said}"
        );
        assert_eq!((a.in_flight(), b.in_flight()), (0, 0));
    }
    assert_eq!(call::<u32>(&b, "descend", &20_u32).await.unwrap(), 20);
}

#[tokio::test]
async fn more_calls_than_the_host_has_room_for_end_with_an_error() {
    let kit = Kit::with(RuntimeConfig {
        max_calls: 4,
        ..RuntimeConfig::default()
    });
    let (a, b) = pair(&kit).await;
    assert_eq!(call::<u32>(&a, "descend", &3_u32).await.unwrap(), 3);
    let error = call::<u32>(&a, "descend", &20_u32).await.unwrap_err();
    // The first ones have run: nobody may take it that none has.
    assert!(!error.not_started(), "{error:?}");
    assert!(error.to_string().contains("max_calls"), "{error}");
    assert_eq!((a.in_flight(), b.in_flight()), (0, 0));
    assert_eq!(call::<u32>(&a, "descend", &3_u32).await.unwrap(), 3);
}

/// A component that exports functions of the relay's interface under that version, without a relay's types.
fn stranger(interface: &str, function: &str, params: &str, core: &str, result: &str) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(component
            (core module $m
                (func (export "f") (param {core}) (result i32) i32.const 1))
            (core instance $i (instantiate $m))
            (func $f {params} (result {result}) (canon lift (core func $i "f")))
            (instance $e (export "{function}" (func $f)))
            (export "{interface}" (instance $e)))"#
    ))
    .unwrap()
}

async fn start_stranger(kit: &Kit, wasm: Vec<u8>) -> Arc<Actor> {
    kit.start_bytes("stranger", wasm, |_| {}).await
}

#[tokio::test]
async fn other_types_are_refused_by_name() {
    let kit = Kit::new();
    let (a, _) = pair(&kit).await;
    kit.link("a", "default", "trellis:test/relay", "stranger");
    for (params, core, result, difference) in [
        (
            r#"(param "left" u64)"#,
            "i64",
            "u32",
            "parameter left is u32 to the caller and u64",
        ),
        (
            r#"(param "left" u32)"#,
            "i32",
            "s32",
            "the result is u32 to the caller and s32",
        ),
        (
            r#"(param "left" u32) (param "more" u32)"#,
            "i32 i32",
            "u32",
            "passes 1 parameters, it takes 2",
        ),
    ] {
        let wasm = stranger(RELAY, "descend", params, core, result);
        let stranger = start_stranger(&kit, wasm).await;
        for _ in 0..2 {
            let error = call::<u32>(&a, "descend", &5_u32).await.unwrap_err();
            assert!(matches!(error, CallError::TypesDiffer { .. }), "{error:?}");
            let said = error.to_string();
            for part in [
                "\"stranger\"",
                "trellis:test/relay@0.1.0.descend",
                difference,
            ] {
                assert!(said.contains(part), "{said}");
            }
        }
        assert_eq!(stranger.counters().calls, 0);
    }
    // The same types are the same, whatever the parameter is called, and whoever built it.
    let wasm = stranger(RELAY, "descend", r#"(param "rest" u32)"#, "i32", "u32");
    start_stranger(&kit, wasm).await;
    assert_eq!(call::<u32>(&a, "descend", &5_u32).await.unwrap(), 2);
}

/// A newer actor takes the older one's place while calls go on, links change, and all calls are answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replacing_the_callee_under_load_loses_no_call() {
    let kit = Arc::new(Kit::new());
    let (caller, first, locals, elsewhere) = hosted(&kit, 64).await;
    let done = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (caller, done, answered) = (caller.clone(), done.clone(), answered.clone());
        callers.spawn(async move {
            while !done.load(SeqCst) {
                forward(&caller, "answer", 5).await.unwrap();
                answered.fetch_add(1, SeqCst);
            }
        });
    }
    let mut current = first;
    let mut calls = 0;
    for _ in 0..30 {
        let before = answered.load(SeqCst);
        until("calls go on", || answered.load(SeqCst) > before + 5).await;
        let next = relay(&kit, "b", 64).await;
        locals.add(&next);
        locals.remove(&current);
        current.stop(Duration::from_secs(10)).await;
        calls += current.counters().calls;
        current = next;
    }
    done.store(true, SeqCst);
    for ended in callers.join_all().await {
        let () = ended;
    }
    calls += current.counters().calls;
    assert_eq!(elsewhere.calls(), 0);
    assert_eq!(calls, answered.load(SeqCst) as u64);
}

//! Which PoP a call is served in.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::StreamExt as _;
use trellis_lattice::{LatticeName, Within};
use trellis_rpc::{
    CallContext, CallCounts, CallError, Outgoing, Route,
    nats::{NatsRpc, RouteOptions},
    trail::{Trail, TryEnd},
};

use crate::{
    kit::{call, call_within, echo, handler, serve, soon, target, unary, until},
    pops::Pops,
};

async fn answers(route: &Arc<dyn Route>) -> String {
    let answer = unary(route, "").await.unwrap();
    String::from_utf8(answer.to_vec()).unwrap()
}

/// Waits until calls are answered there: a server's word takes a moment to the others.
async fn until_answered_in(route: &Arc<dyn Route>, place: &str) {
    until(&format!("answers come from {place}"), || async {
        matches!(unary(route, "").await, Ok(answer) if answer == place)
    })
    .await;
}

async fn all_answered_in(route: &Arc<dyn Route>, place: &str, count: usize) {
    for number in 0..count {
        assert_eq!(answers(route).await, place, "call {number}");
    }
}

/// Of so many calls at once and one after the other.
const MANY: usize = 600;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_stay_in_their_pop_then_go_to_the_nearest_and_come_home_at_once() {
    let pops = Pops::of(&["fra", "iad", "sin"]).await;
    let counts = Arc::new(CallCounts::default());
    let caller = pops
        .rpc_near("fra", &[("sin", 200), ("iad", 80), ("gone", 1)])
        .await;
    let options = RouteOptions {
        counts: Some(counts.clone()),
        ..RouteOptions::default()
    };
    let route = caller.route_with(&target(), options);
    let (fra, iad, sin) = (
        pops.serve("fra").await,
        pops.serve("iad").await,
        pops.serve("sin").await,
    );
    until_answered_in(&route, "fra").await;

    // One after the other, and many at once.
    let before = counts.tell();
    all_answered_in(&route, "fra", MANY).await;
    let at_once = (0..MANY).map(|_| answers(&route));
    for answer in futures::future::join_all(at_once).await {
        assert_eq!(answer, "fra");
    }
    assert_eq!((iad.calls(), sin.calls()), (0, 0), "no call left the PoP");
    assert_eq!(counts.tell().own_pop - before.own_pop, 2 * MANY as u64);
    assert_eq!(counts.tell().other_pop, 0);

    // Nobody at home: the nearest.
    fra.serving.drain().await;
    until_answered_in(&route, "iad").await;
    all_answered_in(&route, "iad", MANY).await;
    assert_eq!(sin.calls(), 0, "iad is nearer");
    iad.serving.drain().await;
    until_answered_in(&route, "sin").await;
    all_answered_in(&route, "sin", MANY).await;
    assert!(counts.tell().other_pop >= 2 * MANY as u64);

    // Back where it should be, nearer by nearer. At home from the first call on after the server knows.
    let iad = pops.serve("iad").await;
    until_answered_in(&route, "iad").await;
    sin.calls();
    all_answered_in(&route, "iad", MANY).await;
    let fra = pops.serve("fra").await;
    all_answered_in(&route, "fra", MANY).await;
    assert_eq!(sin.calls(), 0);
    assert_eq!(fra.calls(), MANY);
    drop(iad);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_declared_distances_the_measured_ones_count() {
    let mut pops = Pops::of(&["fra"]).await;
    pops.add("far", Duration::from_millis(60)).await;
    pops.add("near", Duration::from_millis(15)).await;
    let (_far, near) = (pops.serve("far").await, pops.serve("near").await);
    let caller = pops.rpc("fra").await;
    let names = |caller: NatsRpc| async move {
        let others = caller.others().await;
        others.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    until("both are known by their distance", || async {
        names(caller.clone()).await == ["near", "far"]
    })
    .await;
    let route = caller.route(&target());
    all_answered_in(&route, "near", 20).await;
    drop(near);
    until_answered_in(&route, "far").await;
}

#[tokio::test]
async fn a_call_in_its_pop_is_two_messages() {
    let pops = Pops::of(&["fra", "iad"]).await;
    let (caller, callee) = (pops.rpc("fra.eu").await, pops.rpc("fra.eu").await);
    let _serving = serve(&callee, echo()).await;
    let route = caller.route(&target());
    unary(&route, "first").await.unwrap();
    let listener = pops.connect("fra").await;
    let mut calls = listener.subscribe("default.>").await.unwrap();
    let mut answers = listener.subscribe("_INBOX.>").await.unwrap();
    // The listener listens once it hears itself.
    let ready = || listener.publish("default.ready", Bytes::new());
    ready().await.unwrap();
    let heard = soon("the listener", calls.next()).await.unwrap();
    assert_eq!(heard.subject.as_str(), "default.ready");

    unary(&route, "second").await.unwrap();
    let asked = soon("the call", calls.next()).await.unwrap();
    assert_eq!(
        asked.subject.as_str(),
        "default.callee.pop.fra.wrpc.0.0.1.acme:test/things@1.2.3.do-it"
    );
    let headers = asked.headers.unwrap();
    assert!(headers.get("trellis-who").is_none(), "nobody asked");
    loop {
        let answer = soon("the answer", answers.next()).await.unwrap();
        // Not that to a ping of PoPs.
        if answer.payload == "second" {
            assert!(answer.headers.is_none(), "nothing was added to it");
            break;
        }
    }
    ready().await.unwrap();
    let last = soon("the end", calls.next()).await.unwrap();
    assert_eq!(
        last.subject.as_str(),
        "default.ready",
        "no other call was made"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bounded_call_never_leaves_its_region() {
    let pops = Pops::of(&["fra", "ams", "iad"]).await;
    let within = |within: &str| RouteOptions {
        within: Some(within.parse::<Within>().unwrap()),
        counts: None,
    };
    let caller = pops.rpc_near("fra.eu", &[("iad", 1), ("ams", 500)]).await;
    let bounded = caller.route_with(&target(), within("region=eu"));
    let free = caller.route(&target());
    let at_home = caller.route_with(&target(), within("pop=fra"));
    let (fra, ams, iad) = (
        pops.serve("fra.eu").await,
        pops.serve("ams.eu").await,
        pops.serve("iad.us").await,
    );
    until_answered_in(&bounded, "fra.eu").await;
    all_answered_in(&bounded, "fra.eu", 50).await;
    fra.serving.drain().await;
    until_answered_in(&bounded, "ams.eu").await;
    all_answered_in(&bounded, "ams.eu", 50).await;
    all_answered_in(&free, "iad.us", 50).await;
    iad.calls();
    let error = unary(&at_home, "").await.unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("nobody within pop=fra serves \"callee\""),
        "{error}"
    );

    ams.serving.drain().await;
    until("nobody is left in the region", || async {
        unary(&bounded, "").await.is_err()
    })
    .await;
    for _ in 0..50 {
        let error = unary(&bounded, "").await.unwrap_err();
        assert!(matches!(error, CallError::OutOfBounds(_)), "{error:?}");
        assert!(error.not_started());
        assert!(
            error
                .to_string()
                .starts_with("nobody within region=eu serves \"callee\""),
            "{error}"
        );
    }
    assert_eq!(iad.calls(), 0, "outside the region");
    all_answered_in(&free, "iad.us", 1).await;

    let outside = pops.rpc("iad.us").await;
    let route = outside.route_with(&target(), within("region=eu"));
    let error = unary(&route, "").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the link to \"callee\" is kept within region=eu; its caller is in us (PoP iad)"
    );
}

#[tokio::test]
async fn a_callee_whose_labels_contradict_the_bound_refuses_a_call() {
    let pops = Pops::of(&["fra", "ams"]).await;
    // Somebody gave a host of this PoP the wrong region.
    let odd = pops.serve("fra.us").await;
    let right = pops.serve("ams.eu").await;
    let caller = pops.rpc("fra.eu").await;
    let options = RouteOptions {
        within: Some("region=eu".parse().unwrap()),
        counts: None,
    };
    let route = caller.route_with(&target(), options);
    until_answered_in(&route, "ams.eu").await;
    let trail = Trail::new();
    let mut traced = call(Outgoing::unary(""));
    traced.context.trail = Some(trail.clone());
    route.call(traced).await.unwrap();
    assert_eq!(trail.tries()[0].end, TryEnd::Outside);
    assert_eq!(odd.calls(), 0, "no handler saw it");
    assert!(right.calls() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_nowhere_calls_and_is_called_as_ever() {
    let pops = Pops::of(&["fra", "iad"]).await;
    let nowhere = NatsRpc::new(pops.connect_to_hub().await, LatticeName::default());
    let serving = serve(&nowhere, echo()).await;
    let counts = Arc::new(CallCounts::default());
    let options = RouteOptions {
        counts: Some(counts.clone()),
        ..RouteOptions::default()
    };
    let caller = pops.rpc_near("fra", &[("iad", 1)]).await;
    let route = caller.route_with(&target(), options);
    until("who is nowhere is found", || async {
        unary(&route, "found").await.is_ok()
    })
    .await;
    assert_eq!(counts.tell().unknown_pop, 1);
    serving.drain().await;

    let iad = pops.serve("iad").await;
    let plain = nowhere.route(&target());
    until_answered_in(&plain, "iad").await;
    all_answered_in(&plain, "iad", 20).await;
    assert!(iad.calls() > 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trail_says_whom_a_call_was_tried_with_and_who_answered() {
    let pops = Pops::of(&["fra", "iad"]).await;
    let _iad = pops.serve("iad").await;
    let caller = pops.rpc_near("fra", &[("gone", 1), ("iad", 10)]).await;
    let route = caller.route(&target());
    until_answered_in(&route, "iad").await;
    let trail = Trail::new();
    let mut traced = call(Outgoing::unary(""));
    traced.context.trail = Some(trail.clone());
    route.call(traced).await.unwrap();
    let steps: Vec<_> = trail
        .tries()
        .iter()
        .map(ToString::to_string)
        .filter(|step| !step.contains("gone"))
        .collect();
    assert_eq!(
        steps,
        [
            "NATS, pop fra: nobody there",
            "NATS, pop iad: answered by host NHOSTINiad in iad"
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_leaves_a_far_pop_loses_no_call_on_its_way_there() {
    let mut pops = Pops::of(&["fra", "sin"]).await;
    pops.add("iad", Duration::from_millis(30)).await;
    let sin = pops.serve("sin").await;
    let iad = pops.serve("iad").await;
    let caller = pops.rpc_near("fra", &[("iad", 60), ("sin", 200)]).await;
    let route = caller.route(&target());
    until_answered_in(&route, "iad").await;
    until("it knows how far away the others are", || async {
        !iad.rpc.others().await.is_empty()
    })
    .await;
    iad.calls();
    let calling = {
        let route = route.clone();
        let stop = Instant::now() + Duration::from_secs(2);
        tokio::spawn(async move {
            let mut under_way = tokio::task::JoinSet::new();
            let (mut asked, mut failed) = (0, Vec::new());
            while Instant::now() < stop {
                let route = route.clone();
                under_way.spawn(async move { unary(&route, "").await });
                asked += 1;
                tokio::time::sleep(Duration::from_millis(2)).await;
                while let Some(done) = under_way.try_join_next() {
                    failed.extend(done.unwrap().err());
                }
            }
            while let Some(done) = under_way.join_next().await {
                failed.extend(done.unwrap().err());
            }
            (asked, failed)
        })
    };
    until("it is called", || async { iad.calls() > 0 }).await;
    iad.serving.drain().await;
    let (asked, failed) = calling.await.unwrap();
    assert!(asked > 100, "{asked}");
    assert!(
        failed.is_empty(),
        "{} of {asked}: {:?}",
        failed.len(),
        failed.first()
    );
    assert!(sin.calls() > 0, "it took over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pop_that_does_not_answer_comes_last_and_nothing_is_called_twice() {
    let pops = Pops::of(&["fra", "iad", "sin"]).await;
    let (_iad, sin) = (pops.serve("iad").await, pops.serve("sin").await);
    let caller = pops.rpc_near("fra", &[("iad", 10), ("sin", 200)]).await;
    let route = caller.route(&target());
    until_answered_in(&route, "iad").await;
    sin.calls();
    pops.freeze("iad");
    let short = || call_within(Duration::from_millis(300), Outgoing::unary(""));
    let error = route.call(short()).await.unwrap_err();
    assert!(
        matches!(error, CallError::DeadlineExceeded { .. }),
        "{error}"
    );
    assert_eq!(
        sin.calls(),
        0,
        "it may have been taken: nobody else gets it"
    );
    // One call is enough to know.
    assert_eq!(route.call(short()).await.unwrap().root, "sin");
    all_answered_in(&route, "sin", 20).await;
    pops.thaw("iad");
    until_answered_in(&route, "iad").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_given_up_ends_in_another_pop_too() {
    let pops = Pops::of(&["fra", "iad"]).await;
    let callee = pops.rpc("iad").await;
    let (begun, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (b, e) = (begun.clone(), ended.clone());
    let stuck = handler(move |call| {
        let (begun, ended) = (b.clone(), e.clone());
        async move {
            if call.params.root == "ping" {
                return Ok(Outgoing::unary("pong"));
            }
            begun.fetch_add(1, SeqCst);
            let _ended = Counted(ended);
            std::future::pending().await
        }
    });
    let _serving = serve(&callee, stuck).await;
    let caller = pops.rpc_near("fra", &[("iad", 10)]).await;
    let route = caller.route(&target());
    until("it is found", || async {
        unary(&route, "ping").await.is_ok()
    })
    .await;
    let mut stuck = call(Outgoing::unary("wait"));
    stuck.context = CallContext {
        deadline: Some(Instant::now() + Duration::from_secs(60)),
        ..CallContext::default()
    };
    let calling = {
        let route = route.clone();
        tokio::spawn(async move { route.call(stuck).await })
    };
    until("it has begun", || async { begun.load(SeqCst) == 1 }).await;
    calling.abort();
    until("it has ended", || async { ended.load(SeqCst) == 1 }).await;
}

struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

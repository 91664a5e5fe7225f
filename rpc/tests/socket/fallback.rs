//! The other way: when a call takes it, and when it must not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{StreamExt as _, future::BoxFuture, stream};
use tokio::sync::Notify;
use trellis_rpc::{
    Call, CallError, Incoming, Operation, Outgoing, Route, RouteKind, ServeOptions,
    socket::SocketOptions,
};

use crate::{
    kit::{
        Elsewhere, Host, call, call_within, echo, handler, over_socket, soon, target, unary,
        until_true,
    },
    raw::{CALL, Raw, here},
};

/// A way that answers with what it is given, streams and all.
#[derive(Debug, Default)]
struct Answers {
    calls: AtomicUsize,
}

impl Route for Answers {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Incoming, CallError>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            let mut all = b"elsewhere: ".to_vec();
            all.extend_from_slice(&call.params.root);
            for (_, mut content) in call.params.channels {
                while let Some(chunk) = content.next().await {
                    all.extend_from_slice(&chunk?);
                }
            }
            Ok(Incoming {
                root: all.into(),
                channels: trellis_rpc::Channels::none(),
            })
        })
    }

    fn kind(&self) -> RouteKind {
        RouteKind::Nats
    }
}

/// A call whose parameters have a stream.
fn with_stream(root: &'static str) -> Call {
    let content = stream::iter([Ok(Bytes::from(" and")), Ok(Bytes::from(" more"))]);
    call(Outgoing {
        root: root.into(),
        channels: vec![([0].into(), Box::pin(content))],
    })
}

#[tokio::test]
async fn a_target_that_no_peer_serves_is_called_elsewhere() {
    let host = Host::start(SocketOptions::default());
    let elsewhere = Arc::new(Answers::default());
    let route = host.rpc.route(&target(), elsewhere.clone());
    assert_eq!(route.kind(), RouteKind::Nats);
    assert_eq!(unary(&route, "x").await.unwrap(), "elsewhere: x");
    // Once one does, it is called there, by the same route.
    let callee = host.provider("callee").await;
    let serving = callee.serve(&target(), echo(), ServeOptions::default());
    over_socket(&route).await;
    assert_eq!(unary(&route, "x").await.unwrap(), "x");
    assert_eq!(elsewhere.calls.load(Ordering::SeqCst), 1);
    // And no more when it does no more.
    serving.drain().await;
    until_true("it is known", || route.kind() == RouteKind::Nats).await;
    assert_eq!(unary(&route, "y").await.unwrap(), "elsewhere: y");
}

#[tokio::test]
async fn a_call_that_finds_no_place_is_given_back_whole() {
    let host = Host::start(SocketOptions::default());
    let callee = host.provider("callee").await;
    let options = ServeOptions {
        max_in_flight: 0,
        ..ServeOptions::default()
    };
    let _serving = callee.serve(&target(), echo(), options);
    let elsewhere = Arc::new(Answers::default());
    let route = host.rpc.route(&target(), elsewhere.clone());
    over_socket(&route).await;
    let results = route.call(with_stream("x")).await.unwrap();
    assert_eq!(results.root, "elsewhere: x and more");
    // That nobody is there is the lesser news.
    let route = host.rpc.route(&target(), Arc::new(Elsewhere::default()));
    let error = unary(&route, "x").await.unwrap_err();
    assert!(matches!(error, CallError::Overloaded(_)), "{error}");
}

#[tokio::test]
async fn no_call_is_lost_while_a_provider_drains() {
    let host = Host::start(SocketOptions::default());
    let callee = host.provider("callee").await;
    let elsewhere = Arc::new(Answers::default());
    let route = host.rpc.route(&target(), elsewhere.clone());
    let started = Instant::now();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (route, stop) = (route.clone(), stop.clone());
            tokio::spawn(async move {
                let mut count = 0;
                while !stop.load(Ordering::SeqCst) {
                    unary(&route, "x").await.unwrap();
                    count += 1;
                    tokio::task::yield_now().await;
                }
                count
            })
        })
        .collect();
    while started.elapsed() < Duration::from_millis(500) {
        let serving = callee.serve(&target(), echo(), ServeOptions::default());
        over_socket(&route).await;
        soon("the drain", serving.drain()).await;
    }
    stop.store(true, Ordering::SeqCst);
    for caller in callers {
        assert!(caller.await.unwrap() > 0);
    }
}

#[tokio::test]
async fn a_call_that_was_not_written_whole_goes_elsewhere_when_the_connection_breaks() {
    let host = Host::start(SocketOptions::default());
    let mut raw = Raw::admitted(&host, "callee").await;
    raw.send(&here("callee")).await;
    let elsewhere = Arc::new(Answers::default());
    let route = host.rpc.route(&target(), elsewhere.clone());
    over_socket(&route).await;
    // More than a socket holds, and nobody reads it.
    let large = Bytes::from(vec![b'x'; 20 << 20]);
    let caller = tokio::spawn({
        let large = large.clone();
        async move { unary(&route, large).await }
    });
    raw.next_of(CALL).await;
    drop(raw);
    let answer = soon("the answer", caller).await.unwrap().unwrap();
    assert!(answer.starts_with(b"elsewhere: ") && answer[11..] == large);
}

#[tokio::test]
async fn a_call_that_may_have_begun_is_not_made_again() {
    let host = Host::start(SocketOptions::default());
    let mut raw = Raw::admitted(&host, "callee").await;
    raw.send(&here("callee")).await;
    let elsewhere = Arc::new(Answers::default());
    let route = host.rpc.route(&target(), elsewhere.clone());
    over_socket(&route).await;
    let caller = tokio::spawn(async move { unary(&route, "x").await });
    raw.next_of(CALL).await;
    drop(raw);
    let error = soon("the error", caller).await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Transport(_)), "{error}");
    assert_eq!(elsewhere.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_callee_that_found_nobody_itself_has_begun() {
    let host = Host::start(SocketOptions::default());
    let callee = host.provider("callee").await;
    let lonely = handler(|_| async move {
        let target = "database".to_owned();
        Err(CallError::NoResponder { target })
    });
    let _serving = callee.serve(&target(), lonely, ServeOptions::default());
    let elsewhere = Arc::new(Answers::default());
    let route = host.rpc.route(&target(), elsewhere.clone());
    over_socket(&route).await;
    let error = unary(&route, "x").await.unwrap_err();
    assert!(
        matches!(&error, CallError::Failed(why) if why.contains("database")),
        "{error}"
    );
    assert_eq!(elsewhere.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_peer_that_reads_nothing_holds_up_its_own_callers_only() {
    let host = Host::start(SocketOptions {
        max_queued_bytes: 1 << 20,
        ..SocketOptions::default()
    });
    let mut raw = Raw::admitted(&host, "callee").await;
    raw.send(&here("callee")).await;
    let shop = host.provider("shop").await;
    let shop_id = "shop".parse().unwrap();
    let _serving = shop.serve(&shop_id, echo(), ServeOptions::default());
    let stuck = host.rpc.route(&target(), Arc::new(Elsewhere::default()));
    let well = host.rpc.route(&shop_id, Arc::new(Elsewhere::default()));
    over_socket(&stuck).await;
    over_socket(&well).await;
    let started = Instant::now();
    let calls = (0..40).map(|_| {
        let params = Outgoing::unary(vec![0; 200 << 10]);
        stuck.call(call_within(Duration::from_millis(500), params))
    });
    let calls = futures::future::join_all(calls);
    let (stuck, ()) = tokio::join!(calls, async {
        for _ in 0..100 {
            assert_eq!(unary(&well, "well").await.unwrap(), "well");
        }
    });
    for result in stuck {
        let error = result.unwrap_err();
        assert!(
            matches!(error, CallError::DeadlineExceeded { .. }),
            "{error}"
        );
    }
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn the_newest_of_several_who_serve_a_target_is_called() {
    let host = Host::start(SocketOptions::default());
    let named = |name: &'static str| handler(move |_| async move { Ok(Outgoing::unary(name)) });
    let route = host.rpc.route(&target(), Arc::new(Elsewhere::default()));
    let first = host.provider("callee").await;
    let _first = first.serve(&target(), named("first"), ServeOptions::default());
    over_socket(&route).await;
    let second = host.provider("callee").await;
    let _second = second.serve(&target(), named("second"), ServeOptions::default());
    soon("the second is called", async {
        while unary(&route, "x").await.unwrap() != "second" {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // A process that is replaced: while the old one is there, it is better than none.
    drop(second);
    soon("the first is called again", async {
        while !matches!(unary(&route, "x").await, Ok(name) if name == "first") {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn who_serves_a_target_again_takes_it_over() {
    let host = Host::start(SocketOptions::default());
    let callee = host.provider("callee").await;
    let (entered, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = handler({
        let (entered, gate) = (entered.clone(), gate.clone());
        move |_| {
            let (entered, gate) = (entered.clone(), gate.clone());
            async move {
                entered.notify_one();
                gate.notified().await;
                Ok(Outgoing::unary("old"))
            }
        }
    });
    let old = callee.serve(&target(), slow, ServeOptions::default());
    let route = host.rpc.route(&target(), Arc::new(Elsewhere::default()));
    over_socket(&route).await;
    let running = tokio::spawn({
        let route = route.clone();
        async move { unary(&route, "x").await }
    });
    soon("the call runs", entered.notified()).await;
    let _new = callee.serve(&target(), echo(), ServeOptions::default());
    assert_eq!(unary(&route, "new").await.unwrap(), "new");
    let draining = tokio::spawn(old.drain());
    assert_eq!(unary(&route, "newer").await.unwrap(), "newer");
    gate.notify_one();
    assert_eq!(soon("the old call", running).await.unwrap().unwrap(), "old");
    soon("the drain", draining).await.unwrap();
    assert_eq!(unary(&route, "newest").await.unwrap(), "newest");
}

#[tokio::test]
async fn more_operations_than_are_remembered_are_called_all_the_same() {
    let host = Host::start(SocketOptions::default());
    let callee = host.provider("callee").await;
    let name = handler(|call| async move {
        assert!(call.context.target_id.is_none());
        Ok(Outgoing::unary(call.operation.to_string()))
    });
    let _serving = callee.serve(&target(), name, ServeOptions::default());
    let route = host.rpc.route(&target(), Arc::new(Elsewhere::default()));
    over_socket(&route).await;
    let calls = (0..5000).map(|number| {
        let route = route.clone();
        async move {
            let mut call = call(Outgoing::unary("x"));
            call.operation = Operation::new("acme:test/things@1.2.3", format!("f{number}"));
            let name = route.call(call).await.unwrap().root;
            assert_eq!(name, format!("acme:test/things@1.2.3.f{number}"));
        }
    });
    let mut calls = stream::iter(calls).buffer_unordered(64);
    while calls.next().await.is_some() {}
    // Past those, a name that no peer would keep is an error of the call.
    let mut call = call(Outgoing::unary("x"));
    call.operation = Operation::new("a".repeat(5000), "f");
    let error = route.call(call).await.unwrap_err();
    assert!(matches!(error, CallError::Malformed(_)), "{error}");
    assert_eq!(
        unary(&route, "x").await.unwrap(),
        "acme:test/things@1.2.3.do-it"
    );
}

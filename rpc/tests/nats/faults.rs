//! Deadlines, cancellation, and a NATS server that goes away.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{FutureExt as _, StreamExt as _, stream};
use tokio_util::sync::CancellationToken;
use trellis_rpc::{
    CallContext, CallError, Handler, Outgoing, codec::encode_chunks, nats::ServeOptions,
};

use crate::kit::{
    Server, call, call_within, echo, handler, serve, soon, target, unary, until, until_true,
};

/// A handler that never answers, and what became of it.
#[derive(Default)]
struct Stuck {
    entered: AtomicUsize,
    dropped: AtomicUsize,
    token: Mutex<Option<CancellationToken>>,
}

impl Stuck {
    fn handler(self: &Arc<Self>) -> Arc<dyn Handler> {
        struct Drops(Arc<Stuck>);
        impl Drop for Drops {
            fn drop(&mut self) {
                self.0.dropped.fetch_add(1, Ordering::SeqCst);
            }
        }
        let stuck = self.clone();
        handler(move |call| {
            let stuck = stuck.clone();
            async move {
                *stuck.token.lock().unwrap() = Some(call.cancelled.clone());
                stuck.entered.fetch_add(1, Ordering::SeqCst);
                let _drops = Drops(stuck);
                std::future::pending().await
            }
        })
    }

    fn cancelled(&self) -> bool {
        self.token
            .lock()
            .unwrap()
            .as_ref()
            .is_some_and(CancellationToken::is_cancelled)
    }

    async fn ended(&self) {
        until_true("the token fires", || self.cancelled()).await;
        until_true("the handler is dropped", || {
            self.dropped.load(Ordering::SeqCst) == 1
        })
        .await;
    }
}

#[tokio::test]
async fn a_deadline_ends_both_sides() {
    let server = Server::start().await;
    let (callee, caller) = (server.rpc().await, server.rpc().await);
    let stuck = Arc::<Stuck>::default();
    let _serving = serve(&callee, stuck.handler()).await;
    let started = Instant::now();
    let call = call_within(Duration::from_millis(300), Outgoing::unary("x"));
    let error = caller.route(&target()).call(call).await.unwrap_err();
    let waited = started.elapsed();
    assert!(
        matches!(
            error,
            CallError::DeadlineExceeded {
                after_ms: 290..2000
            }
        ),
        "{error}"
    );
    assert!(
        waited >= Duration::from_millis(290) && waited < Duration::from_secs(2),
        "{waited:?}"
    );
    stuck.ended().await;
}

#[tokio::test]
async fn a_call_without_a_deadline_gets_the_callee_s() {
    let server = Server::start().await;
    let (callee, caller) = (server.rpc().await, server.connect().await);
    let stuck = Arc::<Stuck>::default();
    let default_deadline = Duration::from_millis(200);
    let options = ServeOptions {
        default_deadline,
        ..ServeOptions::default()
    };
    let _serving = callee
        .serve(&target(), stuck.handler(), options)
        .await
        .unwrap();
    // As somebody's caller that says nothing about deadlines, and asks for our answers.
    let mut headers = async_nats::HeaderMap::new();
    headers.insert(trellis_lattice::header::FLOW, "1000");
    let subject = "default.callee.wrpc.0.0.1.a:b/c.f";
    let answer = caller
        .request_with_headers(subject, headers, "".into())
        .await
        .unwrap();
    let kind = answer
        .headers
        .unwrap()
        .get(trellis_lattice::header::ERROR_KIND)
        .cloned()
        .unwrap();
    assert_eq!(kind.as_str(), "deadline-exceeded");
    stuck.ended().await;
}

#[tokio::test]
async fn dropping_the_call_cancels_it() {
    let server = Server::start().await;
    let (callee, caller) = (server.rpc().await, server.rpc().await);
    let stuck = Arc::<Stuck>::default();
    let _serving = serve(&callee, stuck.handler()).await;
    let route = caller.route(&target());
    let mut call = route.call(call(Outgoing::unary("x")));
    until("the call runs", || {
        assert!((&mut call).now_or_never().is_none());
        std::future::ready(stuck.entered.load(Ordering::SeqCst) == 1)
    })
    .await;
    assert!(!stuck.cancelled());
    drop(call);
    stuck.ended().await;
}

#[tokio::test]
async fn dropping_a_call_that_sends_a_stream_cancels_it_too() {
    let server = Server::start().await;
    let (callee, caller) = (server.rpc().await, server.rpc().await);
    let read = Arc::<AtomicBool>::default();
    let stuck = Arc::<Stuck>::default();
    let handler = handler({
        let (read, stuck) = (read.clone(), stuck.clone());
        move |mut call| {
            let (read, stuck) = (read.clone(), stuck.clone());
            async move {
                let mut upload = call.params.channels.take(&[0]).unwrap();
                upload.next().await.unwrap()?;
                read.store(true, Ordering::SeqCst);
                stuck.handler().handle(call).await
            }
        }
    });
    let _serving = serve(&callee, handler).await;
    let content = stream::iter([Ok("begun".into())]).chain(stream::pending());
    let params = Outgoing {
        root: "x".into(),
        channels: vec![([0].into(), encode_chunks(content))],
    };
    let route = caller.route(&target());
    let mut call = route.call(call(params));
    until("the callee reads", || {
        assert!((&mut call).now_or_never().is_none());
        std::future::ready(read.load(Ordering::SeqCst))
    })
    .await;
    drop(call);
    stuck.ended().await;
}

#[tokio::test]
async fn cancelling_one_call_leaves_the_others() {
    let server = Server::start().await;
    let (callee, caller) = (server.rpc().await, server.rpc().await);
    let gate = Arc::new(tokio::sync::Notify::new());
    let entered = Arc::new(AtomicUsize::new(0));
    let handler = handler({
        let (gate, entered) = (gate.clone(), entered.clone());
        move |call| {
            let (gate, entered) = (gate.clone(), entered.clone());
            async move {
                let opened = gate.notified();
                entered.fetch_add(1, Ordering::SeqCst);
                opened.await;
                Ok(Outgoing::unary(call.params.root))
            }
        }
    });
    let _serving = serve(&callee, handler).await;
    let route = caller.route(&target());
    let spawned = |name: &'static str| {
        let route = route.clone();
        tokio::spawn(async move { unary(&route, name).await })
    };
    let (stays, goes) = (spawned("stays"), spawned("goes"));
    until_true("both run", || entered.load(Ordering::SeqCst) == 2).await;
    goes.abort();
    assert!(goes.await.unwrap_err().is_cancelled());
    // The cancel is on its way before this call, on the same connection.
    let after = spawned("after");
    until_true("the third runs", || entered.load(Ordering::SeqCst) == 3).await;
    gate.notify_waiters();
    assert_eq!(
        soon("the other call", stays).await.unwrap().unwrap(),
        "stays"
    );
    assert_eq!(
        soon("the last call", after).await.unwrap().unwrap(),
        "after"
    );
}

#[tokio::test]
async fn after_a_restart_of_the_server_calls_go_on() {
    let mut server = Server::start().await;
    let (callee, caller) = (server.rpc().await, server.rpc().await);
    let stuck = Arc::<Stuck>::default();
    let stuck_handler = stuck.handler();
    let handler = handler(move |call| match &call.params.root[..] {
        b"stuck" => stuck_handler.clone().handle(call),
        _ => echo().handle(call),
    });
    let _serving = serve(&callee, handler).await;
    let route = caller.route(&target());
    let in_flight = tokio::spawn({
        let route = route.clone();
        async move { unary(&route, "stuck").await }
    });
    until_true("the call runs", || {
        stuck.entered.load(Ordering::SeqCst) == 1
    })
    .await;
    let started = Instant::now();
    server.restart().await;
    let error = soon("the call in flight", in_flight)
        .await
        .unwrap()
        .unwrap_err();
    assert!(matches!(error, CallError::Transport(_)), "{error}");
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
    until("calls go through again", || async {
        unary(&route, "back").await.is_ok()
    })
    .await;
    for number in 0..100 {
        assert_eq!(
            unary(&route, format!("{number}")).await.unwrap(),
            format!("{number}")
        );
    }
}

#[tokio::test]
async fn streams_under_way_end_with_an_error_when_the_server_goes() {
    let mut server = Server::start().await;
    let (callee, caller) = (server.rpc().await, server.rpc().await);
    let handler = handler(|_| async move {
        let content = stream::iter([Ok("begun".into())]).chain(stream::pending());
        Ok(Outgoing {
            root: "x".into(),
            channels: vec![([0].into(), encode_chunks(content))],
        })
    });
    let serving = serve(&callee, handler).await;
    let mut results = caller
        .route(&target())
        .call(call(Outgoing::unary("x")))
        .await
        .unwrap();
    let mut channel = results.channels.take(&[0]).unwrap();
    assert_eq!(channel.next().await.unwrap().unwrap(), "\u{5}begun");
    server.kill();
    let error = soon("the stream's end", channel.next())
        .await
        .unwrap()
        .unwrap_err();
    assert!(matches!(error, CallError::Transport(_)), "{error}");
    // The callee's writer has ended too, so nothing is left to drain.
    server.restart().await;
    soon("the drain", serving.drain()).await;
}

#[tokio::test]
async fn without_a_server_a_call_ends_with_its_deadline() {
    let mut server = Server::start().await;
    let caller = server.rpc().await;
    let route = caller.route(&target());
    assert!(matches!(
        unary(&route, "x").await,
        Err(CallError::NoResponder { .. })
    ));
    server.kill();
    let started = Instant::now();
    let mut call = call(Outgoing::unary("x"));
    call.context = CallContext {
        deadline: Some(started + Duration::from_millis(700)),
        ..CallContext::default()
    };
    let error = route.call(call).await.unwrap_err();
    assert!(
        matches!(
            error,
            CallError::DeadlineExceeded { .. } | CallError::Transport(_)
        ),
        "{error}"
    );
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn garbage_on_every_subject_does_no_harm() {
    let server = Server::start().await;
    let (callee, caller) = (server.rpc().await, server.rpc().await);
    let _serving = serve(&callee, echo()).await;
    let anybody = server.connect().await;
    let inbox = anybody.new_inbox();
    for end in ["x", "a:b/c@1.f", "a:b/c@1.0.0.f", "...", "a:b/c@1.0.0"] {
        let subject = format!("default.callee.wrpc.0.0.1.{end}");
        if !async_nats::Subject::from(subject.as_str()).is_valid() {
            continue;
        }
        for headers in [
            &[][..],
            &[("trellis-flow", "-5")],
            &[("trellis-flow", "9"), ("trellis-total", "x")],
        ] {
            let mut map = async_nats::HeaderMap::new();
            headers
                .iter()
                .for_each(|(name, value)| map.insert(*name, *value));
            let payload: bytes::Bytes = vec![0xff; 100].into();
            anybody
                .publish_with_headers(subject.clone(), map.clone(), payload.clone())
                .await
                .unwrap();
            anybody
                .publish_with_reply_and_headers(subject.clone(), inbox.clone(), map, payload)
                .await
                .unwrap();
        }
    }
    // Values that are announced to be far too large are refused before a byte of them is waited for.
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("trellis-flow", "9");
    headers.insert("trellis-total", u64::MAX.to_string());
    let subject = "default.callee.wrpc.0.0.1.a:b/c.f";
    let answer = soon(
        "the refusal",
        anybody.request_with_headers(subject, headers, "x".into()),
    )
    .await
    .unwrap();
    let kind = answer
        .headers
        .unwrap()
        .get("trellis-error-kind")
        .cloned()
        .unwrap();
    assert_eq!(kind.as_str(), "too-large");
    for wrong in ["default.callee.trellis.cancel"] {
        anybody
            .publish(wrong, vec![0xff, 0xfe].into())
            .await
            .unwrap();
        anybody
            .publish(wrong, "_INBOX.nobody.1".into())
            .await
            .unwrap();
    }
    assert_eq!(
        unary(&caller.route(&target()), "still well").await.unwrap(),
        "still well"
    );
}

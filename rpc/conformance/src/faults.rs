//! Deadlines, cancellation, a way that breaks and a callee that dies.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{FutureExt as _, StreamExt as _, stream};
use tokio_util::sync::CancellationToken;
use trellis_rpc::{CallError, Handler, Outgoing, codec::encode_chunks};

use crate::{
    kit::{call, call_within, echo, handler, soon, unary, until, until_true},
    setting::{Setting, start},
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

/// A deadline ends both sides.
pub async fn a_deadline_ends_both_sides<S: Setting>() {
    let setting = start::<S>().await;
    let stuck = Arc::<Stuck>::default();
    let _serving = setting.serve(stuck.handler()).await;
    let started = Instant::now();
    let call = call_within(Duration::from_millis(300), Outgoing::unary("x"));
    let error = setting.route().call(call).await.unwrap_err();
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

/// Dropping the call cancels it.
pub async fn dropping_the_call_cancels_it<S: Setting>() {
    let setting = start::<S>().await;
    let stuck = Arc::<Stuck>::default();
    let _serving = setting.serve(stuck.handler()).await;
    let route = setting.route();
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

/// Dropping a call that sends a stream cancels it too.
pub async fn dropping_a_call_that_sends_a_stream_cancels_it_too<S: Setting>() {
    let setting = start::<S>().await;
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
    let _serving = setting.serve(handler).await;
    let content = stream::iter([Ok("begun".into())]).chain(stream::pending());
    let params = Outgoing {
        root: "x".into(),
        channels: vec![([0].into(), encode_chunks(content))],
    };
    let route = setting.route();
    let mut call = route.call(call(params));
    until("the callee reads", || {
        assert!((&mut call).now_or_never().is_none());
        std::future::ready(read.load(Ordering::SeqCst))
    })
    .await;
    drop(call);
    stuck.ended().await;
}

/// Cancelling one call leaves the others.
pub async fn cancelling_one_call_leaves_the_others<S: Setting>() {
    let setting = start::<S>().await;
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
    let _serving = setting.serve(handler).await;
    let route = setting.route();
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

/// After an interruption calls go on.
pub async fn after_an_interruption_calls_go_on<S: Setting>() {
    let mut setting = start::<S>().await;
    let stuck = Arc::<Stuck>::default();
    let stuck_handler = stuck.handler();
    let handler = handler(move |call| match &call.params.root[..] {
        b"stuck" => stuck_handler.clone().handle(call),
        _ => echo().handle(call),
    });
    let _serving = setting.serve(handler).await;
    let route = setting.route();
    let in_flight = tokio::spawn({
        let route = route.clone();
        async move { unary(&route, "stuck").await }
    });
    until_true("the call runs", || {
        stuck.entered.load(Ordering::SeqCst) == 1
    })
    .await;
    setting.interrupt().await;
    let error = soon("the call in flight", in_flight)
        .await
        .unwrap()
        .unwrap_err();
    // It heard of the interruption, before its deadline would have ended it.
    assert!(matches!(error, CallError::Transport(_)), "{error}");
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

/// Streams under way end with an error when the way breaks.
pub async fn streams_under_way_end_with_an_error_when_the_way_breaks<S: Setting>() {
    let mut setting = start::<S>().await;
    let handler = handler(|_| async move {
        let content = stream::iter([Ok("begun".into())]).chain(stream::pending());
        Ok(Outgoing {
            root: "x".into(),
            channels: vec![([0].into(), encode_chunks(content))],
        })
    });
    let serving = setting.serve(handler).await;
    let mut results = setting
        .route()
        .call(call(Outgoing::unary("x")))
        .await
        .unwrap();
    let mut channel = results.channels.take(&[0]).unwrap();
    assert_eq!(channel.next().await.unwrap().unwrap(), "\u{5}begun");
    setting.interrupt().await;
    let error = soon("the stream's end", channel.next())
        .await
        .unwrap()
        .unwrap_err();
    assert!(matches!(error, CallError::Transport(_)), "{error}");
    // The callee's writer has ended too, so nothing is left to drain.
    soon("the drain", serving.drain()).await;
}

/// A caller does not wait for a process that was killed, or not for longer than it said.
pub async fn a_call_whose_callee_dies_ends<S: Setting>() {
    let mut setting = start::<S>().await;
    let stuck = Arc::<Stuck>::default();
    let _serving = setting.serve(stuck.handler()).await;
    let route = setting.route();
    let running = tokio::spawn({
        let route = route.clone();
        async move {
            let call = call_within(Duration::from_secs(2), Outgoing::unary("x"));
            route.call(call).await.map(|results| results.root)
        }
    });
    until_true("the call runs", || {
        stuck.entered.load(Ordering::SeqCst) == 1
    })
    .await;
    setting.kill_callee();
    let error = soon("the call's end", running).await.unwrap().unwrap_err();
    assert!(
        matches!(
            error,
            CallError::Transport(_) | CallError::DeadlineExceeded { .. }
        ),
        "{error}"
    );
    until("nobody is there any more", || async {
        matches!(unary(&route, "x").await, Err(CallError::NoResponder { .. }))
    })
    .await;
}

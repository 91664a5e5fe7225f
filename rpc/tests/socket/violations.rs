//! A peer that does not keep to the protocol: its connection ends, and nothing else.

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use futures::StreamExt as _;
use rand::{Rng as _, RngCore as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use trellis_rpc::{CallError, Outgoing, Route, ServeOptions, socket::SocketOptions};

use crate::{
    kit::{
        Elsewhere, Host, call as a_call, echo, handler, over_socket, soon, target, unary,
        until_true,
    },
    raw::{
        CALL, FAILED, RESULTS, Raw, about, call, channel, frame, gone, head, hello, here, ready,
        results,
    },
};

const PARAMS: u8 = 9;
const MORE_RESULTS: u8 = 11;
const CANCEL: u8 = 13;
const DATA: u8 = 14;
const END: u8 = 15;
const BROKEN: u8 = 16;
const GRANT: u8 = 17;
const STOP: u8 = 18;

/// A host that serves `kv`, and a well-behaved provider of the other kind on it.
struct Scene {
    host: Host,
    _callee: trellis_rpc::socket::SocketRpc,
    _servings: Vec<trellis_rpc::socket::Serving>,
    route: Arc<dyn Route>,
}

impl Scene {
    async fn new() -> Self {
        let host = Host::start(SocketOptions::default());
        let callee = host.provider("callee").await;
        let kv = "kv".parse().unwrap();
        let stuck = handler(|mut call| async move {
            // Reads what is sent with it, a little.
            if let Some(mut upload) = call.params.channels.take(&[0]) {
                _ = upload.next().await;
            }
            std::future::pending().await
        });
        let servings = vec![
            callee.serve(&target(), echo(), ServeOptions::default()),
            host.rpc.serve(&kv, stuck, ServeOptions::default()),
        ];
        let route = host.rpc.route(&target(), Arc::new(Elsewhere::default()));
        over_socket(&route).await;
        Self {
            host,
            _callee: callee,
            _servings: servings,
            route,
        }
    }

    async fn is_well(&self) {
        assert_eq!(unary(&self.route, "well").await.unwrap(), "well");
    }
}

fn all(frames: &[BytesMut]) -> Vec<u8> {
    frames.concat()
}

#[tokio::test]
async fn what_may_not_come_ends_the_connection_and_nothing_else() {
    let scene = Scene::new().await;
    let known = head(0, "kv", "shop");
    let window = 256 * 1024_usize;
    for (what, bytes) in [
        ("a frame past the bound", u32::MAX.to_le_bytes().to_vec()),
        ("a frame without a kind", all(&[frame(0, [])])),
        ("an unknown kind", all(&[frame(99, [1, 2, 3])])),
        ("a second hello", all(&[hello(1, 256 << 10, "shop")])),
        (
            "a welcome",
            all(&[frame(2, [1, 0, 0, 0, 1, 0, 0, 0, 0, 0])]),
        ),
        ("fields cut off", all(&[frame(CALL, [1, 0, 0])])),
        ("fields that go on", all(&[frame(4, [1])])),
        ("another's target", all(&[here("callee")])),
        ("a target that is no name", all(&[here("a b")])),
        ("a target gone that never was", all(&[gone("shop")])),
        ("a head out of turn", all(&[head(1, "kv", "shop")])),
        ("a head twice", all(&[known.clone(), known.clone()])),
        ("a call without a head", all(&[call(1, 0, 1, 0, b"x")])),
        (
            "a call out of turn",
            all(&[known.clone(), call(2, 0, 1, 0, b"x")]),
        ),
        (
            "a call's number again",
            all(&[
                known.clone(),
                call(1, 0, 1, 0, b"x"),
                call(1, 0, 1, 0, b"x"),
            ]),
        ),
        (
            "too many channels",
            all(&[known.clone(), call(1, 0, 1, 33, b"x")]),
        ),
        ("parameters of no call", all(&[about(PARAMS, 1, b"x")])),
        (
            "parameters past their end",
            all(&[
                known.clone(),
                call(1, 0, 1, 0, b"x"),
                about(PARAMS, 1, b"y"),
            ]),
        ),
        ("results of no call", all(&[results(1, 1, 0, b"x")])),
        (
            "more results of no call",
            all(&[about(MORE_RESULTS, 1, b"x")]),
        ),
        ("a failure of no call", all(&[about(FAILED, 7, &[0, 0])])),
        ("a cancel of no call", all(&[about(CANCEL, 1, b"")])),
        ("a chunk of no call", all(&[channel(DATA, 0, 1, 0, b"x")])),
        ("values of no kind", all(&[channel(DATA, 2, 1, 0, b"x")])),
        (
            "a chunk of no channel",
            all(&[
                known.clone(),
                call(1, 0, 1, 1, b"x"),
                channel(DATA, 0, 1, 1, b"x"),
            ]),
        ),
        (
            "a chunk before it is asked for",
            all(&[
                known.clone(),
                call(1, 0, 1, 1, b"x"),
                channel(DATA, 0, 1, 0, &vec![0; window]),
            ]),
        ),
        (
            "a channel past its end",
            all(&[
                known.clone(),
                call(1, 0, 1, 1, b"x"),
                channel(END, 0, 1, 0, b""),
                channel(DATA, 0, 1, 0, b"x"),
            ]),
        ),
        (
            "an end with more",
            all(&[
                known.clone(),
                call(1, 0, 1, 1, b"x"),
                channel(END, 0, 1, 0, b"more"),
            ]),
        ),
        (
            "a break without a kind",
            all(&[
                known.clone(),
                call(1, 0, 1, 1, b"x"),
                channel(BROKEN, 0, 1, 0, &[9, 9, 9]),
            ]),
        ),
        (
            "a grant of no call",
            all(&[channel(GRANT, 0, 1, 0, &[0; 8])]),
        ),
        (
            "a grant for what is not sent",
            all(&[
                known.clone(),
                call(1, 0, 1, 0, b"x"),
                channel(GRANT, 1, 1, 0, &[0; 8]),
            ]),
        ),
        (
            "a stop of what is not sent",
            all(&[
                known.clone(),
                call(1, 0, 1, 0, b"x"),
                channel(STOP, 1, 1, 3, b""),
            ]),
        ),
    ] {
        let mut raw = Raw::admitted(&scene.host, "shop").await;
        raw.send(&bytes).await;
        soon(what, raw.ended()).await;
        scene.is_well().await;
    }
}

#[tokio::test]
async fn a_writer_that_goes_past_its_window_ends_its_connection() {
    let scene = Scene::new().await;
    let mut raw = Raw::admitted(&scene.host, "shop").await;
    raw.send(&all(&[head(0, "kv", "shop"), call(1, 0, 1, 1, b"x")]))
        .await;
    // The callee reads, and so grants.
    raw.next_of(GRANT).await;
    for _ in 0..8 {
        raw.send(&channel(DATA, 0, 1, 0, &vec![0; 64 << 10])).await;
    }
    soon("the end", raw.ended()).await;
    scene.is_well().await;
}

#[tokio::test]
async fn a_callee_that_goes_past_its_window_fails_its_stream() {
    let scene = Scene::new().await;
    let mut raw = Raw::admitted(&scene.host, "shop").await;
    raw.send(&here("shop")).await;
    let shop = "shop".parse().unwrap();
    let route = scene.host.rpc.route(&shop, Arc::new(Elsewhere::default()));
    over_socket(&route).await;
    let caller = tokio::spawn(async move { route.call(a_call(Outgoing::unary("x"))).await });
    raw.next_of(CALL).await;
    raw.send(&results(1, 2, 1, b"ok")).await;
    let mut results = soon("the results", caller).await.unwrap().unwrap();
    assert_eq!(results.root, "ok");
    assert!(
        results.channels.take(&[7]).is_none(),
        "no such channel was announced"
    );
    let mut stream = results.channels.take(&[0]).unwrap();
    for _ in 0..8 {
        raw.send(&channel(DATA, 1, 1, 0, &vec![0; 64 << 10])).await;
    }
    soon("the connection's end", raw.ended()).await;
    let error = soon("the stream's end", async {
        loop {
            if let Err(error) = stream.next().await.expect("an end with an error") {
                break error;
            }
        }
    })
    .await;
    assert!(matches!(error, CallError::Transport(_)), "{error}");
    scene.is_well().await;
}

#[tokio::test]
async fn results_that_are_refused_end_their_call_only() {
    let host = Host::start(SocketOptions::default());
    let mut raw = Raw::admitted(&host, "callee").await;
    raw.send(&here("callee")).await;
    let route = host.rpc.route(&target(), Arc::new(Elsewhere::default()));
    over_socket(&route).await;
    let spawned = || {
        let route = route.clone();
        tokio::spawn(async move { unary(&route, "x").await })
    };
    let caller = spawned();
    raw.next_of(CALL).await;
    // Far too much, and more of it before the refusal can be known.
    raw.send(&all(&[
        results(1, 1 << 40, 1, b"x"),
        about(MORE_RESULTS, 1, b"y"),
        channel(DATA, 1, 1, 0, b"chunk"),
        channel(END, 1, 1, 0, b""),
    ]))
    .await;
    let error = soon("the error", caller).await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::TooLarge { .. }), "{error}");
    raw.next_of(CANCEL).await;
    let caller = spawned();
    raw.next_of(CALL).await;
    raw.send(&results(2, 2, 0, b"ok")).await;
    assert_eq!(soon("the results", caller).await.unwrap().unwrap(), "ok");
}

#[tokio::test]
async fn a_provider_calls_under_its_own_name_only() {
    let host = Host::start(SocketOptions::default());
    let who =
        handler(
            |call| async move { Ok(Outgoing::unary(call.context.source_id.unwrap().to_string())) },
        );
    let kv = "kv".parse().unwrap();
    let _serving = host.rpc.serve(&kv, who, ServeOptions::default());
    let mut raw = Raw::admitted(&host, "shop").await;
    raw.send(&all(&[head(0, "kv", "admin"), call(1, 0, 1, 0, b"x")]))
        .await;
    let results = raw.next_of(RESULTS).await;
    assert!(results.ends_with(b"shop"), "{results:?}");
}

#[tokio::test]
async fn only_so_much_is_awaited_of_one_peer() {
    let scene = Scene::new().await;
    let mut raw = Raw::admitted(&scene.host, "shop").await;
    raw.send(&head(0, "kv", "shop")).await;
    // Each announces as much as may be, and gives next to nothing.
    for id in 1..=5 {
        raw.send(&call(id, 0, 64 << 20, 0, b"x")).await;
    }
    let refused = raw.next_of(FAILED).await;
    assert_eq!(refused[..8], 5_u64.to_le_bytes());
    assert!(String::from_utf8_lossy(&refused).contains("overloaded"));
    // One that is given up makes room.
    raw.send(&about(CANCEL, 2, b"")).await;
    scene.is_well().await;
    let mut id = 5;
    soon("there is room", async {
        loop {
            id += 1;
            raw.send(&call(id, 0, 64 << 20, 0, b"x")).await;
            let refused = tokio::time::timeout(Duration::from_millis(100), raw.next_of(FAILED));
            if refused.await.is_err() {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_not_waited_for() {
    let host = Host::start(SocketOptions {
        max_queued_bytes: 1 << 20,
        ..SocketOptions::default()
    });
    let kv = "kv".parse().unwrap();
    let _serving = host.rpc.serve(&kv, echo(), ServeOptions::default());
    let mut raw = Raw::admitted(&host, "shop").await;
    raw.send(&head(0, "kv", "shop")).await;
    // Calls without end, whose answers are left lying: first they wait, and then calls are refused.
    let flood = async {
        for id in 1.. {
            let bytes = call(id, 0, 4000, 0, &[7; 4000]);
            if tokio::io::AsyncWriteExt::write_all(&mut raw.socket, &bytes)
                .await
                .is_err()
            {
                return;
            }
        }
    };
    soon("the end", flood).await;
    until_true("the connection is gone", || host.rpc.connections() == 0).await;
}

#[tokio::test]
async fn garbage_of_any_kind_does_no_harm() {
    let scene = Scene::new().await;
    let mut random = StdRng::seed_from_u64(20261121);
    let honest = [
        here("shop"),
        gone("shop"),
        head(0, "kv", "shop"),
        head(1, "callee", "shop"),
        call(1, 0, 3, 0, b"abc"),
        call(2, 0, 600, 2, b"abc"),
        about(PARAMS, 2, &[1; 300]),
        about(CANCEL, 1, b""),
        channel(DATA, 0, 2, 0, b"chunk"),
        channel(GRANT, 1, 1, 0, &[0xff; 8]),
        channel(STOP, 1, 2, 1, b""),
        results(1, 3, 0, b"abc"),
        about(FAILED, 1, &[0, 0]),
    ];
    for round in 0..300 {
        let mut bytes = Vec::new();
        for _ in 0..random.random_range(1..20) {
            bytes.extend_from_slice(honest.choose(&mut random).unwrap());
        }
        for _ in 0..random.random_range(0..4) {
            let at = random.random_range(0..bytes.len());
            bytes[at] = random.next_u32() as u8;
        }
        let mut raw = Raw::admitted(&scene.host, "shop").await;
        raw.send(&bytes).await;
        raw.send(&ready()).await;
        drop(raw);
        if round % 20 == 0 {
            scene.is_well().await;
        }
    }
    scene.is_well().await;
    until_true("they are gone", || scene.host.rpc.connections() == 1).await;
}

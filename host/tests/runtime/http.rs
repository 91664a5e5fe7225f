//! Requests and responses, whole and streaming.

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use tokio::time::timeout;
use trellis_rpc::{
    CallError,
    interface::http::{Body, Response},
};

use crate::kit::{Kit, SOON, ask, get, until};

#[tokio::test]
async fn an_actor_answers() {
    let kit = Kit::new();
    let hello = kit.start("http_hello").await;
    let answer = get(&hello, "/").await.unwrap();
    assert_eq!(
        (answer.status, answer.text()),
        (200, "Hello from Trellis!\n")
    );
    assert_eq!(hello.counters().calls, 1);
    assert_eq!(hello.in_flight(), 0);
}

#[tokio::test]
async fn a_short_answer_has_its_body_in_place() {
    let kit = Kit::new();
    let hello = kit.start("http_hello").await;
    let Response { body, .. } = ask("GET", "/").begin(&hello).await.unwrap();
    assert!(
        matches!(&body, Body::Full(bytes) if bytes == "Hello from Trellis!\n"),
        "{body:?}"
    );
}

#[tokio::test]
async fn headers_go_both_ways() {
    let kit = Kit::new();
    let actor = kit.start("misbehave").await;
    let answer = ask("GET", "/headers?name=x-given")
        .header("x-given", "there")
        .send(&actor)
        .await
        .unwrap();
    assert_eq!(answer.text(), "there\n");
    let sent_back = answer
        .headers
        .iter()
        .find(|(name, _)| name == "x-trellis-test")
        .unwrap();
    assert_eq!(sent_back.1, [Bytes::from_static(b"yes")]);
}

#[tokio::test]
async fn a_status_is_the_actor_s() {
    let kit = Kit::new();
    let actor = kit.start("misbehave").await;
    assert_eq!(get(&actor, "/status?code=418").await.unwrap().status, 418);
    assert_eq!(get(&actor, "/nowhere").await.unwrap().status, 404);
}

/// The actor reads one chunk and writes it back before the next is there: neither side waits for a whole body.
#[tokio::test]
async fn bodies_stream_both_ways_at_once() {
    let kit = Kit::new();
    let actor = kit.start("misbehave").await;
    let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
    let chunks = stream::unfold(receiver, |mut receiver| async {
        Some((Ok(receiver.recv().await?), receiver))
    });
    let request = ask("POST", "/echo").body(Body::stream(Box::pin(chunks)));
    sender.send(Bytes::from_static(b"first ")).await.unwrap();
    let response = timeout(SOON, request.begin(&actor)).await.unwrap().unwrap();
    let Body::Stream { mut content, .. } = response.body else {
        panic!("the body is whole before its end was sent")
    };
    let mut got = timeout(SOON, content.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap()
        .to_vec();
    assert_eq!(got, b"first ");
    sender.send(Bytes::from_static(b"second")).await.unwrap();
    drop(sender);
    while let Some(chunk) = timeout(SOON, content.next()).await.unwrap() {
        got.extend_from_slice(&chunk.unwrap());
    }
    assert_eq!(got, b"first second");
    until("the call ends with its body", || actor.in_flight() == 0).await;
}

#[tokio::test]
async fn a_large_body_arrives_whole_in_each_direction() {
    const BYTES: usize = 20 << 20;
    let kit = Kit::new();
    let actor = kit.start("misbehave").await;
    let answer = get(&actor, &format!("/big?bytes={BYTES}")).await.unwrap();
    assert_eq!(answer.body.len(), BYTES);
    assert!(
        answer
            .body
            .iter()
            .enumerate()
            .all(|(at, byte)| usize::from(*byte) == at % 251)
    );
    let counted = ask("POST", "/count")
        .body(answer.body)
        .send(&actor)
        .await
        .unwrap();
    assert_eq!(counted.text(), format!("{BYTES}\n"));
}

/// An actor that writes faster than it is read is held back: it takes a few buffers, not the whole body.
#[tokio::test]
async fn a_slow_reader_holds_the_actor_back() {
    let kit = Kit::new();
    let actor = kit.start("misbehave").await;
    let response = ask("GET", "/big?bytes=1000000000")
        .begin(&actor)
        .await
        .unwrap();
    let Body::Stream { mut content, .. } = response.body else {
        panic!("a gigabyte came whole")
    };
    content.next().await.unwrap().unwrap();
    assert_eq!(actor.in_flight(), 1);
    // Nobody reads on: the instance goes.
    drop(content);
    until("the instance ends with its reader", || {
        actor.in_flight() == 0
    })
    .await;
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error() {
    let kit = Kit::new();
    let actor = kit.start("misbehave").await;
    let error = match get(&actor, "/half").await {
        Err(error) => error,
        Ok(answer) => panic!("a broken body came as a whole one: {answer:?}"),
    };
    assert!(matches!(error, CallError::Failed(_)), "{error}");
}

/// A request's body that breaks off is an error to the actor, not an end.
#[tokio::test]
async fn a_broken_request_is_not_a_short_one() {
    let kit = Kit::new();
    let actor = kit.start("misbehave").await;
    let chunks = stream::iter([
        Ok(Bytes::from_static(b"part")),
        Err(CallError::Transport("cut".into())),
    ]);
    let answer = ask("POST", "/count")
        .body(Body::stream(Box::pin(chunks)))
        .send(&actor)
        .await
        .unwrap();
    assert_eq!(answer.status, 400);
    assert!(
        answer.text().contains("broke after 4 bytes"),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn an_actor_calls_another() {
    let kit = Kit::new();
    kit.start("greeter").await;
    let caller = kit.start("http_caller").await;
    kit.link(
        "http-caller",
        "default",
        "trellis:example/greeter",
        "greeter",
    );
    let answer = get(&caller, "/?name=Ada").await.unwrap();
    assert!(answer.text().contains("Ada"), "{}", answer.text());
}

#[tokio::test]
async fn a_missing_link_is_named() {
    let kit = Kit::new();
    let caller = kit.start("http_caller").await;
    let error = get(&caller, "/?name=Ada").await.unwrap_err();
    let CallError::MissingLink {
        source_id,
        interface,
        ..
    } = &error
    else {
        panic!("{error}")
    };
    assert_eq!(
        (source_id.as_str(), interface.as_str()),
        ("http-caller", "trellis:example/greeter")
    );
}

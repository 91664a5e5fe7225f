//! Bodies stream, both ways, at the slower side's pace.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{HeaderMap, Method, Request};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::sync::mpsc;
use trellis_provider::rpc::{
    CallError,
    interface::http::{Body, Response as WireResponse},
};
use trellis_provider_testkit::wait::until;

use crate::kit::{ClientBody, Lattice, client, full, send, text};

/// A component that sends back what it gets, as it gets it.
async fn echo(lattice: &Lattice) -> Result<trellis_provider::rpc::nats::Serving> {
    let component = lattice
        .component("echo", |request| async move {
            Ok(WireResponse {
                status: 200,
                headers: Vec::new(),
                body: request.body,
            })
        })
        .await?;
    lattice.put(&lattice.link("echo", &[])).await?;
    Ok(component)
}

fn body_of(receiver: mpsc::Receiver<Frame<Bytes>>) -> ClientBody {
    let frames = stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|frame| (Ok(frame), receiver))
    });
    StreamBody::new(frames).boxed_unsync()
}

#[tokio::test]
async fn a_body_is_answered_while_it_is_sent() -> Result<()> {
    let lattice = Lattice::start(&[]).await?;
    let _component = echo(&lattice).await?;
    for http2 in [false, true] {
        let (sender, receiver) = mpsc::channel(1);
        let request = Request::builder()
            .method(Method::POST)
            .uri(lattice.url("/"))
            .body(body_of(receiver))?;
        let client = client(http2);
        let (response, ()) = tokio::join!(client.request(request), async {
            let _ = sender.send(Frame::data(Bytes::from_static(b"one"))).await;
        });
        let mut body = response?.into_body();
        // Nothing more is sent before the first part came back.
        for (expected, next) in [
            ("one", Some("two")),
            ("two", Some("three")),
            ("three", None),
        ] {
            let frame = tokio::time::timeout(Duration::from_secs(20), body.frame()).await?;
            let data = frame
                .context("the body ended")??
                .into_data()
                .ok()
                .context("no data")?;
            ensure!(data == expected, "{data:?}");
            if let Some(next) = next {
                sender
                    .send(Frame::data(Bytes::from_static(next.as_bytes())))
                    .await?;
            }
        }
        if http2 {
            let trailers = HeaderMap::from_iter([("x-sum".parse()?, "42".parse()?)]);
            sender.send(Frame::trailers(trailers)).await?;
        }
        drop(sender);
        let rest = body.collect().await?;
        let sum = rest
            .trailers()
            .and_then(|trailers| trailers.get("x-sum"))
            .cloned();
        ensure!(sum == http2.then(|| "42".parse()).transpose()?, "{sum:?}");
        ensure!(rest.to_bytes().is_empty());
    }
    Ok(())
}

#[tokio::test]
async fn large_bodies_of_every_kind_come_back_whole() -> Result<()> {
    let lattice = Lattice::start(&[]).await?;
    let _component = echo(&lattice).await?;
    for size in [0, 1, 64 * 1024, 64 * 1024 + 1, 3_000_000] {
        let content: Bytes = (0..size).map(|at: usize| at as u8).collect();
        for http2 in [false, true] {
            let known = full(content.clone());
            let parts: Vec<_> = content.chunks(10_000).map(Bytes::copy_from_slice).collect();
            let frames = stream::iter(parts).map(|part| Ok::<_, CallError>(Frame::data(part)));
            let chunked = StreamBody::new(frames).boxed_unsync();
            for body in [known, chunked] {
                let request = Request::builder()
                    .method(Method::POST)
                    .uri(lattice.url("/"))
                    .body(body)?;
                let response = send(&client(http2), request).await?;
                ensure!(
                    response.body() == &content,
                    "{size} {http2}: {}",
                    response.body().len()
                );
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_component_back() -> Result<()> {
    const PART: usize = 64 * 1024;
    const PARTS: usize = 4000;
    let lattice = Lattice::start(&[]).await?;
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = sent.clone();
    let _component = lattice
        .component("big", move |_| {
            let counter = counter.clone();
            async move {
                let parts = stream::iter(0..PARTS).map(move |_| {
                    counter.fetch_add(1, Ordering::SeqCst);
                    Ok(Bytes::from(vec![7; PART]))
                });
                Ok(WireResponse {
                    body: Body::stream(Box::pin(parts)),
                    ..text(200, "")
                })
            }
        })
        .await?;
    lattice.put(&lattice.link("big", &[])).await?;
    let request = Request::builder().uri(lattice.url("/")).body(full(""))?;
    let mut body = client(false).request(request).await?.into_body();
    body.frame().await.context("no body")??;
    // Until it stands still: what is on its way fills the buffers and no more.
    let (mut before, mut looks) = (0, 0);
    until("the component stands still", || {
        let now = sent.load(Ordering::SeqCst);
        let still = now == before;
        before = now;
        looks = if still { looks + 1 } else { 0 };
        async move {
            ensure!(looks > 10, "{now} parts are sent");
            Ok(())
        }
    })
    .await?;
    ensure!(
        before < PARTS / 4,
        "{before} of {PARTS} parts were sent to nobody"
    );
    let rest = body.collect().await?.to_bytes();
    ensure!(
        rest.len() > PART * (PARTS - 100),
        "the rest comes when it is read"
    );
    Ok(())
}

#[tokio::test]
async fn a_part_of_a_response_is_there_before_the_next_one_is_made() -> Result<()> {
    let lattice = Lattice::start(&[]).await?;
    let (next, parts) = tokio::sync::watch::channel(0);
    let _component = lattice
        .component("events", move |_| {
            let parts = parts.clone();
            async move {
                let events = stream::unfold((0, parts), |(event, mut parts)| async move {
                    parts.wait_for(|made| *made > event).await.ok()?;
                    let data = Bytes::from(format!("data: {event}\n\n"));
                    (event < 3).then_some((Ok(data), (event + 1, parts)))
                });
                Ok(WireResponse {
                    status: 200,
                    headers: vec![("content-type".to_owned(), vec!["text/event-stream".into()])],
                    body: Body::stream(Box::pin(events)),
                })
            }
        })
        .await?;
    lattice.put(&lattice.link("events", &[])).await?;
    for http2 in [false, true] {
        next.send_replace(0);
        let request = Request::builder().uri(lattice.url("/")).body(full(""))?;
        // The head comes before any part.
        let response = client(http2).request(request);
        let response = tokio::time::timeout(Duration::from_secs(20), response).await??;
        let mut body = response.into_body();
        for event in 0..3 {
            let made = std::time::Instant::now();
            next.send_replace(event + 1);
            let frame = tokio::time::timeout(Duration::from_secs(20), body.frame()).await?;
            let data = frame.context("it ended")??.into_data().ok();
            ensure!(
                data == Some(format!("data: {event}\n\n").into()),
                "{data:?}"
            );
            ensure!(
                made.elapsed() < Duration::from_secs(5),
                "{:?}",
                made.elapsed()
            );
        }
        next.send_replace(4);
        ensure!(body.collect().await?.to_bytes().is_empty());
    }
    Ok(())
}

#[tokio::test]
async fn a_response_that_breaks_off_is_not_taken_for_whole() -> Result<()> {
    let lattice = Lattice::start(&[]).await?;
    let _component = lattice
        .component("breaks", |_| async move {
            let parts = stream::iter([
                Ok(Bytes::from_static(b"part")),
                Err(CallError::Failed("inside".to_owned())),
            ]);
            Ok(WireResponse {
                body: Body::stream(Box::pin(parts)),
                ..text(200, "")
            })
        })
        .await?;
    lattice.put(&lattice.link("breaks", &[])).await?;
    for http2 in [false, true] {
        let request = Request::builder().uri(lattice.url("/")).body(full(""))?;
        let error = send(&client(http2), request)
            .await
            .err()
            .context("it was taken for whole")?;
        ensure!(!format!("{error:#}").contains("inside"));
    }
    Ok(())
}

//! What is too large, too slow or too much is refused, with the status that says so and nothing that is nobody's business.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures::stream;
use http::{Method, Request, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use trellis_provider::rpc::{
    CallError,
    interface::http::{Body, Response as WireResponse},
};
use trellis_provider_testkit::wait::until;

use crate::kit::{Lattice, client, full, send, text};

#[tokio::test]
async fn requests_have_bounds() -> Result<()> {
    let lattice = Lattice::start(&[]).await?;
    let _component = lattice
        .component("hello", |request| async move {
            let body = request.body.collect(1 << 20).await?;
            Ok(text(200, body.len().to_string()))
        })
        .await?;
    let bounds = [("max_header_bytes", "8192"), ("max_body_bytes", "100000")];
    lattice.put(&lattice.link("hello", &bounds)).await?;
    for http2 in [false, true] {
        let status = async |headers: usize, body: usize, chunked: bool| -> Result<StatusCode> {
            let body = if chunked {
                let parts = (0..body / 1000)
                    .map(|_| Ok::<_, CallError>(Frame::data(Bytes::from(vec![1; 1000]))));
                StreamBody::new(stream::iter(parts)).boxed_unsync()
            } else {
                full(vec![1; body])
            };
            let request = Request::builder()
                .method(Method::POST)
                .uri(lattice.url("/"))
                .header("x-large", "x".repeat(headers))
                .body(body)?;
            Ok(send(&client(http2), request).await?.status())
        };
        assert_eq!(status(7000, 100_000, false).await?, 200);
        assert_eq!(status(0, 100_000, true).await?, 200);
        assert_eq!(status(8200, 0, false).await?, 431);
        assert_eq!(status(0, 100_001, false).await?, 413);
        assert_eq!(status(0, 101_000, true).await?, 413);
    }
    Ok(())
}

#[tokio::test]
async fn a_component_that_fails_is_a_bad_gateway_and_its_reason_stays_inside() -> Result<()> {
    let lattice = Lattice::start(&[]).await?;
    let _component = lattice
        .component("fails", |request| async move {
            let secret = || "the password is hush".to_owned();
            match request.path_with_query.as_deref() {
                Some("/full") => Err(CallError::Overloaded(secret())),
                Some("/slow") => std::future::pending().await,
                _ => Err(CallError::Failed(secret())),
            }
        })
        .await?;
    lattice
        .put(&lattice.link("fails", &[("timeout_ms", "300")]))
        .await?;
    let answers = [
        ("/", "502 Bad Gateway: the component failed\n"),
        (
            "/full",
            "503 Service Unavailable: the component is at its limit\n",
        ),
        (
            "/slow",
            "504 Gateway Timeout: the component did not answer in time\n",
        ),
    ];
    let versions = answers.map(|answer| [(answer, false), (answer, true)]);
    for ((path, expected), http2) in versions.into_iter().flatten() {
        let request = Request::builder()
            .uri(lattice.url(path))
            .header("x-request-id", "r-7");
        let response = send(&client(http2), request.body(full(""))?).await?;
        assert_eq!(std::str::from_utf8(response.body())?, expected);
        assert_eq!(response.status().as_str(), &expected[..3]);
        assert_eq!(response.headers()["x-request-id"], "r-7");
        assert_eq!(
            response.headers().contains_key("retry-after"),
            path == "/full"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_link_to_nobody_is_unavailable_at_once() -> Result<()> {
    let lattice = Lattice::start(&[]).await?;
    lattice.put(&lattice.link("nobody", &[])).await?;
    for http2 in [false, true] {
        let begun = std::time::Instant::now();
        let request = Request::builder().uri(lattice.url("/")).body(full(""))?;
        let response = send(&client(http2), request).await?;
        assert_eq!(
            &response.body()[..],
            b"503 Service Unavailable: no component answers here now\n"
        );
        assert_eq!(response.headers()["retry-after"], "1");
        ensure!(
            begun.elapsed() < Duration::from_secs(10),
            "it took {:?}",
            begun.elapsed()
        );
    }
    Ok(())
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_for_their_turn() -> Result<()> {
    let lattice = Lattice::start(&[]).await?;
    let _component = lattice
        .component("hello", |_| async { Ok(text(200, "hello")) })
        .await?;
    let link = lattice.link("hello", &[("max_connections", "2")]);
    lattice.host.put("http", &link).await?;
    lattice.host.until_healthy("http", true).await?;
    let request = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut answer = [0; 12];
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = connect(&lattice).await?;
        stream.write_all(request).await?;
        stream.read_exact(&mut answer).await?;
        open.push(stream);
    }
    let mut waiting = connect(&lattice).await?;
    waiting.write_all(request).await?;
    let early =
        tokio::time::timeout(Duration::from_millis(300), waiting.read_exact(&mut answer)).await;
    ensure!(
        early.is_err(),
        "a third connection is served beside the two"
    );
    drop(open);
    let turn = tokio::time::timeout(Duration::from_secs(20), waiting.read_exact(&mut answer)).await;
    turn.context("it never had its turn")??;
    assert_eq!(&answer, b"HTTP/1.1 200");
    Ok(())
}

async fn connect(lattice: &Lattice) -> Result<TcpStream> {
    trellis_provider_testkit::wait::until("the address is listened at", || async {
        Ok(TcpStream::connect(lattice.address).await?)
    })
    .await
}

#[tokio::test]
async fn garbage_is_a_bad_request_and_harms_nobody() -> Result<()> {
    let lattice = Lattice::start(&[]).await?;
    let _component = lattice
        .component("hello", |_| async { Ok(text(200, "hello")) })
        .await?;
    lattice.put(&lattice.link("hello", &[])).await?;
    for garbage in [
        &b"\0\0\0\0\0\0\0\0\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnot a frame at all, but long enough to be one",
    ] {
        let mut stream = connect(&lattice).await?;
        stream.write_all(garbage).await?;
        stream.shutdown().await?;
        let mut answer = Vec::new();
        tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await??;
        let ok = answer.windows(7).any(|part| part == b"200 OK\r");
        ensure!(
            !ok || garbage.starts_with(b"POST"),
            "{:?}",
            String::from_utf8_lossy(&answer)
        );
    }
    let request = Request::builder().uri(lattice.url("/")).body(full(""))?;
    assert_eq!(send(&client(false), request).await?.status(), 200);
    Ok(())
}

#[tokio::test]
async fn a_host_that_is_none_is_a_bad_request() -> Result<()> {
    let lattice = Lattice::start(&[]).await?;
    let _component = lattice
        .component("hello", |request| async move {
            Ok(text(200, request.authority.unwrap_or_default()))
        })
        .await?;
    lattice.put(&lattice.link("hello", &[])).await?;
    for (head, status) in [
        ("HTTP/1.1\r\nhost: example.org:80", "200"),
        ("HTTP/1.1\r\nhost: [::1]:80", "200"),
        ("HTTP/1.1\r\nhost: example.org:", "200"),
        ("HTTP/1.0\r\nx-no: host", "200"),
        ("HTTP/1.0\r\nhost:", "200"),
        ("HTTP/1.1\r\nx-no: host", "400"),
        ("HTTP/1.1\r\nhost:", "400"),
        ("HTTP/1.1\r\nhost: a\r\nhost: a", "400"),
        ("HTTP/1.1\r\nhost: a b", "400"),
        ("HTTP/1.1\r\nhost: a/b", "400"),
        ("HTTP/1.1\r\nhost: me@a", "400"),
        ("HTTP/1.1\r\nhost: a:b", "400"),
        ("HTTP/1.1\r\nhost: \u{e4}", "400"),
    ] {
        let mut stream = connect(&lattice).await?;
        let request = format!("GET / {head}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await??;
        let answer = String::from_utf8_lossy(&answer);
        ensure!(
            answer.get(9..12) == Some(status),
            "{head:?} is answered with {answer:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_does_not_send_its_head_is_let_go_of() -> Result<()> {
    let lattice = Lattice::start(&[]).await?;
    let _component = lattice
        .component("hello", |_| async { Ok(text(200, "hello")) })
        .await?;
    let link = lattice.link("hello", &[("head_timeout_ms", "300")]);
    lattice.put(&link).await?;
    for beginning in [
        &b""[..],
        // Of both versions.
        b"P",
        b"GET / HTTP/1.1\r\nhost: x\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        // A whole request, and nothing on the kept connection.
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    ] {
        let mut stream = connect(&lattice).await?;
        stream.write_all(beginning).await?;
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer));
        ended
            .await
            .with_context(|| format!("{:?} is waited for", String::from_utf8_lossy(beginning)))??;
    }
    // One that is slow to answer is not meant.
    let request = Request::builder().uri(lattice.url("/")).body(full(""))?;
    assert_eq!(send(&client(true), request).await?.status(), 200);
    Ok(())
}

#[tokio::test]
async fn a_small_body_that_does_not_come_is_a_timeout() -> Result<()> {
    let lattice = Lattice::start(&[]).await?;
    let _component = lattice
        .component("hello", |_| async { Ok(text(200, "hello")) })
        .await?;
    let link = lattice.link("hello", &[("timeout_ms", "300")]);
    lattice.put(&link).await?;
    let mut stream = connect(&lattice).await?;
    let request = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf";
    stream.write_all(request).await?;
    let mut answer = vec![0; 12];
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_exact(&mut answer));
    read.await??;
    assert_eq!(&answer, b"HTTP/1.1 408");
    Ok(())
}

#[tokio::test]
async fn another_protocol_is_refused_and_not_begun() -> Result<()> {
    let lattice = Lattice::start(&[]).await?;
    let _component = lattice
        .component("hello", |_| async { Ok(text(200, "hello")) })
        .await?;
    lattice.put(&lattice.link("hello", &[])).await?;
    for (upgrade, status) in [("WebSocket", 501), ("h2c", 200)] {
        let request = Request::builder()
            .uri(lattice.url("/"))
            .header("connection", "upgrade")
            .header("upgrade", upgrade)
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let response = send(&client(false), request.body(full(""))?).await?;
        assert_eq!(response.status(), status, "{upgrade}");
        if status == 501 {
            let body = std::str::from_utf8(response.body())?;
            ensure!(
                body.starts_with("501 Not Implemented: WebSocket is not spoken here"),
                "{body}"
            );
        }
    }
    Ok(())
}

/// Tells what was read when the component's work is over, a cancelled call's included.
struct End {
    ended: tokio::sync::mpsc::UnboundedSender<Option<usize>>,
    read: Option<usize>,
}

impl Drop for End {
    fn drop(&mut self) {
        let _ = self.ended.send(self.read);
    }
}

#[tokio::test]
async fn a_client_that_stops_sending_does_not_keep_the_component() -> Result<()> {
    let lattice = Lattice::start(&[]).await?;
    let (ended, mut outcome) = tokio::sync::mpsc::unbounded_channel();
    let _component = lattice
        .component("reads", move |request| {
            let ended = ended.clone();
            async move {
                let mut end = End { ended, read: None };
                let body = request.body.collect(1 << 20).await?;
                end.read = Some(body.len());
                Ok(text(200, body))
            }
        })
        .await?;
    let link = lattice.link("reads", &[("idle_timeout_ms", "500")]);
    lattice.put(&link).await?;
    let wait = Duration::from_secs(20);
    for http2 in [false, true] {
        // One that is slow but goes on, for longer than the bound in all.
        for parts in [4, 1] {
            let frames = stream::unfold(0, move |part| async move {
                if part > 0 {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                match part {
                    _ if part < parts => Some((
                        Ok::<_, CallError>(Frame::data(Bytes::from_static(b"part"))),
                        part + 1,
                    )),
                    4 => None,
                    _ => std::future::pending().await,
                }
            });
            let request = Request::builder()
                .method(Method::POST)
                .uri(lattice.url("/"))
                .body(StreamBody::new(frames).boxed_unsync())?;
            let answer = tokio::time::timeout(wait, send(&client(http2), request)).await?;
            let read = tokio::time::timeout(wait, outcome.recv()).await?;
            if parts == 4 {
                ensure!(read == Some(Some(16)), "{read:?}");
                assert_eq!(answer?.status(), 200);
            } else {
                ensure!(read == Some(None), "{read:?}");
                // With HTTP/1 the connection may be gone before the client looks for an answer.
                ensure!(!http2 || answer?.status() == 408);
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_stops_reading_does_not_keep_the_component() -> Result<()> {
    let lattice = Lattice::start(&[]).await?;
    let running = Arc::new(());
    let running_there = running.clone();
    let _component = lattice
        .component("endless", move |_| {
            let held = running_there.clone();
            async move {
                let parts = stream::unfold(held, |held| async move {
                    Some((Ok(Bytes::from(vec![7; 64 * 1024])), held))
                });
                Ok(WireResponse {
                    body: Body::stream(Box::pin(parts)),
                    ..text(200, "")
                })
            }
        })
        .await?;
    let link = lattice.link("endless", &[("idle_timeout_ms", "500")]);
    lattice.put(&link).await?;
    for http2 in [false, true] {
        let client = client(http2);
        let idle = Arc::strong_count(&running);
        let request = Request::builder().uri(lattice.url("/")).body(full(""))?;
        let mut body = client.request(request).await?.into_body();
        body.frame().await.context("no body")??;
        ensure!(Arc::strong_count(&running) > idle, "it sends");
        // The client is still there and reads nothing.
        until("the component is let go of", || async {
            ensure!(Arc::strong_count(&running) == idle, "it still sends");
            Ok(())
        })
        .await?;
        drop(body);
    }
    Ok(())
}

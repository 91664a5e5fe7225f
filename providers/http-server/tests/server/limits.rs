//! What is too large, too slow or too much is refused, with the status that says so and nothing that is nobody's business.

use std::time::Duration;

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
use trellis_provider::rpc::CallError;

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
    for (path, expected) in [
        ("/", "502 Bad Gateway: the component failed\n"),
        (
            "/full",
            "503 Service Unavailable: the component is at its limit\n",
        ),
        (
            "/slow",
            "504 Gateway Timeout: the component did not answer in time\n",
        ),
    ] {
        let request = Request::builder()
            .uri(lattice.url(path))
            .header("x-request-id", "r-7");
        let response = send(&client(false), request.body(full(""))?).await?;
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
    let begun = std::time::Instant::now();
    let request = Request::builder().uri(lattice.url("/")).body(full(""))?;
    let response = send(&client(false), request).await?;
    assert_eq!(
        &response.body()[..],
        b"503 Service Unavailable: no component answers here now\n"
    );
    ensure!(
        begun.elapsed() < Duration::from_secs(10),
        "it took {:?}",
        begun.elapsed()
    );
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

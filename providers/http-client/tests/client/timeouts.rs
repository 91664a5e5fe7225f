//! A request waits so long and no longer.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use trellis_provider::rpc::{
    CallError,
    interface::http::{Body, ErrorCode, RequestOptions},
};

use crate::{
    kit::{COMPONENT, Lattice, get, request},
    server::{Server, Then, told},
};

/// Far longer than any timeout here, and far shorter than the call's own deadline.
const SOON: Duration = Duration::from_secs(10);

fn ms(ms: u64) -> Option<u64> {
    Some(ms * 1_000_000)
}

#[tokio::test]
async fn a_server_that_keeps_silent_is_given_up() -> Result<()> {
    let server = Server::silent().await?;
    let lattice = Lattice::start(&[
        ("allow_private", "true"),
        ("connect_timeout_ms", "300"),
        ("first_byte_timeout_ms", "300"),
    ])
    .await?;
    let begun = Instant::now();
    let code = lattice.refusal(get(&server.url("/"))?).await?;
    ensure!(code == ErrorCode::ConnectionReadTimeout, "{code:?}");
    // TLS is a part of connecting.
    let code = lattice.refusal(get(&server.https("/"))?).await?;
    ensure!(code == ErrorCode::ConnectionTimeout, "{code:?}");
    ensure!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_request_brings_timeouts_of_its_own() -> Result<()> {
    let server = Server::silent().await?;
    let lattice = Lattice::open().await?;
    for (url, options, wanted) in [
        (
            server.url("/"),
            RequestOptions {
                first_byte_timeout: ms(200),
                ..RequestOptions::default()
            },
            ErrorCode::ConnectionReadTimeout,
        ),
        (
            server.https("/"),
            RequestOptions {
                connect_timeout: ms(200),
                ..RequestOptions::default()
            },
            ErrorCode::ConnectionTimeout,
        ),
    ] {
        let begun = Instant::now();
        let answer = lattice.ask_as(COMPONENT, get(&url)?, Some(options)).await?;
        ensure!(answer.err() == Some(wanted));
        ensure!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    }
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_body_that_stands_still_is_given_up() -> Result<()> {
    const HALF: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\nhalf";
    let server = Server::saying(HALF, Then::Wait).await?;
    let lattice = Lattice::start(&[
        ("allow_private", "true"),
        ("between_bytes_timeout_ms", "300"),
    ])
    .await?;
    let response = lattice.respond(get(&server.url("/"))?).await?;
    let Body::Stream { mut content, .. } = response.body else {
        anyhow::bail!("half a body is taken for a whole one")
    };
    let first = content.next().await.transpose()?;
    ensure!(first.as_deref() == Some(b"half"), "{first:?}");
    let second = content.next().await;
    ensure!(
        matches!(second, Some(Err(CallError::DeadlineExceeded { .. }))),
        "{second:?}"
    );
    lattice.running.stop().await?;
    Ok(())
}

/// Waiting for the component is not waiting for the server.
#[tokio::test]
async fn a_request_that_is_long_on_its_way_is_not_late() -> Result<()> {
    let server = Server::start(told).await?;
    let lattice =
        Lattice::start(&[("allow_private", "true"), ("first_byte_timeout_ms", "400")]).await?;
    let slowly = stream::unfold(0_u8, |sent| async move {
        // A pause that is the matter of the test, not a wait for something.
        tokio::time::sleep(Duration::from_millis(300)).await;
        (sent < 5).then(|| (Ok(Bytes::from_static(b"piece")), sent + 1))
    });
    let asked = request("POST", &server.url("/"), Body::stream(Box::pin(slowly)))?;
    let response = lattice.respond(asked).await?;
    let told = crate::kit::whole(response).await?;
    ensure!(told.ends_with(b"body of 25 bytes"), "{told:?}");
    lattice.running.stop().await?;
    Ok(())
}

//! Requests that run are finished before the provider ends.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures::stream;
use http::Request;
use http_body_util::BodyExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
};
use trellis_provider::rpc::interface::http::{Body, Response as WireResponse};
use trellis_provider_testkit::wait::until;

use crate::{
    client::{Connection, get},
    kit::{Lattice, SERVER, client, full, send, text},
};

#[tokio::test]
async fn what_runs_is_finished_and_nothing_new_begins() -> Result<()> {
    let lattice = Lattice::start(&[]).await?;
    let (go_on, goes_on) = watch::channel(false);
    let (arrive, mut arrived) = watch::channel(false);
    let _component = lattice
        .component("slow", move |request| {
            let (mut goes_on, arrive) = (goes_on.clone(), arrive.clone());
            async move {
                if request.path_with_query.as_deref() == Some("/head") {
                    arrive.send_replace(true);
                    let _ = goes_on.wait_for(|go| *go).await;
                    return Ok(text(200, "late head"));
                }
                let parts = stream::unfold(0, move |part| {
                    let mut goes_on = goes_on.clone();
                    async move {
                        if part == 1 {
                            let _ = goes_on.wait_for(|go| *go).await;
                        }
                        (part < 2).then(|| (Ok(Bytes::from_static(b"part ")), part + 1))
                    }
                });
                Ok(WireResponse {
                    body: Body::stream(Box::pin(parts)),
                    ..text(200, "")
                })
            }
        })
        .await?;
    lattice.put(&lattice.link("slow", &[])).await?;
    let (one, two) = (client(false), client(true));
    let get = |path| Request::builder().uri(lattice.url(path)).body(full(""));
    // One is in the middle of its body, one has no head yet, and a connection is idle.
    let mut body = one.request(get("/body")?).await?.into_body();
    body.frame().await.context("no body")??;
    let idle = TcpStream::connect(lattice.address).await?;
    let late = send(&two, get("/head")?);
    let ended = async {
        assert_eq!(lattice.host.shut_down(SERVER).await?, "shutting down");
        until("nobody is let in any more", || async {
            ensure!(TcpStream::connect(lattice.address).await.is_err());
            Ok(())
        })
        .await?;
        go_on.send_replace(true);
        anyhow::Ok(body.collect().await?.to_bytes())
    };
    let (late, rest) = tokio::join!(late, async {
        arrived.wait_for(|arrived| *arrived).await?;
        ended.await
    });
    assert_eq!(&late?.body()[..], b"late head");
    assert_eq!(&rest?[..], b"part ");
    let begun = Instant::now();
    lattice.running.ended().await?;
    ensure!(
        begun.elapsed() < Duration::from_secs(5),
        "an idle connection held it up"
    );
    drop(idle);
    Ok(())
}

#[tokio::test]
async fn kept_connections_are_told_that_it_ends() -> Result<()> {
    let lattice = Lattice::start(&[]).await?;
    let (go_on, goes_on) = watch::channel(false);
    let (arrive, mut arrived) = watch::channel(0);
    let _component = lattice
        .component("slow", move |_| {
            let (mut goes_on, arrive) = (goes_on.clone(), arrive.clone());
            async move {
                arrive.send_modify(|count| *count += 1);
                let _ = goes_on.wait_for(|go| *go).await;
                Ok(text(200, "late"))
            }
        })
        .await?;
    lattice.put(&lattice.link("slow", &[])).await?;
    let mut one = TcpStream::connect(lattice.address).await?;
    one.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await?;
    let mut two = Connection::open(lattice.address, true).await?;
    let uri = lattice.url("/");
    let shut_down = async {
        arrived.wait_for(|count| *count == 2).await?;
        assert_eq!(lattice.host.shut_down(SERVER).await?, "shutting down");
        until("nobody is let in any more", || async {
            ensure!(TcpStream::connect(lattice.address).await.is_err());
            Ok(())
        })
        .await?;
        go_on.send_replace(true);
        anyhow::Ok(())
    };
    let (late, shut_down) = tokio::join!(two.send(get(&uri, &[])?), shut_down);
    shut_down?;
    assert_eq!(&late?.body()[..], b"late");
    // HTTP/1.1 says it with the answer, and closes.
    let mut answer = String::new();
    let read = tokio::time::timeout(Duration::from_secs(20), one.read_to_string(&mut answer));
    read.await??;
    ensure!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close\r\n"),
        "{answer}"
    );
    // HTTP/2 by a frame of its own: the client's side ends without an error.
    let ended = tokio::time::timeout(Duration::from_secs(20), two.driver.join_next());
    ended.await?.context("no driver")???;
    lattice.running.ended().await?;
    Ok(())
}

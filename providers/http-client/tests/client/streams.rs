//! Bodies stream both ways at the slower side's pace, and end when nobody wants them.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio_util::sync::{CancellationToken, DropGuard};
use trellis_provider::rpc::{CallError, interface::http::Body};
use trellis_provider_testkit::wait::until;

use crate::{
    kit::{Lattice, get, request},
    server::{Server, ServerBody, Then, text},
};

const PIECE: usize = 64 << 10;
const BIG: usize = 64 << 20;

/// A body of so many bytes, which counts what is taken of it, and `gone` is dropped with it.
fn pieces(bytes: usize, taken: Arc<AtomicUsize>, gone: Option<DropGuard>) -> Response<ServerBody> {
    let pieces = stream::unfold((0, gone), move |(sent, gone)| {
        let taken = taken.clone();
        async move {
            (sent < bytes).then(|| {
                let piece = Bytes::from(vec![b'x'; PIECE.min(bytes - sent)]);
                taken.fetch_add(piece.len(), SeqCst);
                let sent = sent + piece.len();
                (Ok::<_, io::Error>(Frame::data(piece)), (sent, gone))
            })
        }
    });
    Response::new(StreamBody::new(pieces).boxed_unsync())
}

#[tokio::test]
async fn large_bodies_go_through() -> Result<()> {
    let server = Server::start(|request| async move {
        if request.uri().path() == "/down" {
            return pieces(BIG, Arc::default(), None);
        }
        let mut body = request.into_body();
        let mut count = 0;
        while let Some(Ok(frame)) = body.frame().await {
            count += frame.into_data().map_or(0, |data| data.len());
        }
        text(200, count.to_string())
    })
    .await?;
    let lattice = Lattice::open().await?;
    let response = lattice.respond(get(&server.url("/down"))?).await?;
    let Body::Stream { mut content, .. } = response.body else {
        anyhow::bail!("a large body is not a stream")
    };
    let mut count = 0;
    while let Some(piece) = content.next().await.transpose()? {
        ensure!(piece.iter().all(|byte| *byte == b'x'));
        count += piece.len();
    }
    ensure!(count == BIG, "{count}");

    let piece = Bytes::from(vec![b'y'; PIECE]);
    let pieces = stream::iter(vec![piece; BIG / PIECE]).map(Ok);
    let asked = request("PUT", &server.url("/up"), Body::stream(Box::pin(pieces)))?;
    let response = lattice.respond(asked).await?;
    ensure!(crate::kit::whole(response).await? == BIG.to_string());
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_body_that_nobody_reads_is_not_taken_from_the_server() -> Result<()> {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = taken.clone();
    let server = Server::start(move |_| {
        let count = count.clone();
        async move { pieces(1 << 30, count, None) }
    })
    .await?;
    let lattice = Lattice::open().await?;
    let response = lattice.respond(get(&server.url("/"))?).await?;
    let Body::Stream { mut content, .. } = response.body else {
        anyhow::bail!("a large body is not a stream")
    };
    content.next().await.context("nothing came")??;
    let stands_still = until("the server is not asked for more", || async {
        let before = taken.load(SeqCst);
        tokio::time::sleep(Duration::from_millis(300)).await;
        ensure!(before == taken.load(SeqCst), "{before} bytes, and more");
        Ok(before)
    });
    let stands_still = stands_still.await?;
    ensure!(
        stands_still < 64 << 20,
        "{stands_still} bytes lie somewhere"
    );
    drop(content);
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_response_that_is_not_wanted_ends_at_the_server() -> Result<()> {
    let gone = CancellationToken::new();
    let token = gone.clone();
    let server = Server::start(move |_| {
        let guard = token.clone().drop_guard();
        async move { pieces(1 << 30, Arc::default(), Some(guard)) }
    })
    .await?;
    let lattice = Lattice::open().await?;
    let response = lattice.respond(get(&server.url("/"))?).await?;
    ensure!(!gone.is_cancelled());
    drop(response);
    until("the server is told", || async {
        ensure!(gone.is_cancelled());
        Ok(())
    })
    .await?;
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_request_that_is_given_up_ends_at_the_server() -> Result<()> {
    let (arrived, gone) = (CancellationToken::new(), CancellationToken::new());
    let (began, ended) = (arrived.clone(), gone.clone());
    let server = Server::start(move |_| {
        let (began, guard) = (began.clone(), ended.clone().drop_guard());
        async move {
            began.cancel();
            let _guard = guard;
            std::future::pending().await
        }
    })
    .await?;
    let lattice = Lattice::open().await?;
    let asked = lattice.ask(get(&server.url("/"))?);
    tokio::select! {
        answer = asked => anyhow::bail!("there is an answer: {answer:?}"),
        () = arrived.cancelled() => {}
    }
    until("the server is told", || async {
        ensure!(gone.is_cancelled());
        Ok(())
    })
    .await?;
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_response_that_breaks_off_is_not_a_short_one() -> Result<()> {
    const CUT: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
        186a0\r\nthe beginning of a hundred thousand bytes";
    let lattice = Lattice::open().await?;
    let server = Server::saying(CUT, Then::Close).await?;
    // Whether it is noticed with the head or after it is a matter of time.
    match lattice.ask(get(&server.url("/"))?).await? {
        Err(code) => ensure!(
            code == trellis_provider::rpc::interface::http::ErrorCode::HttpResponseIncomplete,
            "{code:?}"
        ),
        Ok(response) => {
            let read = crate::kit::whole(response).await;
            ensure!(matches!(read, Err(CallError::Transport(_))), "{read:?}");
        }
    }
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_request_that_breaks_off_does_not_arrive_as_a_short_one() -> Result<()> {
    let whole = Arc::new(AtomicUsize::new(0));
    let count = whole.clone();
    let server = Server::start(move |request| {
        let count = count.clone();
        async move {
            if request.into_body().collect().await.is_ok() {
                count.fetch_add(1, SeqCst);
            }
            text(200, "x")
        }
    })
    .await?;
    let lattice = Lattice::open().await?;
    let broken = stream::iter([
        Ok(Bytes::from(vec![b'x'; PIECE])),
        Ok(Bytes::from(vec![b'x'; PIECE])),
        Err(CallError::Failed("the component trapped".into())),
    ]);
    let asked = request("POST", &server.url("/"), Body::stream(Box::pin(broken)))?;
    let answer = lattice.ask(asked).await;
    ensure!(!matches!(answer, Ok(Ok(_))), "{answer:?}");
    ensure!(whole.load(SeqCst) == 0, "the server took it for whole");
    lattice.running.stop().await?;
    Ok(())
}

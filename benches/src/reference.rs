//! The reference: what the same answers cost with nothing but hyper, and a Redis client for the counter.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use redis::aio::MultiplexedConnection;
use tokio::{net::TcpListener, task::JoinSet};
use trellis_tests::{port, process::Process};

use crate::{block::Blocks, load};

/// The reference as a process of its own, as Trellis' are.
#[derive(Debug)]
pub struct Reference {
    /// Where it listens.
    pub at: SocketAddr,
    /// Its process.
    pub process: Process,
}

impl Reference {
    /// Starts one, and waits until it answers.
    ///
    /// # Errors
    /// It does not start or answer.
    pub async fn start(directory: &Path, redis: Option<&str>) -> Result<Self> {
        let port = port::free()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("reference").arg(port.to_string());
        if let Some(url) = redis {
            command.args(["--redis", url]);
        }
        let process = Process::start(&format!("reference-{port}"), directory, command)?;
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        load::first_answer(at, "/")
            .await
            .with_context(|| process.output())?;
        Ok(Self { at, process })
    }
}

/// Serves until it is ended.
///
/// # Errors
/// The port is taken, or Redis does not answer.
pub async fn serve(port: u16, redis: Option<String>) -> Result<()> {
    let redis = match redis {
        Some(url) => {
            let client = redis::Client::open(url.as_str())?;
            let connection = client.get_multiplexed_async_connection();
            Some(connection.await.context("connecting to Redis")?)
        }
        None => None,
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let redis = redis.clone();
        connections.spawn(async move {
            let answer = service_fn(move |request| answer(request, redis.clone()));
            // A client that went away in the middle is no matter here.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
        while connections.try_join_next().is_some() {}
    }
}

type Answer = Response<Either<Full<Bytes>, Blocks>>;

/// The same paths as those of the actors that are measured.
async fn answer(
    request: Request<Incoming>,
    redis: Option<MultiplexedConnection>,
) -> Result<Answer, Infallible> {
    let path = request.uri().path().to_owned();
    let answer = match (path.as_str(), redis) {
        (path, Some(redis)) => counted(path, redis).await,
        ("/count", None) => length(request).await,
        ("/big", None) => Ok(Response::new(Either::Right(Blocks::new(
            number(&request).unwrap_or_default(),
        )))),
        ("/sleep", None) => {
            let ms = number(&request).unwrap_or_default();
            tokio::time::sleep(Duration::from_millis(ms)).await;
            Ok(text(format!("slept {ms} ms\n")))
        }
        (_, None) => Ok(text("Hello from Trellis!\n")),
    };
    Ok(answer.unwrap_or_else(|error| {
        let mut response = text(format!("{error}\n"));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    }))
}

async fn counted(path: &str, mut redis: MultiplexedConnection) -> Result<Answer> {
    let key = path.trim_start_matches('/');
    let count: u64 = redis::cmd("INCR").arg(key).query_async(&mut redis).await?;
    Ok(text(format!("{count}\n")))
}

async fn length(request: Request<Incoming>) -> Result<Answer> {
    let (mut body, mut total) = (request.into_body(), 0);
    while let Some(frame) = body.frame().await {
        total += frame?.data_ref().map_or(0, Bytes::len);
    }
    Ok(text(format!("{total}\n")))
}

/// The number in the query's one parameter.
fn number(request: &Request<Incoming>) -> Option<u64> {
    request.uri().query()?.split_once('=')?.1.parse().ok()
}

fn text(text: impl Into<Bytes>) -> Answer {
    Response::new(Either::Left(Full::new(text.into())))
}

//! A closed loop of requests: each connection sends the next one when the last is answered.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper::{body::Body, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet};

use crate::latency::{Latencies, Measured};

/// Loads `path` for some time. Every request must be answered with 200.
///
/// # Errors
/// A request failed: its cost would mean nothing.
pub async fn run(
    at: SocketAddr,
    path: &str,
    connections: usize,
    lasting: Duration,
) -> Result<Measured> {
    let begun = Instant::now();
    let until = begun + lasting;
    let mut workers = JoinSet::new();
    for _ in 0..connections {
        workers.spawn(load(at, path.to_owned(), until));
    }
    let mut all = Latencies::new()?;
    while let Some(latencies) = workers.join_next().await {
        all.join(&latencies??)?;
    }
    Ok(all.over(begun.elapsed()))
}

async fn load(at: SocketAddr, path: String, until: Instant) -> Result<Latencies> {
    let mut connection = Connection::open(at).await?;
    let mut latencies = Latencies::new()?;
    while Instant::now() < until {
        let begun = Instant::now();
        connection.get(&path).await?;
        latencies.since(begun);
    }
    Ok(latencies)
}

/// A connection, for requests one after the other.
pub struct Connection<B = Empty<Bytes>> {
    host: String,
    sender: SendRequest<B>,
    /// Ends with the connection.
    _driver: JoinSet<()>,
}

impl<B> Connection<B>
where
    B: Body<Data = Bytes, Error = std::convert::Infallible> + Send + 'static,
{
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens.
    pub async fn open(at: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(at)
            .await
            .with_context(|| format!("connecting to {at}"))?;
        stream.set_nodelay(true)?;
        let (sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let mut drivers = JoinSet::new();
        drivers.spawn(async move {
            // What broke it is told to the request that it was broken for.
            let _ = driver.await;
        });
        Ok(Self {
            host: at.to_string(),
            sender,
            _driver: drivers,
        })
    }

    /// Sends a request and counts the bytes of the answer's body; keeps the first of them.
    ///
    /// # Errors
    /// It was not answered whole, or not with 200.
    pub async fn send(&mut self, method: &str, path: &str, body: B) -> Result<(u64, Bytes)> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.host)
            .body(body)?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let mut body = response.into_body();
        let (mut length, mut first) = (0, Bytes::new());
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data() {
                if length == 0 {
                    first = data.slice(..data.len().min(1024));
                }
                length += data.len() as u64;
            }
        }
        ensure!(
            status == 200,
            "{path}: {status}: {}",
            String::from_utf8_lossy(&first)
        );
        Ok((length, first))
    }
}

impl Connection {
    /// Asks for a path; how long the answer's body was, and how it begins.
    ///
    /// # Errors
    /// It was not answered whole, or not with 200.
    pub async fn get(&mut self, path: &str) -> Result<(u64, Bytes)> {
        self.send("GET", path, Empty::new()).await
    }
}

/// Waits until a server answers a path with 200, looking often.
///
/// # Errors
/// It did not within a minute.
pub async fn first_answer(at: SocketAddr, path: &str) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let answered = async { Connection::open(at).await?.get(path).await };
        match answered.await {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > deadline => {
                return Err(error.context(format!("no answer from {at}")));
            }
            // Far less than what is measured, and no load either.
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

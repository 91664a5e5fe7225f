//! HTTP requests, and a steady load that counts what failed.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::wait::until;

/// The longest a test waits for one answer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// An answer, read whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body as text.
    pub body: String,
}

/// A client that keeps its connections.
#[derive(Clone, Debug)]
pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    at: SocketAddr,
}

impl Http {
    /// A client of the server there.
    pub fn new(at: SocketAddr) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            at,
        }
    }

    /// Asks for a path.
    ///
    /// # Errors
    /// No whole answer came. Any status is an answer.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    /// Sends a body to a path.
    ///
    /// # Errors
    /// No whole answer came.
    pub async fn post(&self, path: &str, body: impl Into<Bytes>) -> Result<Answer> {
        self.send(Method::POST, path, body.into()).await
    }

    /// Puts a body to a path.
    ///
    /// # Errors
    /// No whole answer came.
    pub async fn put(&self, path: &str, body: impl Into<Bytes>) -> Result<Answer> {
        self.send(Method::PUT, path, body.into()).await
    }

    /// Deletes what is at a path.
    ///
    /// # Errors
    /// No whole answer came.
    pub async fn delete(&self, path: &str) -> Result<Answer> {
        self.send(Method::DELETE, path, Bytes::new()).await
    }

    /// Asks for a path until the answer is 200; its body.
    ///
    /// # Errors
    /// It was not within the kit's deadline; the last answer is told.
    pub async fn get_until_good(&self, path: &str) -> Result<String> {
        until("the answer is 200", || async {
            let answer = self.get(path).await?;
            anyhow::ensure!(answer.status == 200, "{answer:?}");
            Ok(answer.body)
        })
        .await
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Answer> {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.at))
            .body(Full::new(body))?;
        tokio::time::timeout(TIMEOUT, async {
            let response = self.client.request(request).await?;
            let status = response.status().as_u16();
            let body = Response::into_body(response).collect().await?.to_bytes();
            Ok(Answer {
                status,
                body: String::from_utf8_lossy(&body).into_owned(),
            })
        })
        .await
        .with_context(|| format!("no answer within {} s", TIMEOUT.as_secs()))?
    }
}

/// What a load saw.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Answers by status and body; 0 is no answer at all, and its reason.
    pub answers: BTreeMap<(u16, String), usize>,
    /// The longest that one request took.
    pub longest: Duration,
}

impl Seen {
    /// How many requests were made.
    pub fn total(&self) -> usize {
        self.answers.values().sum()
    }

    /// How many were answered with 200.
    pub fn good(&self) -> usize {
        self.count(|status| status == 200)
    }

    /// How many were not.
    pub fn failed(&self) -> usize {
        self.count(|status| status != 200)
    }

    fn count(&self, which: impl Fn(u16) -> bool) -> usize {
        self.answers
            .iter()
            .filter(|((status, _), _)| which(*status))
            .map(|(_, count)| count)
            .sum()
    }
}

/// Requests for one path, one after another on each of some connections, until it is told to end.
#[derive(Debug)]
pub struct Load {
    seen: Arc<Mutex<Seen>>,
    stop: watch::Sender<bool>,
    workers: JoinSet<()>,
}

impl Load {
    /// Begins; each next request is sent when the last one is answered.
    pub fn start(at: SocketAddr, path: &str, connections: usize) -> Self {
        Self::paced(at, path, connections, Duration::ZERO)
    }

    /// The same, with a pause after each answer, so that many loads fit on a small machine.
    pub fn paced(at: SocketAddr, path: &str, connections: usize, pause: Duration) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (stop, stopped) = watch::channel(false);
        let mut workers = JoinSet::new();
        for _ in 0..connections {
            let (http, path, seen, stopped) = (
                Http::new(at),
                path.to_owned(),
                seen.clone(),
                stopped.clone(),
            );
            workers.spawn(async move {
                while !*stopped.borrow() {
                    let begun = Instant::now();
                    let answer = match http.get(&path).await {
                        Ok(answer) => (answer.status, answer.body),
                        Err(reason) => (0, format!("{reason:#}")),
                    };
                    {
                        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                        *seen.answers.entry(answer).or_default() += 1;
                        seen.longest = seen.longest.max(begun.elapsed());
                    }
                    if !pause.is_zero() {
                        tokio::time::sleep(pause).await;
                    }
                }
            });
        }
        Self {
            seen,
            stop,
            workers,
        }
    }

    /// What was seen so far.
    pub fn seen(&self) -> Seen {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until `more` further requests have been answered with 200.
    ///
    /// # Errors
    /// They were not within the kit's deadline.
    pub async fn goes_on(&self, more: usize) -> Result<()> {
        let before = self.seen().good();
        until("the load goes on", || async {
            let seen = self.seen();
            anyhow::ensure!(seen.good() >= before + more, "{seen:?}");
            Ok(())
        })
        .await
    }

    /// Ends it, each connection after the answer it waits for.
    pub async fn stop(mut self) -> Seen {
        // The workers hold the receivers until they end.
        let _ = self.stop.send(true);
        while self.workers.join_next().await.is_some() {}
        self.seen()
    }
}

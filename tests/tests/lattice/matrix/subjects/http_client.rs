//! http-client: a server that an actor asks. The client has no backend that it is configured with, so its health says
//! nothing of one; what its link says is whom it may ask, and a link to elsewhere allows another server and not the first
//! one. The servers are in the test's process: their end is that of their sockets, and to who is connected the same as a
//! process's.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures::FutureExt as _;
use http::Response;
use http_body_util::Full;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, sync::Mutex, task::JoinSet};
use trellis_tests::{gate::Gate, http::Http, lattice::Lattice};

use super::super::{
    held::Held,
    stand::Stand,
    subject::{CALLER, Outcome, PROVIDER, Place, Subject, Wanted},
};

pub struct Upstreams {
    here: Mutex<Upstream>,
    there: Upstream,
    /// Where each is.
    at: [SocketAddr; 2],
    gate: Arc<Gate>,
}

impl Subject for Upstreams {
    const NAME: &'static str = "http-client";
    const ACTORS: &'static [(&'static str, &'static str)] = &[(CALLER, "http_fetch")];
    const DURABLE: bool = true;

    async fn start() -> Result<Self> {
        let (here, there) = (Upstream::start().await?, Upstream::start().await?);
        let gate = Arc::new(Gate::before(here.at).await?);
        Ok(Self {
            at: [here.at, there.at],
            here: Mutex::new(here),
            there,
            gate,
        })
    }

    fn address(&self) -> Option<SocketAddr> {
        None
    }

    fn links(&self, place: Place) -> Vec<Wanted> {
        let [here, there] = self.at;
        let allowed = match place {
            Place::Here => here,
            Place::There => there,
            Place::Held => self.gate.address(),
        };
        vec![client(allowed.to_string())]
    }

    fn wrong(&self) -> (&'static str, Vec<Wanted>) {
        ("allowed_hosts", vec![client(String::new())])
    }

    async fn crash(&self, _: &Lattice) -> Result<()> {
        self.here.lock().await.crash().await;
        Ok(())
    }

    async fn resume(&self, _: &Lattice) -> Result<()> {
        self.here.lock().await.resume().await
    }

    fn away(&self) -> Option<String> {
        None
    }

    /// Asks each server until one is allowed.
    async fn call(&self, http: &Http, number: u32) -> Outcome {
        let [here, there] = self.at;
        let mut outcome = Outcome::Failed("nobody was asked".to_owned());
        for at in [here, there, self.gate.address()] {
            outcome = fetch(http, at, number).await;
            if !matches!(&outcome, Outcome::Failed(why) if why.starts_with("403")) {
                break;
            }
        }
        outcome
    }

    async fn kept(&self, place: Place) -> Result<u64> {
        let asked = match place {
            Place::Here | Place::Held => &self.here.lock().await.asked,
            Place::There => &self.there.asked,
        };
        Ok(asked.load(Ordering::SeqCst))
    }

    async fn hold(&self, stand: &Stand<Self>) -> Result<Held> {
        let at = self.gate.address();
        Held::at(stand, &self.gate, move |http, number| {
            async move { fetch(&http, at, number).await }.boxed()
        })
        .await
    }
}

fn client(allowed_hosts: String) -> Wanted {
    Wanted {
        source: CALLER,
        target: PROVIDER,
        name: "default",
        package: "wasi:http",
        interfaces: &["outgoing-handler"],
        settings: vec![
            ("allowed_hosts", allowed_hosts),
            ("allow_private", "127.0.0.1".to_owned()),
        ],
    }
}

async fn fetch(http: &Http, at: SocketAddr, number: u32) -> Outcome {
    let answer = http.get(&format!("/?url=http://{at}/n{number}")).await;
    Outcome::of(answer, |body| body == format!("/n{number}"))
}

/// A server that answers with the path that it was asked for.
struct Upstream {
    at: SocketAddr,
    asked: Arc<AtomicU64>,
    serving: JoinSet<()>,
}

impl Upstream {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut upstream = Self {
            at: listener.local_addr()?,
            asked: Arc::default(),
            serving: JoinSet::new(),
        };
        upstream.serve(listener);
        Ok(upstream)
    }

    fn serve(&mut self, listener: TcpListener) {
        let asked = self.asked.clone();
        self.serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let asked = asked.clone();
                let answer = service_fn(move |request: http::Request<_>| {
                    let path = Bytes::from(request.uri().path().to_owned());
                    asked.fetch_add(1, Ordering::SeqCst);
                    async move { Ok::<_, Infallible>(Response::new(Full::new(path))) }
                });
                connections
                    .spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
            }
        });
    }

    /// Closes all its sockets.
    async fn crash(&mut self) {
        self.serving.shutdown().await;
    }

    async fn resume(&mut self) -> Result<()> {
        let listener = TcpListener::bind(self.at).await.context("its port again")?;
        self.serve(listener);
        Ok(())
    }
}

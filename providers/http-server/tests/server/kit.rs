//! A lattice with an HTTP server and a component.

use std::{future::Future, net::SocketAddr};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use trellis_http_server::HttpServer;
use trellis_provider::{
    contract::ResolvedLink,
    rpc::{
        CallError, IncomingCall, Outgoing,
        interface::http::{Body, Request as WireRequest, Response as WireResponse},
        nats::Serving,
    },
};
use trellis_provider_testkit::{Host, NatsServer, Running, Side, answer, port};

/// The server's provider id.
pub const SERVER: &str = "http";

/// What is there while a test runs.
pub struct Lattice {
    /// The host's side.
    pub host: Host,
    /// The provider.
    pub running: Running,
    /// Where the first link listens.
    pub address: SocketAddr,
    /// The NATS server, last to go.
    pub _nats: NatsServer,
}

impl Lattice {
    /// Starts a server without links, and picks an address for one.
    pub async fn start(config: &[(&str, &str)]) -> Result<Self> {
        let nats = NatsServer::without_jetstream().await?;
        let host = Host::on(&nats).await?;
        let running =
            Running::start::<HttpServer>(&host, host.data(SERVER, config, Vec::new())?).await?;
        let address = SocketAddr::from(([127, 0, 0, 1], port::free()?));
        Ok(Self {
            host,
            running,
            address,
            _nats: nats,
        })
    }

    /// The link from the server to a component, with the lattice's address and more configuration.
    pub fn link(&self, component: &str, config: &[(&str, &str)]) -> ResolvedLink {
        let address = self.address.to_string();
        let mut config = config.to_vec();
        config.push(("address", &address));
        Side {
            source: SERVER,
            target: component,
            interface: "wasi:http/incoming-handler",
            config: &config,
        }
        .link()
    }

    /// The same under another name: a second link of the server.
    pub fn named(
        &self,
        name: &str,
        component: &str,
        config: &[(&str, &str)],
    ) -> Result<ResolvedLink> {
        let mut link = self.link(component, config);
        link.name = name.parse()?;
        Ok(link)
    }

    /// Puts a link and waits until it works.
    pub async fn put(&self, link: &ResolvedLink) -> Result<()> {
        self.host.put(SERVER, link).await?;
        trellis_provider_testkit::wait::until("the address is listened at", || async {
            tokio::net::TcpStream::connect(self.address).await?;
            Ok(())
        })
        .await?;
        self.host.until_healthy(SERVER, true).await?;
        Ok(())
    }

    /// A component that answers requests.
    pub async fn component<F, Fut>(&self, id: &str, handle: F) -> Result<Serving>
    where
        F: Fn(WireRequest) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<WireResponse, CallError>> + Send + 'static,
    {
        answer(&self.host, id, move |call: IncomingCall| {
            let handle = handle.clone();
            async move {
                let request = WireRequest::from_params(call.params)?;
                Ok::<Outgoing, CallError>(WireResponse::into_result(Ok(handle(request).await?)))
            }
        })
        .await
    }

    /// Components that answer with their own names and the paths that they see.
    pub async fn named_components(&self, ids: &[&'static str]) -> Result<Vec<Serving>> {
        let mut components = Vec::new();
        for id in ids.iter().copied() {
            let answer = move |request: WireRequest| async move {
                let path = request.path_with_query.unwrap_or_default();
                Ok(text(200, format!("{id} {path}")))
            };
            components.push(self.component(id, answer).await?);
        }
        Ok(components)
    }

    /// Whatever the path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// A response without headers.
pub fn text(status: u16, body: impl Into<Bytes>) -> WireResponse {
    WireResponse {
        status,
        headers: Vec::new(),
        body: Body::Full(body.into()),
    }
}

/// A request's body as a test gives it.
pub type ClientBody = UnsyncBoxBody<Bytes, CallError>;

/// A client for one version of HTTP.
pub fn client(http2: bool) -> Client<HttpConnector, ClientBody> {
    Client::builder(TokioExecutor::new())
        .http2_only(http2)
        .build_http()
}

/// A body of known length.
pub fn full(bytes: impl Into<Bytes>) -> ClientBody {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// Sends a request and reads the answer whole.
pub async fn send(
    client: &Client<HttpConnector, ClientBody>,
    request: Request<ClientBody>,
) -> Result<Response<Bytes>> {
    let response = client.request(request).await.context("no response")?;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.context("the response broke off")?;
    Ok(Response::from_parts(parts, body.to_bytes()))
}

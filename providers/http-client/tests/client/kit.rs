//! A lattice with an HTTP client and a component that is linked to it.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use trellis_http_client::HttpClient;
use trellis_provider::{
    contract::{LinkName, ResolvedLink},
    rpc::{
        Call, CallContext, CallError,
        interface::http::{
            Body, ErrorCode, Method, Request, RequestOptions, Response, Scheme, outgoing_handle,
        },
    },
};
use trellis_provider_testkit::{Host, NatsServer, Running, Side};

/// The client's provider id.
pub const CLIENT: &str = "client";
/// The component that is linked to it.
pub const COMPONENT: &str = "shop";

/// What is there while a test runs.
pub struct Lattice {
    /// The host's side.
    pub host: Host,
    /// The provider.
    pub running: Running,
    /// The NATS server, last to go.
    _nats: NatsServer,
}

impl Lattice {
    /// Starts a client with a link of that configuration.
    pub async fn start(config: &[(&str, &str)]) -> Result<Self> {
        Self::with_links(&[], vec![link(COMPONENT, config)]).await
    }

    /// Starts a client that may reach this machine, which all servers here are on.
    pub async fn open() -> Result<Self> {
        Self::start(&[("allow_private", "true")]).await
    }

    /// Starts a client with a configuration of its own, and links.
    pub async fn with_links(own: &[(&str, &str)], links: Vec<ResolvedLink>) -> Result<Self> {
        let nats = NatsServer::without_jetstream().await?;
        let host = Host::on(&nats).await?;
        let data = host.data(CLIENT, own, links)?;
        let running = Running::start::<HttpClient>(&host, data).await?;
        Ok(Self {
            host,
            running,
            _nats: nats,
        })
    }

    /// Has the component make a request.
    pub async fn ask(&self, request: Request) -> Result<Result<Response, ErrorCode>, CallError> {
        self.ask_as(COMPONENT, request, None).await
    }

    /// Has a component make a request, with options.
    pub async fn ask_as(
        &self,
        component: &str,
        request: Request,
        options: Option<RequestOptions>,
    ) -> Result<Result<Response, ErrorCode>, CallError> {
        let client = CLIENT
            .parse()
            .map_err(|error| CallError::Failed(format!("the test's id: {error}")))?;
        let call = Call {
            operation: outgoing_handle().clone(),
            context: CallContext {
                source_id: Some(component.into()),
                link_name: Some(LinkName::default().to_shared()),
                ..CallContext::default()
            },
            params: request.into_outgoing_params(options),
        };
        Response::from_result(self.host.rpc().route(&client).call(call).await?)
    }

    /// Has the component make a request that must have a response.
    pub async fn respond(&self, request: Request) -> Result<Response> {
        let answer = self.ask(request).await?;
        answer.map_err(|code| anyhow::anyhow!("no response: {code:?}"))
    }

    /// Gets a URL, whole.
    pub async fn get(&self, url: &str) -> Result<(u16, Bytes)> {
        let response = self.respond(get(url)?).await?;
        let status = response.status;
        Ok((status, whole(response).await?))
    }

    /// What the component is told instead of a response.
    pub async fn refusal(&self, request: Request) -> Result<ErrorCode> {
        let answer = self.ask(request).await?;
        answer.err().context("there is a response")
    }
}

/// The link of a component to the client.
pub fn link(component: &str, config: &[(&str, &str)]) -> ResolvedLink {
    Side {
        source: component,
        target: CLIENT,
        interface: "wasi:http/outgoing-handler",
        config,
    }
    .link()
}

/// A request for a URL without a body.
pub fn get(url: &str) -> Result<Request> {
    request("GET", url, Body::empty())
}

/// A request for a URL.
pub fn request(method: &str, url: &str, body: Body) -> Result<Request> {
    let (scheme, rest) = url.split_once("://").context("a URL has a scheme")?;
    let path = rest.find('/').unwrap_or(rest.len());
    Ok(Request {
        method: Method::of(method),
        path_with_query: Some(rest[path..].to_owned()),
        scheme: Some(match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            other => Scheme::Other(other.to_owned()),
        }),
        authority: Some(rest[..path].to_owned()),
        headers: Vec::new(),
        body,
    })
}

/// A header as it stands on the wire.
pub fn field(name: &str, value: &'static str) -> (String, Vec<Bytes>) {
    (name.to_owned(), vec![Bytes::from_static(value.as_bytes())])
}

/// The first value of a response's header.
pub fn header(response: &Response, name: &str) -> Option<String> {
    let (_, values) = response.headers.iter().find(|(header, _)| header == name)?;
    String::from_utf8(values.first()?.to_vec()).ok()
}

/// A response's body.
pub async fn whole(response: Response) -> Result<Bytes, CallError> {
    response.body.collect(1 << 30).await
}

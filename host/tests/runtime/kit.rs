//! A host's runtime without the host: actors and handlers call each other in process, as they do on one host.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use dashmap::DashMap;
use futures::{FutureExt as _, future::BoxFuture};
use tokio_util::sync::CancellationToken;
use trellis_host::{
    links::{LinkTable, Routes},
    runtime::{Actor, ActorOptions, Limits, Local, LocalActors, Module, Runtime, RuntimeConfig},
};
use trellis_lattice::{ComponentId, Link};
use trellis_rpc::{
    Call, CallContext, CallError, Channels, Handler, Incoming, IncomingCall, Operation, Outgoing,
    Route, RouteKind,
    interface::http::{Body, Method, Request, Response, handle},
};

/// How long a test waits for what should happen at once.
pub const SOON: Duration = Duration::from_secs(20);

/// The bytes of an actor.
pub fn guest(name: &str) -> Bytes {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../target/actors")
        .join(format!("{name}.wasm"));
    match std::fs::read(&path) {
        Ok(bytes) => bytes.into(),
        Err(error) => panic!(
            "{}: {error}; run `cargo xtask guests` first",
            path.display()
        ),
    }
}

/// One host's worth of actors.
pub struct Kit {
    pub runtime: Arc<Runtime>,
    pub links: Arc<LinkTable>,
    targets: Arc<Targets>,
    linked: Mutex<BTreeMap<ComponentId, Vec<Link>>>,
}

impl Kit {
    pub fn new() -> Self {
        Self::with(few_calls())
    }

    /// One whose actors call each other as if they were on different hosts: in the wire's encoding.
    pub fn wired() -> Self {
        Self::with_targets(few_calls(), Arc::default())
    }

    /// One whose actors and handlers reach each other over a way of the test's own, as if on different hosts.
    pub fn over(config: RuntimeConfig, way: Arc<dyn Way>) -> Self {
        let targets = Targets {
            way: Some(way),
            ..Targets::default()
        };
        Self::with_targets(config, Arc::new(targets))
    }

    pub fn with(config: RuntimeConfig) -> Self {
        let targets = Targets {
            locals: Some(Arc::default()),
            ..Targets::default()
        };
        Self::with_targets(config, Arc::new(targets))
    }

    fn with_targets(config: RuntimeConfig, targets: Arc<Targets>) -> Self {
        Self {
            runtime: Runtime::new(config).unwrap(),
            links: Arc::new(LinkTable::new(targets.clone())),
            targets,
            linked: Mutex::default(),
        }
    }

    pub async fn load(&self, name: &str) -> Arc<Module> {
        self.runtime.load(guest(name)).await.unwrap()
    }

    /// Starts an actor under the name of its component.
    pub async fn start(&self, name: &str) -> Arc<Actor> {
        self.start_with(name, |_| {}).await
    }

    pub async fn start_with(
        &self,
        name: &str,
        change: impl FnOnce(&mut ActorOptions),
    ) -> Arc<Actor> {
        self.start_bytes(name, guest(name), change).await
    }

    /// Starts a component that is no file.
    pub async fn start_bytes(
        &self,
        name: &str,
        wasm: impl Into<Bytes>,
        change: impl FnOnce(&mut ActorOptions),
    ) -> Arc<Actor> {
        let module = self.runtime.load(wasm).await.unwrap();
        let mut options = ActorOptions {
            id: id(name),
            max_instances: 16,
            limits: Limits::default(),
            config: BTreeMap::new(),
            links: self.links.clone(),
        };
        change(&mut options);
        let actor = Actor::start(&self.runtime, &module, options).unwrap();
        self.reach(actor.id().as_str(), actor.clone()).await;
        if let Some(locals) = &self.targets.locals {
            locals.add(&actor);
        }
        actor
    }

    /// Lets a handler be called under a name.
    pub fn serve(&self, target: &str, handler: Arc<dyn Handler>) {
        self.targets.handlers.insert(id(target), handler);
    }

    /// The same, and over the kit's way if it has one: when this ends, calls reach the handler.
    pub async fn reach(&self, target: &str, handler: Arc<dyn Handler>) {
        if let Some(way) = &self.targets.way {
            way.serve(id(target), handler.clone()).await;
        }
        self.serve(target, handler);
    }

    /// The way to a target as a host has it: in process to an actor that runs here and has room.
    pub fn route(&self, target: &str) -> Arc<dyn Route> {
        let target = id(target);
        let otherwise = self.targets.route(&target);
        match &self.targets.locals {
            Some(locals) => locals.route(&target, otherwise),
            None => otherwise,
        }
    }

    /// Puts a link of that name, for example `link("a", "default", "wasi:keyvalue/store,atomics", "kv")`.
    pub fn link(&self, source: &str, name: &str, interfaces: &str, target: &str) {
        let link = link(source, name, interfaces, target);
        let mut linked = self.linked.lock().unwrap();
        let links = linked.entry(id(source)).or_default();
        links.retain(|other| other.key() != link.key());
        links.push(link);
        self.links.set_links(&id(source), links);
    }

    pub fn unlink_all(&self, source: &str) {
        self.linked.lock().unwrap().remove(&id(source));
        self.links.set_links(&id(source), &[]);
    }
}

fn few_calls() -> RuntimeConfig {
    RuntimeConfig {
        max_calls: 64,
        ..RuntimeConfig::default()
    }
}

/// A link as [`Kit::link`] puts it.
pub fn link(source: &str, name: &str, interfaces: &str, target: &str) -> Link {
    let (package, interfaces) = interfaces.split_once('/').unwrap();
    let (namespace, package) = package.split_once(':').unwrap();
    Link {
        source_id: id(source),
        target: id(target),
        name: name.parse().unwrap(),
        wit_namespace: namespace.to_owned(),
        wit_package: package.to_owned(),
        interfaces: interfaces.split(',').map(str::to_owned).collect(),
        source_config: vec![],
        target_config: vec![],
        within: None,
    }
}

pub fn id(name: &str) -> ComponentId {
    ComponentId::new(name.replace('_', "-")).unwrap()
}

/// A way between hosts.
pub trait Way: Send + Sync {
    /// Lets a handler be called over it; when this ends, calls reach it.
    fn serve(&self, target: ComponentId, handler: Arc<dyn Handler>) -> BoxFuture<'_, ()>;

    /// The way to a target.
    fn route(&self, target: &ComponentId) -> Arc<dyn Route>;
}

#[derive(Default)]
struct Targets {
    handlers: Arc<DashMap<ComponentId, Arc<dyn Handler>>>,
    locals: Option<Arc<LocalActors>>,
    way: Option<Arc<dyn Way>>,
}

impl Routes for Targets {
    fn route(&self, target: &ComponentId) -> Arc<dyn Route> {
        if let Some(way) = &self.way {
            return way.route(target);
        }
        Arc::new(InProcess {
            target: target.clone(),
            handlers: self.handlers.clone(),
        })
    }

    fn place(&self, target: &ComponentId) -> Option<Arc<Local>> {
        Some(self.locals.as_ref()?.place(target))
    }
}

struct InProcess {
    target: ComponentId,
    handlers: Arc<DashMap<ComponentId, Arc<dyn Handler>>>,
}

impl std::fmt::Debug for InProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "in process to {}", self.target)
    }
}

impl Route for InProcess {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Incoming, CallError>> {
        async move {
            let target = self.target.to_string();
            let handler = self
                .handlers
                .get(&self.target)
                .map(|handler| handler.value().clone())
                .ok_or(CallError::NoResponder { target })?;
            invoke(handler, call.operation, call.context, call.params).await
        }
        .boxed()
    }

    fn kind(&self) -> RouteKind {
        RouteKind::InProcess
    }
}

/// Calls a handler as a route does.
pub async fn invoke(
    handler: Arc<dyn Handler>,
    operation: Operation,
    context: CallContext,
    params: Outgoing,
) -> Result<Incoming, CallError> {
    let params = Incoming {
        root: params.root,
        channels: Channels::ready(params.channels),
    };
    let cancelled = CancellationToken::new();
    let results = handler
        .handle(IncomingCall {
            operation,
            context,
            params,
            cancelled,
        })
        .await?;
    Ok(Incoming {
        root: results.root,
        channels: Channels::ready(results.channels),
    })
}

/// A request that is not sent yet.
pub struct Ask {
    pub request: Request,
    pub context: CallContext,
}

/// An answer whose body was read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, Vec<Bytes>)>,
    pub body: Bytes,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

pub fn ask(method: &str, path: &str) -> Ask {
    let request = Request {
        method: Method::of(method),
        path_with_query: Some(path.to_owned()),
        scheme: None,
        authority: Some("actors.test".to_owned()),
        headers: vec![],
        body: Body::empty(),
    };
    Ask {
        request,
        context: CallContext::default(),
    }
}

impl Ask {
    pub fn body(mut self, body: impl Into<Content>) -> Self {
        self.request.body = body.into().0;
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        let value = Bytes::copy_from_slice(value.as_bytes());
        self.request.headers.push((name.to_owned(), vec![value]));
        self
    }

    pub fn within(mut self, time: Duration) -> Self {
        self.context.deadline = Some(Instant::now() + time);
        self
    }

    /// The answer with its body unread.
    pub async fn begin(self, actor: &Arc<Actor>) -> Result<Response, CallError> {
        let results = invoke(
            actor.clone(),
            handle().clone(),
            self.context,
            self.request.into_params(),
        )
        .await?;
        Ok(Response::from_result(results)?.unwrap())
    }

    pub async fn send(self, actor: &Arc<Actor>) -> Result<Answer, CallError> {
        let response = self.begin(actor).await?;
        let body = response.body.collect(64 << 20).await?;
        Ok(Answer {
            status: response.status,
            headers: response.headers,
            body,
        })
    }
}

/// A body, from whatever a test has.
pub struct Content(pub Body);

impl From<&'static str> for Content {
    fn from(text: &'static str) -> Self {
        Self(Body::Full(Bytes::from_static(text.as_bytes())))
    }
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Self(Body::Full(bytes))
    }
}

impl From<Body> for Content {
    fn from(body: Body) -> Self {
        Self(body)
    }
}

/// `GET` and the whole answer.
pub async fn get(actor: &Arc<Actor>, path: &str) -> Result<Answer, CallError> {
    ask("GET", path).send(actor).await
}

/// Waits until something is so.
pub async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !so() {
        assert!(
            Instant::now() < end,
            "waited {SOON:?} in vain for this: {what}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

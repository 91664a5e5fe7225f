//! The provider's place in the lattice: who it is, its NATS connection, and calls to components.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use trellis_lattice::{
    ComponentId, HostId, LatticeName, Place, Within, connect::NatsSettings,
    control::host::CallsMade, provider::HostData,
};
use trellis_rpc::{
    Call, CallContext, CallCounts, CallError, Handler, Incoming, Operation, Outgoing, Route,
    RouteKind, ServeOptions, codec,
    interface::Function,
    nats::{self, NatsOptions, NatsRpc, RouteOptions, Whereabouts},
    socket::{self, SocketOptions, SocketRpc},
    trace::TraceContext,
    trail::{Trail, Who},
};

use crate::link::LinkConfig;

/// How long a call may take when neither the host data nor the caller says so; 1.x's default.
const DEFAULT_CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// The provider's place in the lattice. Cheap to clone.
#[derive(Clone)]
pub struct Lattice {
    inner: Arc<Inner>,
}

struct Inner {
    provider_id: ComponentId,
    host_id: HostId,
    name: LatticeName,
    settings: NatsSettings,
    client: async_nats::Client,
    rpc: NatsRpc,
    /// To the host that started this provider, if it offers that.
    nearby: Option<SocketRpc>,
    call_timeout: Duration,
    /// The calls to components.
    counts: Arc<CallCounts>,
    js_domain: Option<String>,
    bind: Option<IpAddr>,
}

/// The settings to reach the lattice with, from the host data.
pub(crate) fn nats_settings(data: &HostData) -> NatsSettings {
    let given = |text: &String| (!text.is_empty()).then(|| text.clone());
    let tls = data.trellis_tls.clone().unwrap_or_default();
    NatsSettings {
        jwt: given(&data.lattice_rpc_user_jwt),
        seed: given(&data.lattice_rpc_user_seed),
        tls_ca: tls.ca,
        tls_first: tls.first,
        ..NatsSettings::new(&*data.lattice_rpc_url)
    }
}

impl Lattice {
    pub(crate) fn new(data: &HostData, settings: NatsSettings, client: async_nats::Client) -> Self {
        let whereabouts = Whereabouts {
            host: Some(data.host_id.clone()),
            place: data.trellis_place.clone(),
        };
        let (lattice, options) = (data.lattice_rpc_prefix.clone(), NatsOptions::default());
        let rpc = NatsRpc::at(client.clone(), lattice, options, whereabouts);
        let nearby = data
            .trellis_socket
            .clone()
            .map(|socket| SocketRpc::connect(socket.path, socket.token, SocketOptions::default()));
        let call_timeout = data
            .default_rpc_timeout_ms
            .map_or(DEFAULT_CALL_TIMEOUT, Duration::from_millis);
        Self {
            inner: Arc::new(Inner {
                provider_id: data.provider_key.clone(),
                host_id: data.host_id.clone(),
                name: data.lattice_rpc_prefix.clone(),
                settings,
                client,
                rpc,
                nearby,
                call_timeout,
                counts: Arc::default(),
                js_domain: data.trellis_js_domain.clone(),
                bind: data.trellis_bind,
            }),
        }
    }

    /// This provider's id.
    pub fn provider_id(&self) -> &ComponentId {
        &self.inner.provider_id
    }

    /// The host that started this provider.
    pub fn host_id(&self) -> &HostId {
        &self.inner.host_id
    }

    /// The lattice's name.
    pub fn name(&self) -> &LatticeName {
        &self.inner.name
    }

    /// The connection that calls and control messages go over. It reconnects by itself, for ever.
    pub fn nats(&self) -> &async_nats::Client {
        &self.inner.client
    }

    /// Where that connection goes, for a provider that wants another one to the same server.
    pub fn nats_settings(&self) -> &NatsSettings {
        &self.inner.settings
    }

    /// How long a call may take when nothing else is said.
    pub fn call_timeout(&self) -> Duration {
        self.inner.call_timeout
    }

    /// Where the provider is: where its host is, if that is anywhere in particular.
    pub fn place(&self) -> Option<&Place> {
        self.inner.rpc.place()
    }

    /// The JetStream domain of the lattice's state, where it isn't that of the server which [`Self::nats`] goes to.
    pub fn js_domain(&self) -> Option<&str> {
        self.inner.js_domain.as_deref()
    }

    /// Where to listen that was told to listen at an address: at the host's own (`trellis host --bind`) instead of none in
    /// particular (`0.0.0.0`, `[::]`), so that one manifest fits a machine of several hosts, too.
    pub fn listen_address(&self, told: SocketAddr) -> SocketAddr {
        match self.inner.bind {
            Some(bind) if told.ip().is_unspecified() => SocketAddr::new(bind, told.port()),
            _ => told,
        }
    }

    /// The calls to components so far, by the way they went and by where they were served.
    pub fn calls_made(&self) -> CallsMade {
        self.inner.counts.tell()
    }

    /// Calls to one component: over the host's socket while the component runs on that host, else over NATS: in this PoP
    /// while it runs there, else in the nearest one. Make it when the link is put and keep it: it holds the route.
    ///
    /// A link may have a residency bound, which [`Self::linked`] keeps to.
    pub fn component(&self, id: &ComponentId) -> Component {
        self.to(id, None)
    }

    /// Calls over a link to its target, within the link's residency bound if it has one.
    pub fn linked<C>(&self, link: &LinkConfig<C>) -> Component {
        self.to(&link.target_id, link.within.clone())
    }

    fn to(&self, id: &ComponentId, within: Option<Within>) -> Component {
        let inner = &self.inner;
        let counts = Some(inner.counts.clone());
        let options = RouteOptions {
            within,
            counts: counts.clone(),
        };
        let anywhere = inner.rpc.route_with(id, options);
        let route = match &inner.nearby {
            Some(nearby) => nearby.route_counted(id, anywhere, counts),
            None => anywhere,
        };
        Component {
            route,
            source_id: inner.provider_id.to_shared(),
            id: id.clone(),
            timeout: inner.call_timeout,
            here: Who {
                host: Some(inner.host_id.to_shared()),
                pop: self.place().map(|place| place.pop.clone()),
            },
        }
    }

    /// Serves this provider's calls, whatever way they come.
    ///
    /// # Errors
    /// [`CallError::Transport`] when the connection to NATS is closed.
    pub(crate) async fn serve(
        &self,
        handler: Arc<dyn Handler>,
        options: ServeOptions,
    ) -> Result<Serving, CallError> {
        let id = &self.inner.provider_id;
        let anywhere = self
            .inner
            .rpc
            .serve(id, handler.clone(), options.clone())
            .await?;
        let nearby = self.inner.nearby.as_ref();
        Ok(Serving {
            anywhere,
            nearby: nearby.map(|nearby| nearby.serve(id, handler, options)),
        })
    }
}

impl fmt::Debug for Lattice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lattice")
            .field("name", self.name())
            .field("provider_id", self.provider_id())
            .finish_non_exhaustive()
    }
}

/// A provider's calls being served, over NATS and over the host's socket.
#[derive(Debug)]
pub(crate) struct Serving {
    anywhere: nats::Serving,
    nearby: Option<socket::Serving>,
}

impl Serving {
    /// Takes no more calls and lets those that run finish.
    pub(crate) async fn drain(self) {
        // First the lattice: who is told that it is gone here must not find the way back over NATS.
        self.anywhere.leave().await;
        let nearby = async {
            if let Some(nearby) = self.nearby {
                nearby.drain().await;
            }
        };
        futures::future::join(self.anywhere.drain(), nearby).await;
    }
}

/// A component that this provider calls over a link.
#[derive(Clone, Debug)]
pub struct Component {
    route: Arc<dyn Route>,
    source_id: Arc<str>,
    id: ComponentId,
    timeout: Duration,
    /// Who answers over the socket.
    here: Who,
}

/// How one call is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallOptions {
    /// How long it may take; the host data's default when not given.
    pub timeout: Option<Duration>,
    /// The trace it belongs to.
    pub trace: Option<TraceContext>,
}

impl Component {
    /// Its id.
    pub fn id(&self) -> &ComponentId {
        &self.id
    }

    /// Calls a function with values that may hold streams.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call(
        &self,
        operation: Operation,
        params: Outgoing,
        options: CallOptions,
    ) -> Result<Incoming, CallError> {
        self.send(operation, params, options, None).await
    }

    /// The same, and who answered, if anybody did: a 1.x callee does not say who it is. Over NATS this takes two headers
    /// more.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call_and_who(
        &self,
        operation: Operation,
        params: Outgoing,
        options: CallOptions,
    ) -> (Result<Incoming, CallError>, Option<Who>) {
        let trail = Trail::new();
        let result = self.send(operation, params, options, Some(trail.clone()));
        let result = result.await;
        let who = trail.answered().map(|(way, who)| match way {
            RouteKind::UnixSocket => self.here.clone(),
            _ => who,
        });
        (result, who)
    }

    async fn send(
        &self,
        operation: Operation,
        params: Outgoing,
        options: CallOptions,
        trail: Option<Arc<Trail>>,
    ) -> Result<Incoming, CallError> {
        let timeout = options.timeout.unwrap_or(self.timeout);
        let context = CallContext {
            source_id: Some(self.source_id.clone()),
            target_id: Some(self.id.to_shared()),
            link_name: None,
            // A timeout beyond what the clock can say is no deadline.
            deadline: Instant::now().checked_add(timeout),
            trace: options.trace,
            trail,
        };
        self.route
            .call(Call {
                operation,
                context,
                params,
            })
            .await
    }

    /// Calls a function whose types Rust knows; see [`trellis_rpc::wire_functions!`].
    ///
    /// # Errors
    /// See [`CallError`]; [`CallError::Malformed`] when the result isn't of the type.
    pub async fn invoke<F: Function>(
        &self,
        params: &F::Params,
        options: CallOptions,
    ) -> Result<F::Result, CallError> {
        let params = Outgoing::unary(codec::to_bytes(params));
        F::decode_result(self.call(F::operation().clone(), params, options).await?)
    }
}

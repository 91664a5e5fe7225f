//! The provider's place in the lattice: who it is, its NATS connection, and calls to components.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use trellis_lattice::{
    ComponentId, HostId, LatticeName, connect::NatsSettings, provider::HostData,
};
use trellis_rpc::{
    Call, CallContext, CallError, Handler, Incoming, Operation, Outgoing, Route, ServeOptions,
    codec,
    interface::Function,
    nats::{self, NatsRpc},
    socket::{self, SocketOptions, SocketRpc},
    trace::TraceContext,
};

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
}

/// The settings to reach the lattice with, from the host data.
pub(crate) fn nats_settings(data: &HostData) -> NatsSettings {
    let given = |text: &String| (!text.is_empty()).then(|| text.clone());
    NatsSettings {
        jwt: given(&data.lattice_rpc_user_jwt),
        seed: given(&data.lattice_rpc_user_seed),
        ..NatsSettings::new(&*data.lattice_rpc_url)
    }
}

impl Lattice {
    pub(crate) fn new(data: &HostData, settings: NatsSettings, client: async_nats::Client) -> Self {
        let rpc = NatsRpc::new(client.clone(), data.lattice_rpc_prefix.clone());
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

    /// Calls to one component: over the host's socket while the component runs on that host, else over NATS. Make it
    /// when the link is put and keep it: it holds the route.
    pub fn component(&self, id: &ComponentId) -> Component {
        let anywhere = self.inner.rpc.route(id);
        let route = match &self.inner.nearby {
            Some(nearby) => nearby.route(id, anywhere),
            None => anywhere,
        };
        Component {
            route,
            source_id: self.inner.provider_id.to_shared(),
            id: id.clone(),
            timeout: self.inner.call_timeout,
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
        let timeout = options.timeout.unwrap_or(self.timeout);
        let context = CallContext {
            source_id: Some(self.source_id.clone()),
            target_id: Some(self.id.to_shared()),
            link_name: None,
            // A timeout beyond what the clock can say is no deadline.
            deadline: Instant::now().checked_add(timeout),
            trace: options.trace,
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

//! What a call is: the same for the caller, the callee and every route between them.

use std::{fmt, sync::Arc, time::Instant};

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::{
    channel::{ByteStream, Channels, Path},
    error::CallError,
    trace::TraceContext,
    trail::Trail,
};

/// The function that is called: a WIT interface with its version, and the function's wire name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Operation {
    /// `namespace:package/interface@version`, for example `wrpc:keyvalue/store@0.2.0-draft`.
    pub instance: Arc<str>,
    /// The wire name: `get`, `bucket.get` for a method or static function, `bucket` for a constructor.
    pub function: Arc<str>,
}

impl Operation {
    /// An operation of that interface and function.
    pub fn new(instance: impl Into<Arc<str>>, function: impl Into<Arc<str>>) -> Self {
        Self {
            instance: instance.into(),
            function: function.into(),
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.instance, self.function)
    }
}

/// What travels beside the values: who calls, over which link, until when, as part of which trace.
#[derive(Clone, Debug, Default)]
pub struct CallContext {
    /// The component or provider that calls (header `source-id`).
    pub source_id: Option<Arc<str>>,
    /// The component or provider that is called (header `target-id`).
    pub target_id: Option<Arc<str>>,
    /// The link the call goes over (header `link-name`).
    pub link_name: Option<Arc<str>>,
    /// When the caller stops waiting. Travels as milliseconds left, so clocks need not agree.
    pub deadline: Option<Instant>,
    /// W3C trace context (header `traceparent`).
    pub trace: Option<TraceContext>,
    /// Where to note the way that the call goes; it stays with the caller.
    pub trail: Option<Arc<Trail>>,
}

/// One direction of a call, on its way out: the root values, and what is still being produced.
pub struct Outgoing {
    /// The encoded parameters or results, whole.
    pub root: Bytes,
    /// Pending streams and futures by their path. Each yields encoded chunks; its end ends the channel.
    pub channels: Vec<(Path, ByteStream)>,
}

impl Outgoing {
    /// Values with nothing pending.
    pub fn unary(root: impl Into<Bytes>) -> Self {
        Self {
            root: root.into(),
            channels: Vec::new(),
        }
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<_> = self.channels.iter().map(|(path, _)| path).collect();
        f.debug_struct("Outgoing")
            .field("root_bytes", &self.root.len())
            .field("channels", &paths)
            .finish()
    }
}

/// One direction of a call, as it arrives: the root values whole, streams and futures as they come.
#[derive(Debug)]
pub struct Incoming {
    /// The encoded parameters or results, whole.
    pub root: Bytes,
    /// The pending streams and futures, to be taken by path. Dropping it ends their delivery.
    pub channels: Channels,
}

/// A call as the caller makes it. The route knows the target.
#[derive(Debug)]
pub struct Call {
    /// What is called.
    pub operation: Operation,
    /// Who calls and until when.
    pub context: CallContext,
    /// The encoded parameters.
    pub params: Outgoing,
}

/// A call as the callee gets it.
#[derive(Debug)]
pub struct IncomingCall {
    /// What is called.
    pub operation: Operation,
    /// Who calls and until when.
    pub context: CallContext,
    /// The encoded parameters.
    pub params: Incoming,
    /// Cancelled when the caller gave up or its deadline passed: work on it is wasted from then on.
    pub cancelled: CancellationToken,
}

/// The ways a call can travel; a label on metrics and traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteKind {
    /// Both actors are on this host.
    InProcess,
    /// A provider process on this machine.
    UnixSocket,
    /// Anywhere in the lattice.
    Nats,
}

impl fmt::Display for RouteKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InProcess => "in process",
            Self::UnixSocket => "socket",
            Self::Nats => "NATS",
        })
    }
}

/// A way to one target. What the caller sees is the same on every route.
pub trait Route: Send + Sync + fmt::Debug + 'static {
    /// Makes one call and waits for its root results; streams among them arrive afterwards.
    ///
    /// Dropping the future cancels the call and tells the callee so.
    ///
    /// # Errors
    /// See [`CallError`]: no such target, deadline passed, refused, or failed on the other side.
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Incoming, CallError>>;

    /// Which kind of route this is.
    fn kind(&self) -> RouteKind;
}

/// What answers calls: an actor on a host, or a provider.
pub trait Handler: Send + Sync + 'static {
    /// Answers one call. Runs under the serving side's deadline and is dropped when it passes.
    ///
    /// # Errors
    /// A [`CallError`] travels back to the caller with its kind and message.
    fn handle(
        self: Arc<Self>,
        call: IncomingCall,
    ) -> BoxFuture<'static, Result<Outgoing, CallError>>;
}

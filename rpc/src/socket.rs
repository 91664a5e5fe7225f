//! The Unix-socket route: calls between a host and the providers beside it, both ways over one connection each.
//!
//! # On the wire
//! Both ends are ours, so both check what they are sent: a frame that may not come ends the connection, whose calls then
//! fail or, if they can't have begun, are given back and take the other way.
//!
//! 1. Who connects says `Hello` with the token that its host gave it, and is told `Welcome` or `Refused`. Whose socket
//!    it is has been checked before: only processes of our own user come so far.
//! 2. Both say which targets they serve (`Here`, `Gone`). A provider serves itself only.
//! 3. What calls have in common (operation, source, target, link) is said once (`Head`) and numbered. The source of a
//!    provider's calls is whom its token belongs to, whatever it says.
//! 4. A simple call is two frames: `Call` with the parameters, `Results` or `Failed`. Longer values go on in `Params` and
//!    `MoreResults`, in parts, between which others have their turn.
//! 5. Streams and futures are announced with the values they are part of, and sent as `Data` up to `End` or `Broken`.
//!    The writer stays within what the reader granted: for results at first what the handshake says, for parameters
//!    nothing, so that a call that is not read can still go another way. `Stop` asks the writer to stop. A chunk counts
//!    as its bytes and 64.
//! 6. A caller that gives up sends `Cancel`.

mod answer;
mod channel;
mod connect;
mod connection;
mod exchange;
mod frame;
mod frames;
mod halves;
mod link;
mod listen;
mod outbox;
mod reader;
mod route;
mod served;
mod stream;
mod targets;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use trellis_lattice::ComponentId;

pub use self::served::Serving;
use self::{listen::SocketFile, route::SocketRoute, served::Registry, targets::Targets};
use crate::{CallCounts, Handler, Route, ServeOptions};

/// Bounds of the calls over sockets.
#[derive(Clone, Debug)]
pub struct SocketOptions {
    /// How long a caller waits that gives no deadline. Default: 30 s.
    pub default_deadline: Duration,
    /// How many bytes of each stream may be on their way or unread; at least 1 KiB. Default: 256 KiB.
    pub window_bytes: usize,
    /// The most that the parameters or the results of a call may have, without streams. Default: 64 MiB.
    pub max_message_bytes: usize,
    /// How many bytes may wait to be written to a connection before calls wait. Default: 8 MiB.
    pub max_queued_bytes: usize,
    /// How long a handshake may take. Default: 2 s.
    pub handshake_timeout: Duration,
    /// How many connections there may be at once. Default: 1024.
    pub max_connections: usize,
    /// How long no connection is taken after one could not be, as when there are too many open files. Default: 100 ms.
    pub accept_pause: Duration,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            default_deadline: Duration::from_secs(30),
            window_bytes: 256 << 10,
            max_message_bytes: 64 << 20,
            max_queued_bytes: 8 << 20,
            handshake_timeout: Duration::from_secs(2),
            max_connections: 1024,
            accept_pause: Duration::from_millis(100),
        }
    }
}

/// Decides who may connect.
pub trait Admission: Send + Sync + 'static {
    /// Whose token that is; nobody's is refused. Called for every connection, from the reactor: it must not block.
    fn admit(&self, token: &str) -> Option<ComponentId>;
}

/// A socket that can't be listened on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// The file can't be made.
    #[error(
        "no socket could be made at {}: {error}. Its folder must exist and be writable",
        path.display()
    )]
    Bind {
        /// The socket's file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Something is there already.
    #[error(
        "no socket was made at {}: {why}; stop that or name another path",
        path.display()
    )]
    Taken {
        /// The socket's file.
        path: PathBuf,
        /// What is there.
        why: &'static str,
    },
    /// A socket's address can't hold the path.
    #[error("{} is too long for a socket's path; name a shorter one", path.display())]
    PathTooLong {
        /// The socket's file.
        path: PathBuf,
    },
}

/// Calls over Unix sockets. Cheap to clone; the last clone to be dropped ends all connections. Routes and servings made
/// by it don't keep it: without it, calls go the other way.
#[derive(Clone)]
pub struct SocketRpc {
    shared: Arc<Shared>,
    _task: Arc<AbortOnDropHandle<()>>,
}

/// What every connection shares.
#[derive(Debug)]
struct Shared {
    options: Arc<SocketOptions>,
    registry: Arc<Registry>,
    targets: Arc<Targets>,
    connected: watch::Sender<usize>,
}

/// A connection that is counted for as long as this lives.
struct Counted(Arc<Shared>);

impl SocketRpc {
    /// Listens at that path: makes a socket there with mode 0600, in place of one that nobody listens on any more, and
    /// removes it in the end. Takes connections of processes of our own user, and then of those only whose token
    /// `admission` knows.
    ///
    /// # Errors
    /// [`SocketError`] when there is no socket to be made.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn listen(
        path: &Path,
        admission: Arc<dyn Admission>,
        options: SocketOptions,
    ) -> Result<Self, SocketError> {
        let (file, listener) = SocketFile::bind(path)?;
        let shared = Shared::new(options);
        let task = listen::listen(listener, file, shared.clone(), admission);
        Ok(Self::running(shared, task))
    }

    /// Connects with that token, and again whenever the connection is lost, until dropped. Returns at once;
    /// [`Self::connected`] waits.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn connect(path: PathBuf, token: String, options: SocketOptions) -> Self {
        let shared = Shared::new(options);
        let task = connect::keep(path, token, shared.clone());
        Self::running(shared, task)
    }

    fn running(shared: Arc<Shared>, task: impl Future<Output = ()> + Send + 'static) -> Self {
        let task = AbortOnDropHandle::new(tokio::spawn(task));
        Self {
            shared,
            _task: Arc::new(task),
        }
    }

    /// The way to a target: over a socket while a connected peer serves it, else `otherwise`. That is also taken when
    /// the socket call can't have begun: the callee is gone or at its limit, or the connection broke before the whole
    /// call was written. Keep it: a call by it looks nothing up.
    pub fn route(&self, target: &ComponentId, otherwise: Arc<dyn Route>) -> Arc<dyn Route> {
        self.route_counted(target, otherwise, None)
    }

    /// The same, with calls over the socket counted there.
    pub fn route_counted(
        &self,
        target: &ComponentId,
        otherwise: Arc<dyn Route>,
        counts: Option<Arc<CallCounts>>,
    ) -> Arc<dyn Route> {
        Arc::new(SocketRoute {
            cell: self.shared.targets.cell(target),
            otherwise,
            default_deadline: self.shared.options.default_deadline,
            counts,
        })
    }

    /// Serves a target to all peers, those to come too, until the [`Serving`] is drained or dropped. Who serves a target
    /// that is served already takes it over: new calls are its, and the other finishes its own.
    pub fn serve(
        &self,
        target: &ComponentId,
        handler: Arc<dyn Handler>,
        options: ServeOptions,
    ) -> Serving {
        self.shared.registry.serve(target, handler, options)
    }

    /// Waits until there is a connection over which the peer has told what it serves.
    pub async fn connected(&self) {
        // The sender is ours.
        _ = self
            .shared
            .connected
            .subscribe()
            .wait_for(|count| *count > 0)
            .await;
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        *self.shared.connected.borrow()
    }
}

impl fmt::Debug for SocketRpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketRpc")
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn new(options: SocketOptions) -> Arc<Self> {
        Arc::new(Self {
            options: Arc::new(options),
            registry: Arc::default(),
            targets: Arc::default(),
            connected: watch::Sender::new(0),
        })
    }

    fn count(self: &Arc<Self>) -> Counted {
        self.connected.send_modify(|count| *count += 1);
        Counted(self.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connected.send_modify(|count| *count -= 1);
    }
}

//! An address and its connections.

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hyper::{rt::Executor, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};

use crate::{
    access::AccessLog, config::MIN_HEADER_BYTES, exchange::Exchange, forwarded::Peer,
    routes::Routes, table::Bounds,
};

/// How many connections the kernel keeps until they are accepted.
const BACKLOG: u32 = 1024;
/// How long a client may take until its connection is encrypted.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a connection of HTTP/2 on which nothing comes is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How many requests run at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;
/// How long to wait when no connection can be accepted, for lack of file descriptors for example.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long requests that run have when the listener ends. Less than what the host gives the whole provider.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(7);

/// An address that is listened at. Dropping it cuts its connections.
#[derive(Debug)]
pub struct Listener {
    /// Where its requests go.
    pub routes: Arc<Routes>,
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Listener {
    /// Starts to listen.
    ///
    /// # Errors
    /// The system's: the port is in use, the address isn't this machine's, the port is reserved.
    pub fn bind(address: SocketAddr, routes: Routes, log: AccessLog) -> io::Result<Self> {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        // A provider that was started again must not wait for its predecessor's connections to be forgotten.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let (routes, stop) = (Arc::new(routes), CancellationToken::new());
        let task = tokio::spawn(run(listener, routes.clone(), log, stop.clone()));
        Ok(Self {
            routes,
            stop,
            task: AbortOnDropHandle::new(task),
        })
    }

    /// Whether everything about it is over.
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// Accepts no more, lets requests that run finish within [`DRAIN_LIMIT`], and ends.
    pub async fn drain(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "a listener ended with a panic");
        }
    }
}

async fn run(listener: TcpListener, routes: Arc<Routes>, log: AccessLog, stop: CancellationToken) {
    let mut connections = Connections::default();
    tokio::select! {
        () = accept(&listener, &routes, &log, &mut connections) => {}
        () = routes.abandoned() => {}
        () = stop.cancelled() => routes.close(),
    }
    // Before anything else: whoever wants the port next can have it.
    drop(listener);
    connections.drain().await;
}

/// The open connections.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    graceful: GracefulShutdown,
    /// Cancelled when no connection may begin its first request.
    closing: CancellationToken,
    streams: Streams,
}

/// The requests of HTTP/2 connections, each a task that hyper starts.
#[derive(Clone, Default)]
struct Streams {
    tasks: TaskTracker,
    cut: CancellationToken,
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, request: F) {
        self.tasks
            .spawn(self.cut.clone().run_until_cancelled_owned(request));
    }
}

impl Connections {
    async fn drain(mut self) {
        self.closing.cancel();
        let drained = tokio::time::timeout(DRAIN_LIMIT, self.graceful.shutdown()).await;
        if drained.is_err() {
            tracing::warn!(
                connections = self.tasks.len(),
                "requests still run and are cut off"
            );
        }
        self.tasks.shutdown().await;
        self.streams.cut.cancel();
        self.streams.tasks.close();
        self.streams.tasks.wait().await;
    }
}

/// Accepts connections for ever, as many as the links allow at once.
async fn accept(
    listener: &TcpListener,
    routes: &Arc<Routes>,
    log: &AccessLog,
    connections: &mut Connections,
) {
    loop {
        let table = routes.table();
        if table.is_closed() {
            return;
        }
        let room = connections.tasks.len() < table.bounds().max_connections;
        drop(table);
        tokio::select! {
            biased;
            Some(_) = connections.tasks.join_next() => {}
            accepted = listener.accept(), if room => match accepted {
                Ok((stream, peer)) => begin(stream, peer, routes, log, connections),
                Err(error) => {
                    tracing::warn!(%error, "no connection could be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

fn begin(
    stream: TcpStream,
    peer: SocketAddr,
    routes: &Arc<Routes>,
    log: &AccessLog,
    connections: &mut Connections,
) {
    // Those of now: a link may have changed while nobody came.
    let table = routes.table();
    if table.is_closed() {
        return;
    }
    let bounds = table.bounds();
    // Small responses must not wait for the client's acknowledgement of earlier ones.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let connection = Connection {
        exchange: Arc::new(Exchange {
            routes: routes.clone(),
            log: log.clone(),
            peer: Peer::new(peer, bounds.tls.is_some()),
            begun: AtomicBool::new(false),
        }),
        builder: builder(bounds, connections.streams.clone()),
        head_timeout: bounds.head_timeout,
        watcher: connections.graceful.watcher(),
        closing: connections.closing.clone(),
    };
    match bounds.tls.as_ref().map(|tls| tls.acceptor()) {
        None => connections.tasks.spawn(async move {
            // Nothing is set up for who says nothing.
            if connection
                .within(connection.head_timeout, stream.readable())
                .await
                .is_some()
            {
                connection.serve(stream).await;
            }
        }),
        Some(acceptor) => connections.tasks.spawn(async move {
            let limit = HANDSHAKE_TIMEOUT.min(connection.head_timeout);
            let handshake = connection.within(limit, acceptor.accept(stream));
            match handshake.await {
                Some(Ok(stream)) => connection.serve(stream).await,
                Some(Err(error)) => tracing::debug!(%error, %peer, "no TLS connection"),
                None => tracing::debug!(%peer, "no TLS handshake in time"),
            }
        }),
    };
}

/// What a connection's task has.
struct Connection {
    exchange: Arc<Exchange>,
    builder: auto::Builder<Streams>,
    head_timeout: Duration,
    watcher: Watcher,
    closing: CancellationToken,
}

impl Connection {
    /// A step before the first request: `None` when it takes too long or connections are closed.
    async fn within<T>(&self, limit: Duration, step: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = tokio::time::timeout(limit, step) => done.ok(),
            () = self.closing.cancelled() => None,
        }
    }

    /// Answers what comes, until there is no more.
    async fn serve<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let exchange = self.exchange.clone();
        let service = service_fn(move |request| {
            let exchange = exchange.clone();
            async move { Ok::<_, Infallible>(exchange.answer(request).await) }
        });
        let connection = self.builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(self.watcher.watch(connection.into_owned()));
        // hyper's own timeout begins when it knows the version, and HTTP/2 has none.
        let ended = match tokio::time::timeout(self.head_timeout, &mut connection).await {
            Ok(ended) => ended,
            Err(_) if !self.exchange.begun.load(Ordering::Relaxed) => return,
            Err(_) => connection.await,
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended");
        }
    }
}

fn builder(bounds: &Bounds, streams: Streams) -> auto::Builder<Streams> {
    let mut builder = auto::Builder::new(streams);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head_timeout)
        // What is larger is answered with 431 by hyper, before all of it was read.
        .max_buf_size(bounds.max_header_bytes.max(MIN_HEADER_BYTES));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(bounds.max_header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(KEEP_ALIVE);
    builder
}

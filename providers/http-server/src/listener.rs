//! An address and its connections.

use std::{convert::Infallible, future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{rt::Executor, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};

use crate::{
    config::{MIN_HEADER_BYTES, Settings},
    exchange::Exchange,
    slot::Slot,
};

/// How many connections the kernel keeps until they are accepted.
const BACKLOG: u32 = 1024;
/// How long a client may take for a request's head, the wait for it on a kept connection included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
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
    pub slot: Arc<Slot>,
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Listener {
    /// Starts to listen.
    ///
    /// # Errors
    /// The system's: the port is in use, the address isn't this machine's, the port is reserved.
    pub fn bind(address: SocketAddr, slot: Slot) -> io::Result<Self> {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        // A provider that was started again must not wait for its predecessor's connections to be forgotten.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let (slot, stop) = (Arc::new(slot), CancellationToken::new());
        let task = tokio::spawn(run(listener, slot.clone(), stop.clone()));
        Ok(Self {
            slot,
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

async fn run(listener: TcpListener, slot: Arc<Slot>, stop: CancellationToken) {
    let mut connections = Connections::default();
    tokio::select! {
        () = accept(&listener, &slot, &mut connections) => {}
        () = slot.abandoned() => {}
        () = stop.cancelled() => slot.close(),
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

/// Accepts connections for ever, as many as the link allows at once.
async fn accept(listener: &TcpListener, slot: &Arc<Slot>, connections: &mut Connections) {
    while let Some(Settings {
        max_connections, ..
    }) = slot.settings()
    {
        let room = connections.tasks.len() < max_connections;
        tokio::select! {
            biased;
            Some(_) = connections.tasks.join_next() => {}
            accepted = listener.accept(), if room => match accepted {
                Ok((stream, _)) => begin(stream, slot, connections),
                Err(error) => {
                    tracing::warn!(%error, "no connection could be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

fn begin(stream: TcpStream, slot: &Arc<Slot>, connections: &mut Connections) {
    // Those of now: the link may have changed while nobody came.
    let Some(settings) = slot.settings() else {
        return;
    };
    // Small responses must not wait for the client's acknowledgement of earlier ones.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let exchange = Arc::new(Exchange { slot: slot.clone() });
    let builder = builder(&settings, connections.streams.clone());
    let (watcher, closing) = (connections.graceful.watcher(), connections.closing.clone());
    connections.tasks.spawn(async move {
        // hyper's own timeout begins with the first bytes.
        tokio::select! {
            readable = tokio::time::timeout(HEAD_TIMEOUT, stream.readable()) => {
                if readable.is_err() {
                    return;
                }
            }
            () = closing.cancelled() => return,
        }
        let service = service_fn(move |request| {
            let exchange = exchange.clone();
            async move { Ok::<_, Infallible>(exchange.answer(request).await) }
        });
        let connection = builder
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, "a connection ended");
        }
    });
}

fn builder(settings: &Settings, streams: Streams) -> auto::Builder<Streams> {
    let mut builder = auto::Builder::new(streams);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        // What is larger is answered with 431 by hyper, before all of it was read.
        .max_buf_size(settings.max_header_bytes.max(MIN_HEADER_BYTES));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(settings.max_header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(HEAD_TIMEOUT);
    builder
}

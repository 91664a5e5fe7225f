//! Calls over a Unix socket beside the same bytes written to and read from one by hand.

use std::{
    io::{Read as _, Write as _},
    os::unix::net,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};
use trellis_lattice::ComponentId;
use trellis_rpc::{
    Route,
    socket::{Admission, SocketOptions, SocketRpc},
};
use trellis_tests::wait::until;

use super::{MANY, Nowhere, PAYLOAD, call, echo, peer, rows};
use crate::{
    latency::{self, Latencies, Measured},
    rounds::{Plan, by_turns},
    row::{Row, Target},
};

/// What a call of ours has on the wire, each way, with its frame.
pub(super) const FRAME_BYTES: usize = PAYLOAD.len() + 36;
/// What the peer says that it is.
pub(super) const TOKEN: &str = "bench";

enum Party {
    Ours(Arc<dyn Route>),
    /// By tasks of the runtime that ours use too.
    Tasks(PathBuf),
    /// By threads that wait for nothing else: the least that two processes can do.
    Threads(PathBuf),
}

pub(super) async fn measure(plan: &Plan) -> Result<Vec<Row>> {
    let directory = tempfile::tempdir()?;
    let path = |name: &str| directory.path().join(name);
    let [ours, tasks, threads] = [path("ours"), path("tasks"), path("threads")];
    let rpc = SocketRpc::listen(&ours, Arc::new(Bench), SocketOptions::default())?;
    let _peers = [
        peer::start(directory.path(), &["socket", &ours.to_string_lossy()])?,
        peer::start(directory.path(), &["raw-socket", &tasks.to_string_lossy()])?,
        peer::start(
            directory.path(),
            &["raw-socket", &threads.to_string_lossy(), "--threads"],
        )?,
    ];
    let route = rpc.route(&peer::id()?, Arc::new(Nowhere));
    until("the peers answer", || async {
        UnixStream::connect(&tasks).await?;
        UnixStream::connect(&threads).await?;
        call(&*route, echo()).await
    })
    .await?;
    let parties = [
        Party::Ours(route),
        Party::Threads(threads),
        Party::Tasks(tasks),
    ];
    for party in &parties {
        party
            .load(MANY, plan.lasting.min(Duration::from_millis(500)))
            .await?;
    }
    let one = by_turns(plan, &parties, async |of| of.load(1, plan.lasting).await).await?;
    let many = by_turns(plan, &parties, async |of| of.load(MANY, plan.lasting).await).await?;
    let name = "by socket to another process";
    let mut all = rows(
        name,
        "the same bytes by hand, on threads",
        [&one[0], &one[1]],
        [&many[0], &many[1]],
        Target::RatioAtMost(2.0),
    )?;
    // Many at a time told once: by hand they go in one piece, on threads as in tasks.
    let tasks = rows(
        name,
        "the same bytes by hand, in tasks",
        [&one[0], &one[2]],
        [&many[0], &many[2]],
        Target::RatioAtMost(2.0),
    )?;
    all.extend(tasks.into_iter().take(1));
    Ok(all)
}

impl Party {
    async fn load(&self, in_flight: usize, lasting: Duration) -> Result<Measured> {
        match self {
            Self::Ours(route) => {
                let (route, operation) = (route.clone(), echo());
                latency::measure(in_flight, lasting, move || {
                    let (route, operation) = (route.clone(), operation.clone());
                    async move { call(&*route, operation).await }
                })
                .await
            }
            // In a task, as calls are: the thread that waits for all is woken more slowly.
            Self::Tasks(path) => {
                let load = ping(path.clone(), in_flight, lasting);
                tokio::spawn(load).await?
            }
            Self::Threads(path) => {
                let path = path.clone();
                let load = move || ping_by_thread(&path, in_flight, lasting);
                tokio::task::spawn_blocking(load).await?
            }
        }
    }
}

/// Frames to and fro over one connection, so many under way; for each that came back the next one goes.
async fn ping(path: PathBuf, in_flight: usize, lasting: Duration) -> Result<Measured> {
    let mut stream = UnixStream::connect(&path).await?;
    let mut frames = Frames::new(in_flight)?;
    stream.write_all(&frames.bytes).await?;
    while frames.begun.elapsed() < lasting {
        let count = stream.read(&mut frames.back).await?;
        let next = frames.came(count)?;
        stream.write_all(next).await?;
    }
    Ok(frames.latencies.over(frames.begun.elapsed()))
}

/// The same by a thread of its own.
fn ping_by_thread(path: &Path, in_flight: usize, lasting: Duration) -> Result<Measured> {
    let mut stream = net::UnixStream::connect(path)?;
    let mut frames = Frames::new(in_flight)?;
    stream.write_all(&frames.bytes)?;
    while frames.begun.elapsed() < lasting {
        let count = stream.read(&mut frames.back)?;
        let next = frames.came(count)?;
        stream.write_all(next)?;
    }
    Ok(frames.latencies.over(frames.begun.elapsed()))
}

/// What goes to and fro.
struct Frames {
    bytes: Vec<u8>,
    back: Vec<u8>,
    /// How much of a frame has come that is not whole yet.
    part: usize,
    begun: Instant,
    sent: Instant,
    latencies: Latencies,
}

impl Frames {
    fn new(in_flight: usize) -> Result<Self> {
        let bytes = vec![b'.'; in_flight * FRAME_BYTES];
        Ok(Self {
            back: vec![0; bytes.len()],
            bytes,
            part: 0,
            begun: Instant::now(),
            sent: Instant::now(),
            latencies: Latencies::new()?,
        })
    }

    /// Counts what came; gives what goes in its place.
    fn came(&mut self, count: usize) -> Result<&[u8]> {
        ensure!(count > 0, "the peer is gone");
        let came = self.part + count;
        let whole = came / FRAME_BYTES;
        self.part = came % FRAME_BYTES;
        for _ in 0..whole {
            self.latencies.since(self.sent);
        }
        if whole > 0 {
            self.sent = Instant::now();
        }
        Ok(&self.bytes[..whole * FRAME_BYTES])
    }
}

/// Sends everything back that comes, to everybody who connects.
pub(super) async fn reflect(path: &Path) -> Result<()> {
    let listener = tokio::net::UnixListener::bind(path).with_context(|| listening(path))?;
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (mut stream, _) = listener.accept().await?;
        connections.spawn(async move {
            let mut bytes = vec![0; MANY * FRAME_BYTES];
            // Who connected has gone when this fails.
            while let Ok(count) = stream.read(&mut bytes).await {
                if count == 0 || stream.write_all(&bytes[..count]).await.is_err() {
                    return;
                }
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

/// The same, each connection by a thread of its own; they end with this process.
pub(super) fn reflect_by_threads(path: &Path) -> Result<()> {
    let listener = net::UnixListener::bind(path).with_context(|| listening(path))?;
    loop {
        let (mut stream, _) = listener.accept()?;
        std::thread::spawn(move || {
            let mut bytes = vec![0; MANY * FRAME_BYTES];
            while let Ok(count) = stream.read(&mut bytes) {
                if count == 0 || stream.write_all(&bytes[..count]).is_err() {
                    return;
                }
            }
        });
    }
}

fn listening(path: &Path) -> String {
    format!("listening at {}", path.display())
}

/// Lets the peer in.
struct Bench;

impl Admission for Bench {
    fn admit(&self, token: &str) -> Option<ComponentId> {
        peer::id().ok().filter(|_| token == TOKEN)
    }
}

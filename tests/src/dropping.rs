//! A way to a server that breaks after so many bytes.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// The most that passes at once.
const PIECE_BYTES: usize = 16 * 1024;

/// A proxy that drops a connection once so many bytes have passed on it, both ways together. It ends, with its connections, when it is
/// dropped.
#[derive(Debug)]
pub struct Dropping {
    at: SocketAddr,
    dropped: Arc<AtomicUsize>,
    passed: Arc<AtomicU64>,
    _connections: JoinSet<()>,
}

impl Dropping {
    /// A proxy before a server: of its connections, as many as `times` says are dropped.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn before(to: SocketAddr, after_bytes: u64, times: usize) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let at = listener.local_addr()?;
        let dropped = Arc::new(AtomicUsize::new(0));
        let passed = Arc::new(AtomicU64::new(0));
        let mut connections = JoinSet::new();
        let (counts, bytes) = (dropped.clone(), passed.clone());
        connections.spawn(async move {
            let mut own = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let (counts, bytes) = (counts.clone(), bytes.clone());
                own.spawn(async move {
                    // A connection that ends is what this is about.
                    let _ = carry(near, to, after_bytes, times, &counts, &bytes).await;
                });
            }
        });
        Ok(Self {
            at,
            dropped,
            passed,
            _connections: connections,
        })
    }

    /// The server's name in references, by this way.
    pub fn host(&self) -> String {
        self.at.to_string()
    }

    /// How many connections it has dropped.
    pub fn dropped(&self) -> usize {
        self.dropped.load(Ordering::SeqCst)
    }

    /// How many bytes have passed, on all connections.
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::SeqCst)
    }
}

async fn carry(
    mut near: TcpStream,
    to: SocketAddr,
    after_bytes: u64,
    times: usize,
    dropped: &AtomicUsize,
    passed: &AtomicU64,
) -> Result<()> {
    let mut far = TcpStream::connect(to).await?;
    let (mut there, mut back) = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
    let mut moved = 0;
    loop {
        let count = tokio::select! {
            count = near.read(&mut there) => {
                let count = count?;
                far.write_all(&there[..count]).await?;
                count
            }
            count = far.read(&mut back) => {
                let count = count?;
                near.write_all(&back[..count]).await?;
                count
            }
        };
        if count == 0 {
            return Ok(());
        }
        moved += count as u64;
        passed.fetch_add(count as u64, Ordering::SeqCst);
        let more = |done: usize| (done < times).then_some(done + 1);
        if moved >= after_bytes
            && dropped
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, more)
                .is_ok()
        {
            return Ok(());
        }
    }
}

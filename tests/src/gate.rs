//! A way to a server where its answers can be held back: what asked for them is then under way for as long as a test wants.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// The most that passes at once.
const PIECE_BYTES: usize = 16 * 1024;

/// A proxy. It ends, with its connections, when it is dropped.
#[derive(Debug)]
pub struct Gate {
    at: SocketAddr,
    shut: watch::Sender<bool>,
    asked: Arc<AtomicU64>,
    _connections: JoinSet<()>,
}

impl Gate {
    /// A proxy before a server, which need not be there yet.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn before(to: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let at = listener.local_addr()?;
        let (shut, is_shut) = watch::channel(false);
        let asked = Arc::new(AtomicU64::new(0));
        let mut connections = JoinSet::new();
        let bytes = asked.clone();
        connections.spawn(async move {
            let mut own = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let (bytes, is_shut) = (bytes.clone(), is_shut.clone());
                own.spawn(async move {
                    // Whoever is at its ends sees that it broke.
                    let _ = carry(near, to, &bytes, is_shut).await;
                });
            }
        });
        Ok(Self {
            at,
            shut,
            asked,
            _connections: connections,
        })
    }

    /// Where the server is reached this way.
    pub fn address(&self) -> SocketAddr {
        self.at
    }

    /// Holds answers back from now on. What is sent to the server still passes.
    pub fn shut(&self) {
        self.shut.send_replace(true);
    }

    /// Lets answers through again, those that were held back first.
    pub fn open(&self) {
        self.shut.send_replace(false);
    }

    /// How many bytes were sent to the server, on all connections.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn carry(
    near: TcpStream,
    to: SocketAddr,
    asked: &AtomicU64,
    mut shut: watch::Receiver<bool>,
) -> Result<()> {
    let far = TcpStream::connect(to).await?;
    let (mut near_read, mut near_write) = near.into_split();
    let (mut far_read, mut far_write) = far.into_split();
    let there = async {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let count = near_read.read(&mut piece).await?;
            if count == 0 {
                return anyhow::Ok(());
            }
            far_write.write_all(&piece[..count]).await?;
            asked.fetch_add(count as u64, Ordering::SeqCst);
        }
    };
    let back = async {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let count = far_read.read(&mut piece).await?;
            shut.wait_for(|shut| !shut)
                .await
                .context("the gate is gone")?;
            if count == 0 {
                return anyhow::Ok(());
            }
            near_write.write_all(&piece[..count]).await?;
        }
    };
    tokio::select! {
        ended = there => ended,
        ended = back => ended,
    }
}

//! The other process of a call.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use anyhow::{Context as _, Result};
use clap::Subcommand;
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use trellis_lattice::{ComponentId, LatticeName, connect::NatsSettings};
use trellis_rpc::{
    CallError, Handler, IncomingCall, Outgoing, ServeOptions,
    nats::NatsRpc,
    socket::{SocketOptions, SocketRpc},
};
use trellis_tests::process::Process;

use super::socket;

/// What it answers on.
#[derive(Debug, Subcommand)]
pub enum Peer {
    /// Our calls over the NATS server at that URL.
    Nats {
        /// Where the server is.
        url: String,
    },
    /// Our calls over the Unix socket at that path.
    Socket {
        /// Its file, which somebody listens at.
        path: PathBuf,
    },
    /// Bytes over a Unix socket, sent back as they come.
    RawSocket {
        /// Its file, made by this.
        path: PathBuf,
        /// By a thread for each connection.
        #[arg(long)]
        threads: bool,
    },
    /// Plain requests over the NATS server at that URL.
    RawNats {
        /// Where the server is.
        url: String,
        /// What is asked.
        subject: String,
    },
}

/// Starts one as a process of its own.
///
/// # Errors
/// It can't be started.
pub(super) fn start(directory: &Path, arguments: &[&str]) -> Result<Process> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("peer").args(arguments);
    let name = format!("peer-{}", arguments.first().unwrap_or(&""));
    Process::start(&name, directory, command)
}

/// What it is called as.
pub(super) fn id() -> Result<ComponentId> {
    Ok(ComponentId::new("bench-peer")?)
}

impl Peer {
    /// Answers until it is ended.
    ///
    /// # Errors
    /// It can't be reached, or no longer.
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Nats { url } => {
                let client = NatsSettings::new(url).connect("bench-peer").await?;
                let rpc = NatsRpc::new(client, LatticeName::default());
                let _serving = rpc
                    .serve(&id()?, Arc::new(Echo), ServeOptions::default())
                    .await?;
                std::future::pending().await
            }
            Self::Socket { path } => {
                let options = SocketOptions::default();
                let rpc = SocketRpc::connect(path, socket::TOKEN.to_owned(), options);
                let _serving = rpc.serve(&id()?, Arc::new(Echo), ServeOptions::default());
                std::future::pending().await
            }
            Self::RawSocket { path, threads } if threads => {
                tokio::task::spawn_blocking(move || socket::reflect_by_threads(&path)).await?
            }
            Self::RawSocket { path, .. } => socket::reflect(&path).await,
            Self::RawNats { url, subject } => {
                let client = NatsSettings::new(url).connect("bench-peer").await?;
                let mut requests = client.subscribe(subject).await?;
                // In a task, as calls are: the thread that waits for all is woken more slowly.
                let answers = tokio::spawn(async move {
                    while let Some(request) = requests.next().await {
                        let reply = request.reply.context("a request without a reply subject")?;
                        client.publish(reply, request.payload).await?;
                    }
                    anyhow::Ok(())
                });
                answers.await?
            }
        }
    }
}

/// Answers with what it got.
struct Echo;

impl Handler for Echo {
    fn handle(
        self: Arc<Self>,
        call: IncomingCall,
    ) -> BoxFuture<'static, Result<Outgoing, CallError>> {
        async move { Ok(Outgoing::unary(call.params.root)) }.boxed()
    }
}

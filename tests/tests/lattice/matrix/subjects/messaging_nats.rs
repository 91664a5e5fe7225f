//! messaging-nats: NATS servers that aren't the lattice's. Core NATS keeps nothing.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use anyhow::Result;
use futures::StreamExt as _;
use tokio::task::JoinSet;
use trellis_tests::nats::NatsServer;

use super::messages::{Messages, Server};

pub type NatsMessages = Messages<NatsServer>;

impl Server for NatsServer {
    const PROVIDER: &'static str = "messaging-nats";
    const ECHO: &'static str = "echo.*";
    const WRONG: &'static str = "echo..*";

    async fn start() -> Result<Self> {
        Self::start().await
    }

    fn port(&self) -> u16 {
        self.port()
    }

    async fn crash(&mut self) -> Result<()> {
        self.crash().await
    }

    async fn resume(&mut self) -> Result<()> {
        self.resume().await
    }

    fn setting(port: u16) -> (&'static str, String) {
        ("cluster_uris", format!("nats://127.0.0.1:{port}"))
    }

    fn under(place: &str, name: &str) -> String {
        format!("{place}.{name}")
    }

    async fn listen(&self, asked: &Arc<AtomicU64>, listeners: &mut JoinSet<()>) -> Result<()> {
        let client = self.connect().await?;
        let mut echoed = client.subscribe("echo.*").await?;
        let mut answered = client.subscribe("answered.*").await?;
        client.flush().await?;
        let asked = asked.clone();
        listeners.spawn(async move {
            while echoed.next().await.is_some() {
                asked.fetch_add(1, Ordering::SeqCst);
            }
        });
        listeners.spawn(async move {
            while let Some(message) = answered.next().await {
                if let Some(reply) = message.reply {
                    // Where the server is gone, nobody waits for it.
                    let _ = client.publish(reply, message.payload).await;
                }
            }
        });
        Ok(())
    }
}

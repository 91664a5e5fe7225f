//! The NATS servers: a hub and a leaf in each PoP, by the configurations that `trellis lattice config` makes.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use async_nats::jetstream;
use futures::future::try_join_all;
use tokio::time::{Instant, sleep, timeout};
use trellis_lattice::{
    connect::NatsSettings,
    topology::{Data, HUB, Hub, Pop, Role, Server},
};
use trellis_wire::Wire;

use super::plan::PlannedPop;
use crate::{
    lattice::{files, keys::Keys},
    session::Options,
    state::State,
    up::{
        nats::{NatsOptions, NatsServer, Setup, free_ports},
        progress::Progress,
        running::Running,
    },
};

/// How long a leaf may take to reach the hub.
const LINK_TIME: Duration = Duration::from_secs(30);

/// What is needed to start them.
pub struct Servers<'a> {
    /// The nats-server program.
    pub program: PathBuf,
    /// The state.
    pub state: &'a State,
    /// The keys.
    pub keys: &'a Keys,
    /// What providers may use.
    pub data: Data,
    /// The lattice.
    pub options: &'a Options,
    /// Who is told.
    pub progress: &'a Progress,
}

/// Where the servers are.
#[derive(Debug)]
pub struct Urls {
    /// The hub.
    pub hub: String,
    /// The PoPs', in their order.
    pub pops: Vec<String>,
}

impl Servers<'_> {
    /// Starts the hub, then the leaves, and waits until they have found it.
    ///
    /// # Errors
    /// One doesn't start, or doesn't find the hub.
    pub async fn start(self, pops: &[PlannedPop], running: &mut Running) -> anyhow::Result<Urls> {
        let ports = free_ports(pops.len() + 2)?;
        let (&[hub_port, leaf_port], pop_ports) =
            ports.split_first_chunk().context("free ports")?;
        let leaf_at = SocketAddr::from((Ipv4Addr::LOCALHOST, leaf_port));
        let names: Vec<_> = pops.iter().map(|pop| pop.name.clone()).collect();
        let hub = Hub {
            server: self.server(HUB, hub_port)?,
            leaf_listen: leaf_at.to_string(),
            leaves: self.keys.leaves(&names)?,
        };
        let hub = self.run(HUB, &hub.to_string(), None, hub_port).await?;
        let mut urls = Urls {
            hub: hub.url().to_owned(),
            pops: Vec::new(),
        };
        self.progress.step(
            HUB,
            format_args!("nats-server {} at {}", hub.version(), hub.url()),
        );
        running.servers.push(hub);

        let mut starting = Vec::new();
        for (pop, &port) in pops.iter().zip(pop_ports) {
            let at = if pop.round_trip.is_zero() {
                leaf_at
            } else {
                let wire = Wire::lay(leaf_at).await.context("a port for a slow link")?;
                wire.delay(pop.round_trip);
                let at = wire.at();
                running.wires.push(wire);
                at
            };
            starting.push(self.leaf(pop, port, at));
        }
        for leaf in try_join_all(starting).await? {
            urls.pops.push(leaf.url().to_owned());
            running.servers.push(leaf);
        }
        Ok(urls)
    }

    async fn leaf(
        &self,
        pop: &PlannedPop,
        port: u16,
        hub: SocketAddr,
    ) -> anyhow::Result<NatsServer> {
        let name = pop.name.as_str();
        let config = Pop {
            server: self.server(name, port)?,
            pop: pop.name.clone(),
            region: pop.region.clone(),
            hub_urls: vec![format!("nats-leaf://{hub}")],
            hub_ca: None,
        };
        let server = self
            .run(name, &config.to_string(), Some(name), port)
            .await?;
        self.linked(name, port).await?;
        let far = match pop.round_trip {
            Duration::ZERO => String::new(),
            far => format!(", {} from it and back", humantime::format_duration(far)),
        };
        self.progress.step(
            name,
            format_args!("leaf of the hub at {}{far}", server.url()),
        );
        Ok(server)
    }

    fn server(&self, name: &str, port: u16) -> anyhow::Result<Server> {
        let store = self.folder(name)?.join("jetstream");
        let store = store
            .to_str()
            .with_context(|| format!("folder {} has no name in UTF-8", store.display()))?;
        Ok(Server {
            lattice: self.options.lattice.clone(),
            listen: format!("127.0.0.1:{port}"),
            monitor: None,
            store: store.to_owned(),
            tls: None,
            users: self.keys.clients(name)?,
            data: self.data.clone(),
        })
    }

    async fn run(
        &self,
        name: &str,
        config: &str,
        leaf: Option<&str>,
        port: u16,
    ) -> anyhow::Result<NatsServer> {
        let folder = self.folder(name)?;
        files::server(&folder, config, self.keys, leaf)?;
        let options = NatsOptions {
            program: self.program.clone(),
            setup: Setup::Configured {
                name: name.to_owned(),
                file: folder.join(files::CONFIG_FILE),
                settings: self.settings(name, port),
            },
            log: log(self.state, &format!("nats-{name}"))?,
        };
        NatsServer::start(options).await
    }

    /// Waits until a leaf has found the hub: then the hub's JetStream answers there.
    async fn linked(&self, name: &str, port: u16) -> anyhow::Result<()> {
        let client = self.settings(name, port).connect("trellis up").await?;
        let hub = jetstream::with_domain(client, HUB);
        let deadline = Instant::now() + LINK_TIME;
        loop {
            let asked = timeout(Duration::from_secs(5), hub.query_account()).await;
            if let Ok(Ok(_)) = asked {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!(
                    "the leaf node of {name} doesn't find the hub; its log is {}",
                    log(self.state, &format!("nats-{name}"))?.display()
                );
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn settings(&self, name: &str, port: u16) -> NatsSettings {
        NatsSettings {
            seed_file: Some(self.keys.file(name, Role::Operator)),
            ..NatsSettings::new(format!("nats://127.0.0.1:{port}"))
        }
    }

    /// A server's folder, as an absolute path: a server looks for files from where it was started.
    fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = super::folder(self.state, &format!("nats-{name}"))?;
        std::path::absolute(&folder).with_context(|| format!("folder {}", folder.display()))
    }
}

/// A child's log.
///
/// # Errors
/// Its folder can't be made.
pub fn log(state: &State, name: &str) -> anyhow::Result<PathBuf> {
    let folder: &Path = &state.folder("logs")?;
    Ok(folder.join(format!("{name}.log")))
}

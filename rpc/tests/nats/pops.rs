//! A hub and a leaf server for each PoP, as in production: callers and callees connect to their PoP's leaf only.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    path::Path,
    process::Child,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use async_nats::Client;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
    task::JoinSet,
};
use trellis_lattice::{HostId, LatticeName, Place};
use trellis_rpc::{
    Outgoing,
    nats::{NatsOptions, NatsRpc, Serving, Whereabouts},
};

use crate::kit::{connect, handler, port_in, serve, spawn, until, until_true};

/// The servers; they end with this.
pub struct Pops {
    directory: TempDir,
    hub: Process,
    leafnodes: u16,
    leaves: BTreeMap<&'static str, Process>,
    links: JoinSet<()>,
}

struct Process {
    child: Child,
    url: String,
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

impl Process {
    async fn start(directory: &Path, name: &str, config: &str) -> Self {
        let file = directory.join(format!("{name}.conf"));
        std::fs::write(&file, config).unwrap();
        let ports = directory.join(name);
        std::fs::create_dir(&ports).unwrap();
        let config = file.to_str().unwrap();
        let child = spawn(&["-c", config, "--ports_file_dir", ports.to_str().unwrap()]);
        let mut process = Self {
            child,
            url: String::new(),
        };
        until_true("nats-server says where it listens", || {
            if let Some(port) = port_in(&ports) {
                process.url = format!("nats://127.0.0.1:{port}");
            }
            !process.url.is_empty()
        })
        .await;
        process
    }

    fn signal(&self, signal: i32) {
        let id = i32::try_from(self.child.id()).unwrap();
        // SAFETY: a signal to a process of ours that has not been waited for.
        assert_eq!(unsafe { libc::kill(id, signal) }, 0);
    }
}

impl Pops {
    /// A hub without PoPs.
    pub async fn hub() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let leafnodes = free.local_addr().unwrap().port();
        drop(free);
        let config = format!(
            "server_name: hub\nlisten: \"127.0.0.1:-1\"\nping_interval: \"5s\"\nping_max: 2\n\
             leafnodes {{ listen: \"127.0.0.1:{leafnodes}\" }}\n"
        );
        let hub = Process::start(directory.path(), "hub", &config).await;
        Self {
            directory,
            hub,
            leafnodes,
            leaves: BTreeMap::new(),
            links: JoinSet::new(),
        }
    }

    /// With these PoPs.
    pub async fn of(names: &[&'static str]) -> Self {
        let mut pops = Self::hub().await;
        for name in names {
            pops.add(name, Duration::ZERO).await;
        }
        pops
    }

    /// One PoP more, so far away from the hub, one way.
    pub async fn add(&mut self, name: &'static str, delay: Duration) {
        let port = match delay {
            Duration::ZERO => self.leafnodes,
            delay => self.slow_link(delay).await,
        };
        let config = format!(
            "server_name: {name}\nlisten: \"127.0.0.1:-1\"\nping_interval: \"5s\"\nping_max: 2\n\
             leafnodes {{ reconnect: \"1s\"\n remotes: [ {{ urls: [ \"nats-leaf://127.0.0.1:{port}\" ] }} ] }}\n"
        );
        let leaf = Process::start(self.directory.path(), name, &config).await;
        let (inside, outside) = (connect(&leaf.url).await, connect(&self.hub.url).await);
        let mut asked = inside.subscribe(format!("probe.{name}")).await.unwrap();
        let answering = tokio::spawn(async move {
            use futures::StreamExt as _;
            while let Some(message) = asked.next().await {
                let reply = message.reply.unwrap();
                inside.publish(reply, "".into()).await.unwrap();
            }
        });
        until("the leaf is linked to the hub", || async {
            let answer = outside.request(format!("probe.{name}"), "".into()).await;
            answer.is_ok()
        })
        .await;
        answering.abort();
        self.leaves.insert(name, leaf);
    }

    /// A port that leads to the hub's, and takes that long for each way.
    async fn slow_link(&mut self, delay: Duration) -> u16 {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let to = self.leafnodes;
        self.links.spawn(async move {
            let mut ways = JoinSet::new();
            while let Ok((here, _)) = listener.accept().await {
                let there = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                let (from_here, to_here) = here.into_split();
                let (from_there, to_there) = there.into_split();
                ways.spawn(slowly(from_here, to_there, delay));
                ways.spawn(slowly(from_there, to_here, delay));
            }
        });
        port
    }

    /// Freezes a PoP's server, as a link does that passes nothing on and is not closed.
    pub fn freeze(&self, pop: &str) {
        self.leaves[pop].signal(libc::SIGSTOP);
    }

    /// Lets it go on.
    pub fn thaw(&self, pop: &str) {
        self.leaves[pop].signal(libc::SIGCONT);
    }

    /// A connection of a PoP's.
    pub async fn connect(&self, pop: &str) -> Client {
        connect(&self.leaves[pop].url).await
    }

    /// A connection to the hub.
    pub async fn connect_to_hub(&self) -> Client {
        connect(&self.hub.url).await
    }

    /// Calls from and in a PoP: `fra`, or `fra.eu` with its region.
    pub async fn rpc(&self, place: &str) -> NatsRpc {
        self.rpc_near(place, &[]).await
    }

    /// The same with declared distances in milliseconds.
    pub async fn rpc_near(&self, place: &str, distances: &[(&str, u64)]) -> NatsRpc {
        let place = place_near(place, distances);
        let client = self.connect(place.pop.as_str()).await;
        let whereabouts = Whereabouts {
            host: Some(HostId::new(format!("NHOSTIN{}", place.pop)).unwrap()),
            place: Some(place),
        };
        let lattice = LatticeName::default();
        NatsRpc::at(client, lattice, NatsOptions::default(), whereabouts)
    }

    /// Serves the tests' target there, and says with each answer where that is.
    pub async fn serve(&self, place: &str) -> Callee {
        let rpc = self.rpc(place).await;
        let calls = Arc::new(AtomicUsize::new(0));
        let (count, answer) = (calls.clone(), place.to_owned());
        let handler = handler(move |_| {
            count.fetch_add(1, SeqCst);
            let answer = answer.clone();
            async move { Ok(Outgoing::unary(answer)) }
        });
        let serving = serve(&rpc, handler).await;
        Callee {
            serving,
            rpc,
            calls,
        }
    }
}

async fn slowly(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    delay: Duration,
) {
    let (sender, mut pending) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let writing = async {
        while let Some((due, bytes)) = pending.recv().await {
            tokio::time::sleep_until(due.into()).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    let reading = async move {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let due = Instant::now() + delay;
            if sender.send((due, buffer[..length].to_vec())).is_err() {
                return;
            }
        }
    };
    tokio::join!(reading, writing);
}

/// A place: `fra`, or `fra.eu` with its region.
pub fn place_near(place: &str, distances: &[(&str, u64)]) -> Place {
    let (pop, region) = match place.split_once('.') {
        Some((pop, region)) => (pop, Some(region.parse().unwrap())),
        None => (place, None),
    };
    let mut place = Place::new(pop.parse().unwrap(), region);
    for (pop, ms) in distances {
        let distance = Duration::from_millis(*ms);
        place.distances.insert(pop.parse().unwrap(), distance);
    }
    place
}

/// A server of the tests' target.
pub struct Callee {
    pub serving: Serving,
    pub rpc: NatsRpc,
    calls: Arc<AtomicUsize>,
}

impl Callee {
    /// How often it was called since the last time this was asked.
    pub fn calls(&self) -> usize {
        self.calls.swap(0, SeqCst)
    }
}

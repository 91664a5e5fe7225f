//! A lattice in many points of presence: a hub and a leaf in each PoP by the configurations that are deployed, hosts and
//! managers with the users that they have there, and links between that can be cut, slowed and broken.
//!
//! Every part can be stopped, killed, frozen and started again on its own: servers by [`Server`], hosts by
//! [`PopHost`]'s process and [`Pops::crash_host`], links by [`Leaf::wire`].

mod host;
mod server;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context as _, Result, ensure};
use async_nats::jetstream;
use tempfile::TempDir;
use trellis_lattice::{
    HostId, LatticeName, PopName, RegionName,
    claims::{AccountKey, UserKey},
    client::ControlClient,
    connect::NatsSettings,
    control::host::HostInventory,
    topology::{self, Data, HUB, Hub, Pop, Role},
};
use trellis_wire::Wire;

use crate::{
    actors, port,
    process::Process,
    wait::{DEADLINE, until},
};
pub use host::PopHost;
pub use server::Server;

/// A lattice in many PoPs that ends with this value.
#[derive(Debug)]
pub struct Pops {
    /// What hosts are asked with: the operator at the hub.
    pub control: ControlClient,
    /// Hosts, in the order they were started.
    pub hosts: Vec<PopHost>,
    /// Application managers, in the order they were started.
    pub managers: Vec<Process>,
    /// Who signs the test's actors.
    pub issuer: AccountKey,
    // Dropped after the processes that use it.
    /// The PoPs' leaves, by their names.
    pub leaves: BTreeMap<String, Leaf>,
    /// The hub.
    pub hub: Server,
    lattice: LatticeName,
    directory: TempDir,
}

/// A PoP's server, and its link to the hub.
#[derive(Debug)]
pub struct Leaf {
    /// The server.
    pub server: Server,
    /// Its link to the hub: `hold()` cuts it silently, `close()` audibly, `heal()` mends it; `delay()`, `change()`.
    pub wire: Wire,
    /// Its region.
    pub region: Option<String>,
    /// Which of the PoPs it is, from 1.
    number: u8,
}

impl Pops {
    /// A hub and these PoPs, each with its region where it has one, linked, with nobody in them.
    ///
    /// # Errors
    /// A server does not start, or does not find the hub.
    pub async fn start(pops: &[(&str, Option<&str>)]) -> Result<Self> {
        Self::start_with(pops, Data::default(), None).await
    }

    /// As [`Self::start`], with what providers may use, and with a user at the hub who may do everything there.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_with(
        pops: &[(&str, Option<&str>)],
        data: Data,
        witness: Option<&UserKey>,
    ) -> Result<Self> {
        let directory = TempDir::new()?;
        let lattice = LatticeName::default();
        let keys = Keys(directory.path().join("keys"));
        std::fs::create_dir_all(&keys.0)?;
        let config = |name: &str, port: u16| -> Result<topology::Server> {
            let store = directory.path().join(format!("nats-{name}/jetstream"));
            Ok(topology::Server {
                lattice: lattice.clone(),
                listen: format!("127.0.0.1:{port}"),
                monitor: None,
                store: store.to_str().context("a folder in UTF-8")?.to_owned(),
                tls: None,
                users: Role::CLIENTS
                    .into_iter()
                    .map(|role| Ok((role, keys.key(name, role)?.public())))
                    .collect::<Result<_>>()?,
                data: data.clone(),
            })
        };
        let (port, leaf_port) = (port::free()?, port::free()?);
        let leaf_at = SocketAddr::from((Ipv4Addr::LOCALHOST, leaf_port));
        let leaves = pops
            .iter()
            .map(|(pop, _)| Ok((PopName::new(pop)?, keys.key(pop, Role::Leaf)?.public())))
            .collect::<Result<_>>()?;
        let hub = Hub {
            server: config(HUB, port)?,
            leaf_listen: leaf_at.to_string(),
            leaves,
        };
        let mut config_of_hub = hub.to_string();
        if let Some(witness) = witness {
            let users = format!("users: [\n      {{ nkey: {} }}", witness.public());
            config_of_hub = config_of_hub.replacen("users: [", &users, 1);
        }
        let folder = directory.path().join("nats-hub");
        let settings = keys.settings(HUB, Role::Operator, port);
        let hub = Server::start(HUB, folder, &config_of_hub, settings.clone()).await?;

        let mut leaves = BTreeMap::new();
        for ((pop, region), number) in pops.iter().zip(1..) {
            let port = port::free()?;
            let wire = Wire::lay(leaf_at).await?;
            let leaf = Pop {
                server: config(pop, port)?,
                pop: PopName::new(pop)?,
                region: region.map(RegionName::new).transpose()?,
                hub_urls: vec![format!("nats-leaf://{}", wire.at())],
                hub_ca: None,
            };
            let folder = directory.path().join(format!("nats-{pop}"));
            std::fs::create_dir_all(&folder)?;
            let seed = keys.key(pop, Role::Leaf)?.seed();
            std::fs::write(folder.join(topology::LEAF_FILE), format!("nkey: {seed}\n"))?;
            let settings = keys.settings(pop, Role::Operator, port);
            let server = Server::start(pop, folder, &leaf.to_string(), settings).await?;
            leaves.insert(
                (*pop).to_owned(),
                Leaf {
                    server,
                    wire,
                    region: region.map(str::to_owned),
                    number,
                },
            );
        }
        let lattice_of = Self {
            control: ControlClient::new(settings.connect("test").await?, lattice.clone()),
            hosts: Vec::new(),
            managers: Vec::new(),
            issuer: AccountKey::generate(),
            leaves,
            hub,
            lattice,
            directory,
        };
        for (pop, _) in pops {
            lattice_of.linked(pop).await?;
        }
        Ok(lattice_of)
    }

    /// A folder of the test's own.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A PoP's server and link.
    ///
    /// # Errors
    /// There is no such PoP.
    pub fn leaf(&self, pop: &str) -> Result<&Leaf> {
        self.leaves
            .get(pop)
            .with_context(|| format!("there is no PoP {pop}"))
    }

    /// A PoP's server and link, to crash and resume it.
    ///
    /// # Errors
    /// There is no such PoP.
    pub fn leaf_mut(&mut self, pop: &str) -> Result<&mut Leaf> {
        self.leaves
            .get_mut(pop)
            .with_context(|| format!("there is no PoP {pop}"))
    }

    /// The seed file of a role at a server.
    pub fn seed_file(&self, server: &str, role: Role) -> PathBuf {
        self.keys().file(server, role)
    }

    /// How a role connects to a server: the hub (`hub`) or a PoP's.
    ///
    /// # Errors
    /// There is no such PoP.
    pub fn settings(&self, server: &str, role: Role) -> Result<NatsSettings> {
        Ok(NatsSettings {
            seed_file: Some(self.seed_file(server, role)),
            ..NatsSettings::new(self.server(server)?.url())
        })
    }

    /// A connection of the test's own, as a role at a server.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn connect(&self, server: &str, role: Role) -> Result<async_nats::Client> {
        Ok(self.settings(server, role)?.connect("test").await?)
    }

    /// What hosts are asked with from there: the operator.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn control_at(&self, server: &str) -> Result<ControlClient> {
        let client = self.connect(server, Role::Operator).await?;
        Ok(ControlClient::new(client, self.lattice.clone()))
    }

    /// Waits until a PoP's server has its link to the hub.
    ///
    /// # Errors
    /// It has not within the kit's deadline.
    pub async fn linked(&self, pop: &str) -> Result<()> {
        let client = self.connect(pop, Role::Operator).await?;
        let hub = jetstream::with_domain(client, HUB);
        until(&format!("{pop} is linked to the hub"), || async {
            Ok(hub.query_account().await?)
        })
        .await
        .with_context(|| self.server(pop).map(Server::output).unwrap_or_default())?;
        Ok(())
    }

    /// The `trellis` program, told where a server is and that it is the operator there.
    ///
    /// # Errors
    /// It is not built.
    pub fn trellis(&self, server: &str) -> Result<Command> {
        let mut command = Command::new(actors::trellis()?);
        command
            .current_dir(self.directory())
            .env_remove("RUST_LOG")
            .env("HOME", self.directory())
            .env("TRELLIS_NATS_URL", self.server(server)?.url())
            .env(
                "TRELLIS_NATS_SEED_FILE",
                self.seed_file(server, Role::Operator),
            );
        Ok(command)
    }

    /// Runs a `trellis` command to its end, as the operator at a server.
    ///
    /// # Errors
    /// It is not built or can't be run. An exit code that is not 0 is not an error here.
    pub async fn run_at(&self, server: &str, arguments: &[&str]) -> Result<Output> {
        let mut command = tokio::process::Command::from(self.trellis(server)?);
        command.args(arguments).kill_on_drop(true);
        // `app deploy` waits for two minutes.
        let ended = tokio::time::timeout(DEADLINE * 3, command.output());
        Ok(ended
            .await
            .with_context(|| format!("trellis {arguments:?} did not end"))??)
    }

    /// Runs a `trellis` command that must succeed, as the operator at the hub; what it printed.
    ///
    /// # Errors
    /// It did not succeed.
    pub async fn succeed(&self, arguments: &[&str]) -> Result<String> {
        self.succeed_at(HUB, arguments).await
    }

    /// As [`Self::succeed`], at a server.
    ///
    /// # Errors
    /// It did not succeed.
    pub async fn succeed_at(&self, server: &str, arguments: &[&str]) -> Result<String> {
        let output = self.run_at(server, arguments).await?;
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        ensure!(
            output.status.success(),
            "trellis {arguments:?}: {}\n{out}\n{err}",
            output.status
        );
        Ok(out.into_owned())
    }

    /// Starts an application manager at the hub, and waits until one answers.
    ///
    /// # Errors
    /// It does not start or answer.
    pub async fn start_wadm(&mut self) -> Result<()> {
        self.start_wadm_with(HUB, &[]).await
    }

    /// Starts an application manager at a server, with further arguments.
    ///
    /// # Errors
    /// It does not start or answer.
    pub async fn start_wadm_with(&mut self, server: &str, arguments: &[&str]) -> Result<()> {
        let mut command = self.trellis(server)?;
        command
            .arg("wadm")
            .args(["--js-domain", HUB])
            .args(arguments)
            .env("TRELLIS_NATS_SEED_FILE", self.seed_file(server, Role::Wadm));
        let name = format!("wadm-{}", self.managers.len());
        let process = Process::start(&name, self.directory(), command)?;
        let list = self.control.subjects().app("list");
        let nats = self.control.nats();
        let answer = until("wadm answers", || async {
            Ok(nats.request(list.clone(), bytes::Bytes::new()).await?)
        });
        answer.await.with_context(|| process.output())?;
        self.managers.push(process);
        Ok(())
    }

    /// A built actor's reference, signed by the lattice's issuer.
    ///
    /// # Errors
    /// It is not built.
    pub fn actor(&self, name: &str) -> Result<String> {
        actors::signed(name, &self.issuer, self.directory())
    }

    /// Puts a manifest at the hub and deploys it, and waits until it runs.
    ///
    /// # Errors
    /// It is refused or doesn't run within `trellis app deploy`'s time.
    pub async fn deploy(&self, manifest: &str) -> Result<String> {
        let file = self.directory().join("app.yaml");
        std::fs::write(&file, manifest)?;
        self.succeed(&["app", "deploy", &file.to_string_lossy()])
            .await
            .with_context(|| self.logs())
    }

    /// What a host runs, asked at the hub.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn inventory(&self, host: &HostId) -> Result<HostInventory> {
        Ok(self.control.inventory(host).await?)
    }

    /// The end of what each of its processes printed: what a failed test shows.
    pub fn logs(&self) -> String {
        let hosts = self.hosts.iter().map(|host| host.process.output());
        let managers = self.managers.iter().map(Process::output);
        let servers = std::iter::once(&self.hub)
            .chain(self.leaves.values().map(|leaf| &leaf.server))
            .map(Server::output);
        let tails: Vec<_> = hosts
            .chain(managers)
            .chain(servers)
            .map(|log| crate::lattice::tail(&log))
            .collect();
        tails.join("\n---\n")
    }

    fn server(&self, name: &str) -> Result<&Server> {
        if name == HUB {
            return Ok(&self.hub);
        }
        Ok(&self.leaf(name)?.server)
    }

    fn keys(&self) -> Keys {
        Keys(self.directory().join("keys"))
    }
}

/// The users' keys.
struct Keys(PathBuf);

impl Keys {
    fn file(&self, server: &str, role: Role) -> PathBuf {
        self.0.join(format!("{server}-{role}.nk"))
    }

    fn key(&self, server: &str, role: Role) -> Result<UserKey> {
        Ok(UserKey::read_or_create(&self.file(server, role))?)
    }

    fn settings(&self, server: &str, role: Role, port: u16) -> NatsSettings {
        NatsSettings {
            seed_file: Some(self.file(server, role)),
            ..NatsSettings::new(format!("nats://127.0.0.1:{port}"))
        }
    }
}

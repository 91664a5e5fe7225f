//! A lattice of a test's own: a NATS server, hosts, and what is asked of them.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    process::{Command, Output},
};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use trellis_lattice::{
    ComponentId, HostId, LatticeName, Link, LinkName,
    claims::AccountKey,
    client::ControlClient,
    config::Config,
    control::{component::ScaleComponent, host::HostInventory, provider::StartProvider},
};

use crate::{actors, nats::NatsServer, port, process::Process, wait::until};

/// A lattice that ends with this value.
#[derive(Debug)]
pub struct Lattice {
    /// What hosts are asked with.
    pub control: ControlClient,
    /// Hosts, in the order they were started.
    pub hosts: Vec<Host>,
    /// How many hosts were ever started: their names and folders stay their own.
    started: usize,
    /// Who signs the test's actors.
    pub issuer: AccountKey,
    /// Application managers, in the order they were started.
    pub managers: Vec<Process>,
    // Dropped after the processes that use it.
    /// Its NATS server.
    pub nats: NatsServer,
    directory: TempDir,
}

/// A host process.
#[derive(Debug)]
pub struct Host {
    /// Its id in the lattice.
    pub id: HostId,
    /// Its process.
    pub process: Process,
}

impl Lattice {
    /// A lattice with one host that trusts the lattice's issuer.
    ///
    /// # Errors
    /// A process does not start or answer.
    pub async fn start() -> Result<Self> {
        let mut lattice = Self::without_hosts().await?;
        lattice.add_host().await?;
        Ok(lattice)
    }

    /// A lattice with a NATS server and nobody in it.
    ///
    /// # Errors
    /// NATS does not start.
    pub async fn without_hosts() -> Result<Self> {
        let nats = NatsServer::start().await?;
        let control = ControlClient::new(nats.connect().await?, LatticeName::default());
        Ok(Self {
            control,
            hosts: Vec::new(),
            started: 0,
            issuer: AccountKey::generate(),
            managers: Vec::new(),
            nats,
            directory: TempDir::new()?,
        })
    }

    /// A folder of the test's own.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The `trellis` program, told where the lattice is.
    ///
    /// # Errors
    /// It is not built.
    pub fn trellis(&self) -> Result<Command> {
        let mut command = Command::new(actors::trellis()?);
        command
            .current_dir(self.directory())
            .env_remove("RUST_LOG")
            .env("HOME", self.directory())
            .env("TRELLIS_NATS_URL", self.nats.url());
        Ok(command)
    }

    /// Runs a `trellis` command to its end.
    ///
    /// # Errors
    /// It is not built or can't be run. An exit code that is not 0 is not an error here.
    pub async fn run(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = tokio::process::Command::from(self.trellis()?);
        command.args(arguments).kill_on_drop(true);
        let ended = tokio::time::timeout(crate::wait::DEADLINE, command.output());
        Ok(ended
            .await
            .with_context(|| format!("trellis {arguments:?} did not end"))??)
    }

    /// Runs a `trellis` command that must succeed; what it printed.
    ///
    /// # Errors
    /// It did not succeed.
    pub async fn succeed(&self, arguments: &[&str]) -> Result<String> {
        let output = self.run(arguments).await?;
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

    /// Starts another host, and waits until it answers.
    ///
    /// # Errors
    /// It does not start or answer.
    pub async fn add_host(&mut self) -> Result<HostId> {
        self.add_host_with(&[]).await
    }

    /// Starts another host with further arguments.
    ///
    /// # Errors
    /// It does not start or answer.
    pub async fn add_host_with(&mut self, arguments: &[&str]) -> Result<HostId> {
        let name = format!("host-{}", self.started);
        self.started += 1;
        let mut command = self.trellis()?;
        command
            .arg("host")
            .args(["--issuer", &self.issuer.public().to_string()])
            .arg("--data-dir")
            .arg(self.directory().join(&name))
            .args(["--friendly-name", &name])
            .args(arguments);
        let process = Process::start(&name, self.directory(), command)?;
        let answer = until("the host answers", || async {
            let hosts = self.control.hosts().await?;
            hosts
                .into_iter()
                .find(|host| host.friendly_name == name)
                .context("it is not in the lattice")
        });
        let id = answer.await.with_context(|| process.output())?.id;
        self.hosts.push(Host {
            id: id.clone(),
            process,
        });
        Ok(id)
    }

    /// Starts an application manager, and waits until one answers.
    ///
    /// # Errors
    /// It does not start or answer.
    pub async fn start_wadm(&mut self) -> Result<()> {
        let mut command = self.trellis()?;
        command.arg("wadm");
        let name = format!("wadm-{}", self.managers.len());
        let process = Process::start(&name, self.directory(), command)?;
        let (nats, list) = (
            self.control.nats().clone(),
            self.control.subjects().app("list"),
        );
        let answer = until("wadm answers", || async {
            Ok(nats.request(list.clone(), bytes::Bytes::new()).await?)
        });
        answer.await.with_context(|| process.output())?;
        self.managers.push(process);
        Ok(())
    }

    /// The first host.
    ///
    /// # Errors
    /// There is none.
    pub fn host(&self) -> Result<&Host> {
        self.hosts.first().context("the lattice has no host")
    }

    /// A built actor's reference, signed by the lattice's issuer.
    ///
    /// # Errors
    /// It is not built.
    pub fn actor(&self, name: &str) -> Result<String> {
        actors::signed(name, &self.issuer, self.directory())
    }

    /// Runs a built actor on the first host, and waits until it is there.
    ///
    /// # Errors
    /// The host refuses it.
    pub async fn run_actor(&self, id: &str, name: &str, count: u32) -> Result<()> {
        let host = self.host()?.id.clone();
        self.run_actor_on(&host, id, name, count, &[]).await
    }

    /// Runs a built actor on that host with configurations, and waits until it is there.
    ///
    /// # Errors
    /// The host refuses it.
    pub async fn run_actor_on(
        &self,
        host: &HostId,
        id: &str,
        name: &str,
        count: u32,
        config: &[&str],
    ) -> Result<()> {
        self.scale(host, id, &self.actor(name)?, count, config)
            .await?;
        let id = ComponentId::new(id)?;
        self.inventory_until(host, &format!("{id} runs"), |inventory| {
            inventory
                .component(&id)
                .is_some_and(|component| component.max_instances == count)
        })
        .await
    }

    /// Asks a host to scale, without waiting for it.
    ///
    /// # Errors
    /// It refuses.
    pub async fn scale(
        &self,
        host: &HostId,
        id: &str,
        reference: &str,
        count: u32,
        config: &[&str],
    ) -> Result<()> {
        let request = ScaleComponent {
            component_ref: reference.to_owned(),
            component_id: ComponentId::new(id)?,
            host_id: host.clone(),
            count,
            annotations: None,
            config: config.iter().map(|&name| name.to_owned()).collect(),
            allow_update: false,
            limits: None,
            dormant: false,
        };
        Ok(self.control.scale_component(&request).await?)
    }

    /// Starts a provider on the first host, and waits until it is there.
    ///
    /// # Errors
    /// The host refuses it.
    pub async fn run_provider(&self, id: &str, reference: &str, config: &[&str]) -> Result<()> {
        let host = &self.host()?.id;
        let id = ComponentId::new(id)?;
        let request = StartProvider {
            provider_id: id.clone(),
            provider_ref: reference.to_owned(),
            host_id: host.clone(),
            config: config.iter().map(|&name| name.to_owned()).collect(),
            annotations: None,
        };
        self.control.start_provider(&request).await?;
        self.inventory_until(host, &format!("{id} runs"), |inventory| {
            inventory.provider(&id).is_some()
        })
        .await
    }

    /// Waits until a host's inventory is as it should be.
    ///
    /// # Errors
    /// It was not within the kit's deadline.
    pub async fn inventory_until(
        &self,
        host: &HostId,
        what: &str,
        good: impl Fn(&HostInventory) -> bool,
    ) -> Result<()> {
        until(what, || async {
            let inventory = self.control.inventory(host).await?;
            ensure!(good(&inventory), "{inventory:?}");
            Ok(())
        })
        .await
        .with_context(|| self.logs())
    }

    /// A built actor's next version: one that says something else of the same length, signed by the lattice's issuer.
    ///
    /// # Errors
    /// It is not built, or doesn't say that.
    pub fn actor_saying(&self, name: &str, file: &str, change: (&str, &str)) -> Result<String> {
        actors::signed_saying(name, file, change, &self.issuer, self.directory())
    }

    /// Puts a manifest and deploys it, and waits until it runs.
    ///
    /// # Errors
    /// It is refused or doesn't run within `trellis app deploy`'s time.
    pub async fn deploy(&self, manifest: &str) -> Result<String> {
        let file = self.manifest_file(manifest)?;
        self.succeed(&["app", "deploy", &file])
            .await
            .with_context(|| self.logs())
    }

    /// Puts a manifest and deploys it, without waiting.
    ///
    /// # Errors
    /// It is refused.
    pub async fn begin_deploy(&self, manifest: &str) -> Result<String> {
        let file = self.manifest_file(manifest)?;
        self.succeed(&["app", "deploy", "--no-wait", &file])
            .await
            .with_context(|| self.logs())
    }

    fn manifest_file(&self, manifest: &str) -> Result<String> {
        let file = self.directory().join("app.yaml");
        std::fs::write(&file, manifest)?;
        Ok(file.to_string_lossy().into_owned())
    }

    /// How many instances of a component each host has, by the hosts' names. Hosts without any are left out.
    ///
    /// # Errors
    /// A host that said it is there doesn't answer.
    pub async fn instances(&self, component: &str) -> Result<BTreeMap<String, u32>> {
        let id = ComponentId::new(component)?;
        let mut counts = BTreeMap::new();
        for host in self.control.hosts().await? {
            let inventory = self.control.inventory(&host.id).await?;
            if let Some(there) = inventory.component(&id) {
                counts.insert(host.friendly_name, there.max_instances);
            }
        }
        Ok(counts)
    }

    /// Waits until a component's instances are on these hosts, as many on each.
    ///
    /// # Errors
    /// They were not within the kit's deadline.
    pub async fn instances_until(&self, component: &str, wanted: &[(&str, u32)]) -> Result<()> {
        let wanted: BTreeMap<String, u32> = wanted
            .iter()
            .map(|&(host, count)| (host.to_owned(), count))
            .collect();
        until(&format!("{component} is on {wanted:?}"), || async {
            let counts = self.instances(component).await?;
            ensure!(counts == wanted, "it is on {counts:?}");
            Ok(())
        })
        .await
        .with_context(|| self.logs())
    }

    /// Waits until nothing is left of any application: no component, no provider, no link, no configuration.
    ///
    /// # Errors
    /// Something was left within the kit's deadline.
    pub async fn empty_until(&self, configs: &[&str]) -> Result<()> {
        until("nothing is left", || async {
            for host in self.control.hosts().await? {
                let inventory = self.control.inventory(&host.id).await?;
                ensure!(
                    inventory.components.is_empty() && inventory.providers.is_empty(),
                    "{inventory:?}"
                );
            }
            let links = self.control.links().await?;
            ensure!(links.is_empty(), "{links:?}");
            for name in configs {
                ensure!(self.control.config(name).await?.is_none(), "config {name}");
            }
            Ok(())
        })
        .await
        .with_context(|| self.logs())
    }

    /// Puts a configuration.
    ///
    /// # Errors
    /// It is refused.
    pub async fn config(&self, name: &str, values: &[(&str, &str)]) -> Result<()> {
        let config: Config = values
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        Ok(self.control.put_config(name, &config).await?)
    }

    /// A link between the two for some interfaces of `namespace:package`.
    ///
    /// # Errors
    /// A name is none.
    pub fn link(source: &str, target: &str, package: &str, interfaces: &[&str]) -> Result<Link> {
        let (wit_namespace, wit_package) = package
            .split_once(':')
            .context("a package is namespace:name")?;
        Ok(Link {
            source_id: ComponentId::new(source)?,
            target: ComponentId::new(target)?,
            name: LinkName::default(),
            wit_namespace: wit_namespace.to_owned(),
            wit_package: wit_package.to_owned(),
            interfaces: interfaces.iter().map(|&name| name.to_owned()).collect(),
            source_config: Vec::new(),
            target_config: Vec::new(),
            within: None,
        })
    }

    /// Starts an HTTP server on a free port that serves `actor`; where it listens.
    ///
    /// # Errors
    /// Something is refused.
    pub async fn serve_http(&self, provider: &str, actor: &str) -> Result<SocketAddr> {
        self.serve_http_with(provider, actor, &[]).await
    }

    /// As [`Lattice::serve_http`], with further settings of the link.
    ///
    /// # Errors
    /// Something is refused.
    pub async fn serve_http_with(
        &self,
        provider: &str,
        actor: &str,
        settings: &[(&str, &str)],
    ) -> Result<SocketAddr> {
        let at = SocketAddr::from(([127, 0, 0, 1], port::free()?));
        let config = format!("{provider}-address");
        let address = at.to_string();
        let settings = [&[("address", address.as_str())], settings].concat();
        self.config(&config, &settings).await?;
        self.run_provider(provider, "builtin:http-server", &[])
            .await?;
        let link = Self::link(provider, actor, "wasi:http", &["incoming-handler"])?;
        self.control
            .put_link(&Link {
                source_config: vec![config],
                ..link
            })
            .await?;
        until("the HTTP server listens", || async {
            tokio::net::TcpStream::connect(at)
                .await
                .map(drop)
                .context("nobody listens")
        })
        .await
        .with_context(|| self.logs())?;
        Ok(at)
    }

    /// What all its processes printed.
    pub fn printed(&self) -> String {
        let printed: Vec<_> = self.processes().map(Process::output).collect();
        printed.join("\n")
    }

    fn processes(&self) -> impl Iterator<Item = &Process> {
        let hosts = self.hosts.iter().map(|host| &host.process);
        hosts.chain(&self.managers)
    }

    /// The end of what each of its processes printed: what a failed test shows.
    pub fn logs(&self) -> String {
        self.processes()
            .map(|process| tail(&process.output()))
            .collect::<Vec<_>>()
            .join("\n---\n")
    }
}

/// The end of a log: enough to see what went wrong.
pub(crate) fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

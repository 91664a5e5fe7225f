//! `trellis up --pops`: a lattice in many points of presence on one machine. A hub and a leaf node in each PoP, by the very
//! configurations that are deployed; hosts in processes of their own, which know their PoP's leaf only; the application
//! manager at the hub.

mod latency;
mod plan;
mod servers;
mod table;

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};
use tokio::time::{Instant, sleep, timeout};
use trellis_host::HostConfig;
use trellis_lattice::{
    ComponentId, HostId,
    claims::HostKey,
    topology::{HUB, Role},
};
use trellis_wadm::{
    manifest::{Component, Trait, TraitProperties},
    names,
};

use super::{
    answer::{self, Answered, Endpoint},
    apps,
    hosts::{HostCommand, HostProcess},
    progress::Progress,
    running::Running,
};
use crate::{
    app::{client::AppClient, manifest::Local, wait},
    exit::NoAnswer,
    host::HostSettings,
    lattice::keys::Keys,
    session::{Options, Session},
    state::State,
};
pub use plan::{PlannedHost, PlannedPop, PopSettings};
use servers::{Servers, Urls, log};
use table::{Ready, ReadyHost, ReadyPop, Url};

/// How long the hosts may take to answer. The first time each compiles on its own, and all at once.
const HOSTS_TIME: Duration = Duration::from_secs(120);
/// How long a host may take to end, beside what it may wait for others.
const STOP_TIME: Duration = Duration::from_secs(5);
/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(100);

/// What `up` was told, as far as it matters here.
pub struct Wanted<'a> {
    /// The PoPs.
    pub pops: &'a [PlannedPop],
    /// How they were asked for.
    pub settings: &'a PopSettings,
    /// What each host is told.
    pub host: &'a HostSettings,
    /// The nats-server program.
    pub nats_server: PathBuf,
    /// Whose signatures count.
    pub issuers: Vec<String>,
    /// Run what is not signed, too.
    pub allow_unsigned: bool,
    /// The state.
    pub state: &'a State,
    /// Who is told.
    pub progress: &'a Progress,
}

/// A lattice that is up, before anything is deployed.
pub struct Up {
    /// As who and where the lattice is asked.
    pub options: Options,
    urls: Urls,
    hosts: BTreeMap<String, HostId>,
}

impl Up {
    /// `POP/HOST` with the host's name for its id.
    fn named(&self, served_by: &str) -> String {
        let named = served_by.split_once('/').and_then(|(pop, id)| {
            let (name, _) = self.hosts.iter().find(|(_, host)| host.as_str() == id)?;
            Some(format!("{pop}/{name}"))
        });
        named.unwrap_or_else(|| served_by.to_owned())
    }
}

impl Wanted<'_> {
    /// Checks, before anything is started, that nobody listens where the applications will: an answer would be somebody
    /// else's.
    ///
    /// # Errors
    /// Somebody does.
    pub fn check(&self, apps: &[Local]) -> anyhow::Result<()> {
        for app in apps {
            for endpoint in answer::endpoints(&app.manifest) {
                let hosts = self.pops.iter().flat_map(|pop| &pop.hosts);
                let each: Vec<_> = hosts.filter_map(|host| endpoint.at(host.address)).collect();
                let all = if each.is_empty() {
                    vec![endpoint]
                } else {
                    each
                };
                for endpoint in all {
                    endpoint
                        .is_free()
                        .with_context(|| format!("application {}", app.name()))?;
                }
            }
        }
        Ok(())
    }

    /// Starts everything.
    ///
    /// # Errors
    /// Something doesn't start, or not in time.
    pub async fn start(&self, running: &mut Running, options: &Options) -> anyhow::Result<Up> {
        let keys = Keys::of(self.state)?;
        let servers = Servers {
            program: self.nats_server.clone(),
            state: self.state,
            keys: &keys,
            data: self.settings.data.data(options)?,
            options,
            progress: self.progress,
        };
        let urls = servers.start(self.pops, running).await?;
        for (pop, url) in self.pops.iter().zip(&urls.pops) {
            for host in &pop.hosts {
                let command = self.host(pop, host, url, &keys, options)?;
                running.hosts.push(HostProcess::start(command)?);
            }
        }
        let at_hub = |role| Options {
            nats_url: Some(urls.hub.clone()),
            creds: None,
            nats_jwt: None,
            nats_seed: None,
            nats_seed_file: Some(keys.file(HUB, role)),
            ..options.clone()
        };
        let options = at_hub(Role::Operator);
        let session = options.connect().await?;
        let hosts = self.answer(&session, running).await?;
        running
            .services
            .start_wadm(&at_hub(Role::Wadm), self.progress)
            .await?;
        Ok(Up {
            options,
            urls,
            hosts,
        })
    }

    fn host(
        &self,
        pop: &PlannedPop,
        host: &PlannedHost,
        url: &str,
        keys: &Keys,
        options: &Options,
    ) -> anyhow::Result<HostCommand> {
        let key = self.state.folder("keys")?.join(format!("{}.nk", host.name));
        // Kept, so that another `up` has the same hosts.
        HostKey::read_or_create(&key)?;
        let server = pop.name.as_str();
        let mut arguments: Vec<OsString> = vec!["host".into()];
        let mut add = |flag: &str, value: OsString| {
            arguments.push(flag.into());
            arguments.push(value);
        };
        add("--lattice", options.lattice.as_str().into());
        add("--state-dir", self.state.root().into());
        add("--nats-url", url.into());
        add("--nats-seed-file", keys.file(server, Role::Host).into());
        add(
            "--provider-seed-file",
            keys.file(server, Role::Provider).into(),
        );
        add("--js-domain", HUB.into());
        add("--host-key", key.into());
        add("--data-dir", folder(self.state, &host.name)?.into());
        add("--friendly-name", host.name.clone().into());
        add("--pop", server.into());
        if let Some(region) = &pop.region {
            add("--region", region.as_str().into());
        }
        add("--bind", host.address.to_string().into());
        for issuer in &self.issuers {
            add("--issuer", issuer.into());
        }
        if self.allow_unsigned {
            arguments.push("--allow-unsigned".into());
        }
        arguments.extend(self.host.arguments().into_iter().map(OsString::from));
        let config: HostConfig = self.host.config(options)?;
        Ok(HostCommand {
            name: host.name.clone(),
            program: std::env::current_exe().context("this program's own file")?,
            arguments,
            log: log(self.state, &host.name)?,
            stop_time: config.drain_timeout + config.provider_stop_grace * 2 + STOP_TIME,
        })
    }

    /// Waits until every host answers; their ids by their names.
    async fn answer(
        &self,
        session: &Session,
        running: &mut Running,
    ) -> anyhow::Result<BTreeMap<String, HostId>> {
        let deadline = Instant::now() + HOSTS_TIME;
        let mut found = BTreeMap::new();
        loop {
            for host in session.control.hosts().await? {
                let name = host.friendly_name;
                if running.hosts.iter().any(|one| one.name() == name)
                    && found.insert(name.clone(), host.id.clone()).is_none()
                {
                    self.progress.step(&name, &host.id);
                }
            }
            if found.len() == running.hosts.len() {
                return Ok(found);
            }
            for host in &mut running.hosts {
                if let Some(why) = host.why_ended().await? {
                    bail!("host {} {why}", host.name());
                }
                if Instant::now() > deadline && !found.contains_key(host.name()) {
                    bail!(
                        "host {} doesn't answer; its log is {}",
                        host.name(),
                        log(self.state, host.name())?.display()
                    );
                }
            }
            sleep(INTERVAL).await;
        }
    }

    /// Deploys the applications, and asks at each host that listens for one who serves it there.
    ///
    /// # Errors
    /// One can't be deployed, or doesn't answer in time.
    pub async fn deploy(
        &self,
        up: &Up,
        applications: &[Local],
        within: Duration,
    ) -> anyhow::Result<Ready> {
        let session = up.options.connect().await?;
        let client = AppClient::new(&session);
        let deploying = applications
            .iter()
            .map(|app| apps::deploy(&client, app, within, self.progress));
        futures::future::try_join_all(deploying).await?;
        for app in applications {
            self.listens(&session, up, app, within).await?;
            wait::until_deployed(&client, app.name(), within, |_| {}).await?;
        }

        let mut ready = Ready {
            lattice: up.options.lattice.to_string(),
            nats_url: up.urls.hub.clone(),
            issuer: self.issuers.last().cloned().unwrap_or_default(),
            applications: applications
                .iter()
                .map(|app| app.name().to_owned())
                .collect(),
            pops: Vec::new(),
            seconds: 0.0,
        };
        for (pop, url) in self.pops.iter().zip(&up.urls.pops) {
            let asked = pop
                .hosts
                .iter()
                .map(|host| self.ask(&session, up, host, applications, within));
            ready.pops.push(ReadyPop {
                pop: pop.name.to_string(),
                region: pop.region.as_ref().map(ToString::to_string),
                nats_url: url.clone(),
                hosts: futures::future::try_join_all(asked).await?,
            });
        }
        ready.seconds = self.progress.seconds();
        Ok(ready)
    }

    /// Waits until an application's servers run where they are to. A PoP that a manager which has just begun doesn't see
    /// yet counts with what it ran before.
    async fn listens(
        &self,
        session: &Session,
        up: &Up,
        app: &Local,
        within: Duration,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + within;
        for endpoint in answer::endpoints(&app.manifest) {
            let Some((component, provider)) = listener(app, &endpoint)? else {
                continue;
            };
            let wanted = self.servers_of(component);
            loop {
                let asked = up.hosts.values().map(|id| session.control.inventory(id));
                let answers = futures::future::join_all(asked).await;
                let running = answers
                    .iter()
                    .flatten()
                    .filter(|inventory| inventory.provider(&provider).is_some())
                    .count();
                if running >= wanted {
                    break;
                }
                if Instant::now() > deadline {
                    return Err(NoAnswer(format!(
                        "{provider} runs on {running} of {wanted} hosts after {}",
                        humantime::format_duration(within)
                    ))
                    .into());
                }
                sleep(INTERVAL).await;
            }
        }
        Ok(())
    }

    /// On how many hosts a server is to run, at least.
    fn servers_of(&self, component: &Component) -> usize {
        let traits = component.traits();
        let bounded = traits
            .iter()
            .any(|one| matches!(one.properties, TraitProperties::Placement(_)));
        let arguments = self.host.arguments();
        let tainted = arguments.iter().any(|one| one.starts_with("--taint"));
        let scaled = traits.iter().find_map(|one| match &one.properties {
            TraitProperties::Spread(spread) => Some((one.ty == Trait::DAEMON, spread)),
            _ => None,
        });
        match scaled {
            Some((_, spread)) if spread.instances == 0 => 0,
            Some((true, spread)) if spread.spread.is_empty() && !bounded && !tainted => {
                self.pops.iter().map(|pop| pop.hosts.len()).sum()
            }
            _ => 1,
        }
    }

    /// Asks at one host for every application that listens there.
    async fn ask(
        &self,
        session: &Session,
        up: &Up,
        host: &PlannedHost,
        applications: &[Local],
        within: Duration,
    ) -> anyhow::Result<ReadyHost> {
        let id = up.hosts.get(&host.name).context("the host's id")?;
        // One that has gone meanwhile is started again, and asked by nobody now.
        let asked = timeout(session.timeout, session.control.inventory(id)).await;
        let inventory = asked.ok().and_then(Result::ok);
        let runs = |provider: &ComponentId| {
            inventory
                .as_ref()
                .is_some_and(|inventory| inventory.provider(provider).is_some())
        };
        let mut urls = Vec::new();
        for app in applications {
            for endpoint in answer::endpoints(&app.manifest) {
                if !listener(app, &endpoint)?.is_some_and(|(_, provider)| runs(&provider)) {
                    continue;
                }
                // One that listens at a certain address does so wherever it runs.
                let endpoint = endpoint.at(host.address).unwrap_or(endpoint);
                let Answered { status, served_by } = endpoint.answers(within).await?;
                self.progress.step(
                    app.name(),
                    format_args!("{} answers (status {status})", endpoint.url()),
                );
                urls.push(Url {
                    application: app.name().to_owned(),
                    url: endpoint.url(),
                    status,
                    served_by: served_by.map(|served_by| up.named(&served_by)),
                });
            }
        }
        Ok(ReadyHost {
            host: host.name.clone(),
            host_id: id.to_string(),
            urls,
        })
    }
}

/// The component that listens, and its id in the lattice.
fn listener<'a>(
    app: &'a Local,
    endpoint: &Endpoint,
) -> anyhow::Result<Option<(&'a Component, ComponentId)>> {
    let components = &app.manifest.spec.components;
    let component = components
        .iter()
        .find(|component| component.name == endpoint.component);
    component
        .map(|component| {
            let id = names::component_id(app.name(), &component.name, component.properties());
            Ok((component, id?))
        })
        .transpose()
}

/// The folder of one server or host: what it keeps between two runs.
fn folder(state: &State, name: &str) -> anyhow::Result<PathBuf> {
    state.folder("pops")?;
    state.folder(&format!("pops/{name}"))
}

//! `trellis up`: a whole lattice from one command, and nothing left of it afterwards.
//!
//! NATS is a child; a host and an application manager are in this process; the host starts providers. With `--pops` there
//! is a NATS server for each point of presence, and hosts are children too. What they keep is in the state's folder, so
//! that another `up` is warm.

mod answer;
mod apps;
mod child;
mod hosts;
mod logs;
mod nats;
mod pops;
mod progress;
mod rotating;
mod running;
mod services;

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::Args;
use trellis_lattice::claims::HostKey;

use crate::{
    app::{client::AppClient, manifest::Local},
    ending::Endings,
    host::HostSettings,
    session::Options,
    state::{
        State,
        running::{self as noted, Lock, Running as Note},
        tell_new_account,
    },
};
use nats::{NatsOptions, NatsServer, Setup};
use pops::{PlannedPop, PopSettings, Wanted};
use progress::{Progress, Ready};
use running::Running;

/// What to start.
#[derive(Args, Debug)]
pub struct Up {
    /// Deploy this manifest and wait until it answers; repeatable.
    #[arg(long = "app", value_name = "FILE")]
    apps: Vec<PathBuf>,
    /// The port of the NATS server that is started [default: 4222, or a free one where that is in use].
    #[arg(
        long,
        env = "TRELLIS_NATS_PORT",
        value_name = "PORT",
        conflicts_with = "nats_url"
    )]
    nats_port: Option<u16>,
    /// The nats-server program [default: the one on PATH].
    #[arg(long, env = "TRELLIS_NATS_SERVER", value_name = "PROGRAM")]
    nats_server: Option<PathBuf>,
    /// Also trust what this account (A…) signed; repeatable. The development key is trusted anyway.
    #[arg(
        long = "issuer",
        visible_alias = "trusted-issuer",
        env = "TRELLIS_ISSUERS",
        value_delimiter = ',',
        value_name = "KEY"
    )]
    issuers: Vec<String>,
    /// Refuse what is not signed.
    #[arg(long)]
    signed_only: bool,
    /// How long applications may take until they answer.
    #[arg(long, default_value = "2m", value_name = "TIME", value_parser = humantime::parse_duration)]
    wait: Duration,
    /// Forget what an earlier one kept: applications, data and compiled components. Keys stay.
    #[arg(long)]
    fresh: bool,
    /// Show on standard error all that is logged.
    #[arg(long, short)]
    verbose: bool,
    #[command(flatten, next_help_heading = "Many points of presence")]
    pops: PopSettings,
    #[command(flatten, next_help_heading = "Each host")]
    host: HostSettings,
}

/// What is worked with, all along.
struct Work<'a> {
    options: &'a Options,
    state: &'a State,
    lock: &'a Lock,
    apps: &'a [Local],
    /// The PoPs to be made; one lattice without, where there are none.
    pops: Option<&'a [PlannedPop]>,
    progress: &'a Progress,
}

impl Up {
    /// Starts everything, waits until it is told to end, and ends what it started.
    ///
    /// # Errors
    /// Something can't be started, doesn't answer in time, or ends by itself.
    pub async fn run(self, options: &Options) -> anyhow::Result<()> {
        let progress = Progress::begin();
        // What can be refused is, before anything is started.
        let apps = self
            .apps
            .iter()
            .map(|file| Local::read(file))
            .collect::<anyhow::Result<Vec<_>>>()?;
        apps.iter().for_each(Local::warn);
        let pops = self.pops.plan()?;
        let state = options.state();
        let lock = Lock::take(&state)?;
        if self.fresh {
            noted::forget(&state)?;
        }
        let logs = logs::start(&state.folder("logs")?, self.verbose)?;
        let mut endings = Endings::listen()?;

        let work = Work {
            options,
            state: &state,
            lock: &lock,
            apps: &apps,
            pops: pops.as_deref(),
            progress: &progress,
        };
        let mut running = Running::default();
        let outcome = tokio::select! {
            outcome = self.work(&mut running, &work) => outcome,
            why = lock.lost() => Err(why),
            why = endings.next() => {
                eprintln!();
                progress.step("ending", why);
                Ok(())
            }
        };
        lock.clear();
        logs.ending();
        // A second Ctrl-C doesn't wait: dropping what runs ends it at once.
        tokio::select! {
            () = running.stop() => progress.step("ended", "everything that was started"),
            why = endings.next() => progress.step("ended", format_args!("at once ({why})")),
        }
        outcome
    }

    /// Starts everything and goes on until something ends by itself.
    async fn work(&self, running: &mut Running, work: &Work<'_>) -> anyhow::Result<()> {
        let (issuer, new) = work.state.account()?;
        if new {
            tell_new_account(&work.state.account_key(), &issuer.public());
        }
        let mut issuers = self.issuers.clone();
        issuers.push(issuer.public().to_string());
        match work.pops {
            None => self.one_server(running, work, issuers).await?,
            Some(pops) => self.many_pops(running, work, pops, issuers).await?,
        }
        Err(running.ended(work.progress).await)
    }

    /// One NATS server, one host, one application manager.
    async fn one_server(
        &self,
        running: &mut Running,
        work: &Work<'_>,
        issuers: Vec<String>,
    ) -> anyhow::Result<()> {
        let Work {
            state,
            apps,
            progress,
            ..
        } = *work;
        let mut options = work.options.clone();
        if options.nats_url.is_none() {
            // In a lattice of our own nobody serves these yet.
            for app in apps {
                for endpoint in answer::endpoints(&app.manifest) {
                    endpoint
                        .is_free()
                        .with_context(|| format!("application {}", app.name()))?;
                }
            }
            let how = NatsOptions {
                program: nats::find(self.nats_server.as_deref())?,
                setup: Setup::Alone {
                    port: nats::choose_port(self.nats_port)?,
                    data: state.folder("nats")?,
                },
                log: state.folder("logs")?.join("nats-server.log"),
            };
            let server = NatsServer::start(how).await?;
            options.nats_url = Some(server.url().to_owned());
            progress.step(
                server.name(),
                format_args!("{} at {}", server.version(), server.url()),
            );
            running.servers.push(server);
        }
        let mut config = self.host.config(&options)?;
        config.host_key = Some(host_key(state)?.seed());
        config.cache_dir = state.folder("host")?.join("cache");
        config.data_dir = state.folder("host")?;
        config.issuers = issuers;
        config.allow_unsigned = self.allows_unsigned(progress);
        let services = &mut running.services;
        let host_id = services.start_host(config, progress).await?;
        services.start_wadm(&options, progress).await?;

        let session = options.connect().await?;
        let nats_url = options.nats().servers();
        work.lock.tell(&Note {
            process: std::process::id(),
            nats_url: nats_url.clone(),
            lattice: options.lattice.to_string(),
            seed_file: None,
        })?;
        let deploying = apps::deploy_all(AppClient::new(&session), apps, self.wait, progress);
        let urls = tokio::select! {
            urls = deploying => urls?,
            ended = running.ended(progress) => return Err(ended),
        };
        let issuer = state.account()?.0.public();
        let ready = Ready {
            lattice: options.lattice.to_string(),
            nats_url,
            host_id: host_id.to_string(),
            issuer: issuer.to_string(),
            applications: apps.iter().map(|app| app.name().to_owned()).collect(),
            urls,
            seconds: progress.seconds(),
        };
        Ok(ready.print(options.output)?)
    }

    /// A hub, and in each PoP a leaf and hosts.
    async fn many_pops(
        &self,
        running: &mut Running,
        work: &Work<'_>,
        pops: &[PlannedPop],
        issuers: Vec<String>,
    ) -> anyhow::Result<()> {
        let wanted = Wanted {
            pops,
            settings: &self.pops,
            host: &self.host,
            nats_server: nats::find(self.nats_server.as_deref())?,
            issuers,
            allow_unsigned: self.allows_unsigned(work.progress),
            state: work.state,
            progress: work.progress,
        };
        wanted.check(work.apps)?;
        let up = wanted.start(running, work.options).await?;
        let nats = up.options.nats();
        let seed_file = nats.seed_file.as_deref().map(std::path::absolute);
        work.lock.tell(&Note {
            process: std::process::id(),
            nats_url: nats.servers(),
            lattice: up.options.lattice.to_string(),
            seed_file: seed_file.transpose().context("the operator's seed file")?,
        })?;
        let deploying = wanted.deploy(&up, work.apps, self.wait);
        let ready = tokio::select! {
            ready = deploying => ready?,
            ended = running.ended(work.progress) => return Err(ended),
        };
        Ok(ready.print(up.options.output)?)
    }

    fn allows_unsigned(&self, progress: &Progress) -> bool {
        let allowed = !self.signed_only;
        if allowed {
            progress.step("WARNING", "development mode: unsigned components and providers run too (--signed-only refuses them)");
        }
        allowed
    }
}

/// The host's key, kept so that another `up` is the same host.
fn host_key(state: &State) -> anyhow::Result<HostKey> {
    Ok(HostKey::read_or_create(
        &state.folder("keys")?.join("host.nk"),
    )?)
}

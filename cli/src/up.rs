//! `trellis up`: a whole lattice from one command, and nothing left of it afterwards.
//!
//! NATS is a child; a host and an application manager are in this process; the host starts providers. What they
//! keep is in the state's folder, so that another `up` is warm.

mod answer;
mod logs;
mod nats;
mod progress;
mod rotating;
mod services;

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::Args;
use trellis_lattice::claims::{HostKey, KeyError};

use crate::{
    app::{client::AppClient, deploy, manifest::Local, wait},
    ending::Endings,
    host::HostSettings,
    session::Options,
    state::{
        State,
        running::{self, Lock, Running},
        tell_new_account,
    },
};
use answer::Endpoint;
use nats::{NatsOptions, NatsServer};
use progress::{Progress, Ready};
use services::Services;

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
    #[command(flatten)]
    host: HostSettings,
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
        let state = options.state();
        let lock = Lock::take(&state)?;
        if self.fresh {
            running::forget(&state)?;
        }
        let logs = logs::start(&state.folder("logs")?, self.verbose)?;
        let mut endings = Endings::listen()?;

        let mut lattice = Lattice::default();
        let outcome = tokio::select! {
            outcome = self.work(&mut lattice, &apps, options, &state, &lock, &progress) => outcome,
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
            () = lattice.stop() => progress.step("ended", "everything that was started"),
            why = endings.next() => progress.step("ended", format_args!("at once ({why})")),
        }
        outcome
    }

    /// Starts everything and goes on until something ends by itself.
    async fn work(
        &self,
        lattice: &mut Lattice,
        apps: &[Local],
        options: &Options,
        state: &State,
        lock: &Lock,
        progress: &Progress,
    ) -> anyhow::Result<()> {
        let mut options = options.clone();
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
                port: nats::choose_port(self.nats_port)?,
                data: state.folder("nats")?,
                log: state.folder("logs")?.join("nats-server.log"),
            };
            let server = lattice.nats.insert(NatsServer::start(how).await?);
            options.nats_url = Some(server.url().to_owned());
            progress.step(
                "nats-server",
                format_args!("{} at {}", server.version(), server.url()),
            );
        }
        let (issuer, new) = state.account()?;
        if new {
            tell_new_account(&state.account_key(), &issuer.public());
        }
        let mut config = self.host.config(&options);
        config.host_key = Some(host_key(state)?.seed());
        config.cache_dir = state.folder("host")?.join("cache");
        config.data_dir = state.folder("host")?;
        config.issuers = self.issuers.clone();
        config.issuers.push(issuer.public().to_string());
        config.allow_unsigned = !self.signed_only;
        if config.allow_unsigned {
            progress.step("WARNING", "development mode: unsigned components and providers run too (--signed-only refuses them)");
        }
        let services = &mut lattice.services;
        let host_id = services.start(config, &options, progress).await?;

        let session = options.connect().await?;
        let nats_url = options.nats().servers();
        lock.tell(&Running {
            process: std::process::id(),
            nats_url: nats_url.clone(),
            lattice: options.lattice.to_string(),
        })?;
        let deploying = deploy_all(AppClient::new(&session), apps, self.wait, progress);
        let urls = tokio::select! {
            urls = deploying => urls?,
            ended = lattice.ended(progress) => return Err(ended),
        };
        let ready = Ready {
            lattice: options.lattice.to_string(),
            nats_url,
            host_id: host_id.to_string(),
            issuer: issuer.public().to_string(),
            applications: apps.iter().map(|app| app.name().to_owned()).collect(),
            urls,
            seconds: progress.seconds(),
        };
        ready.print(options.output)?;
        Err(lattice.ended(progress).await)
    }
}

/// What was started.
#[derive(Default)]
struct Lattice {
    services: Services,
    nats: Option<NatsServer>,
}

impl Lattice {
    /// Looks after what was started until a part ends that can't be started again; why. NATS can.
    async fn ended(&mut self, progress: &Progress) -> anyhow::Error {
        loop {
            let Some(nats) = &mut self.nats else {
                return self.services.ended().await;
            };
            let ended = tokio::select! {
                error = self.services.ended() => return error,
                ended = nats.ended() => ended,
            };
            match ended {
                Ok(why) => progress.step("nats-server", format_args!("{why}; it is started again")),
                Err(error) => return error,
            }
            if let Err(error) = nats.restart().await {
                return error;
            }
            progress.step("nats-server", format_args!("at {} again", nats.url()));
        }
    }

    /// Ends what was started, NATS last.
    async fn stop(&mut self) {
        self.services.stop().await;
        if let Some(nats) = &mut self.nats {
            nats.stop().await;
        }
    }
}

/// Deploys applications side by side; where they answer.
async fn deploy_all(
    client: AppClient,
    apps: &[Local],
    within: Duration,
    progress: &Progress,
) -> anyhow::Result<Vec<String>> {
    let deploying = apps
        .iter()
        .map(|app| deploy_one(&client, app, within, progress));
    let urls = futures::future::try_join_all(deploying).await?;
    Ok(urls.into_iter().flatten().collect())
}

async fn deploy_one(
    client: &AppClient,
    app: &Local,
    within: Duration,
    progress: &Progress,
) -> anyhow::Result<Vec<String>> {
    let (name, version) = deploy::put(client, app).await?;
    client.deploy(&name, version).await?;
    wait::until_deployed(client, &name, within, |now| progress.step(&name, now)).await?;
    progress.step(&name, "deployed");
    let mut urls = Vec::new();
    for endpoint in answer::endpoints(&app.manifest) {
        let status = endpoint.answers(within).await?;
        progress.step(
            &name,
            format_args!("{} answers (status {status})", endpoint.url()),
        );
        urls.push(Endpoint::url(&endpoint));
    }
    Ok(urls)
}

/// The host's key, kept so that another `up` is the same host.
fn host_key(state: &State) -> anyhow::Result<HostKey> {
    let path = state.folder("keys")?.join("host.nk");
    match HostKey::read_file(&path) {
        Err(KeyError::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            let key = HostKey::generate();
            key.write_file(&path)?;
            Ok(key)
        }
        key => Ok(key?),
    }
}

//! The host and the application manager, side by side in this process.

use std::time::Duration;

use anyhow::{anyhow, bail};
use tokio::{
    sync::oneshot,
    task::{JoinError, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use trellis_host::HostConfig;
use trellis_lattice::HostId;
use trellis_wadm::{Settings, WadmConfig};

use super::progress::Progress;
use crate::session::Options;

/// How long they may take to be ready.
const READY_TIME: Duration = Duration::from_secs(60);
/// How long beyond its own bounds a host may take to end.
const STOP_MARGIN: Duration = Duration::from_secs(5);

/// What runs.
pub struct Services {
    tasks: JoinSet<(&'static str, anyhow::Result<()>)>,
    manager: CancellationToken,
    host: CancellationToken,
    host_ready: Option<oneshot::Receiver<HostId>>,
    manager_ready: Option<oneshot::Receiver<()>>,
    stop_time: Duration,
}

impl Services {
    /// Starts both.
    pub fn start(host: HostConfig, options: &Options) -> Self {
        let (manager_stop, host_stop) = (CancellationToken::new(), CancellationToken::new());
        let (tell_host, host_ready) = oneshot::channel();
        let (tell_manager, manager_ready) = oneshot::channel();
        let wadm = WadmConfig {
            lattices: vec![options.lattice.clone()],
            nats: options.nats(),
            settings: Settings::default(),
        };
        let stop_time = host.drain_timeout + host.provider_stop_grace + STOP_MARGIN;
        let mut tasks = JoinSet::new();
        let stop = host_stop.clone();
        tasks.spawn(async move {
            let outcome = trellis_host::run(host, tell_host, stop).await;
            ("host", outcome.map_err(anyhow::Error::new))
        });
        let stop = manager_stop.clone();
        tasks.spawn(async move {
            let outcome = trellis_wadm::run(wadm, tell_manager, stop).await;
            ("application manager", outcome.map_err(anyhow::Error::new))
        });
        Self {
            tasks,
            manager: manager_stop,
            host: host_stop,
            host_ready: Some(host_ready),
            manager_ready: Some(manager_ready),
            stop_time,
        }
    }

    /// Waits until both are ready; the host's id.
    ///
    /// # Errors
    /// One of them fails, or takes too long.
    pub async fn ready(&mut self, progress: &Progress) -> anyhow::Result<HostId> {
        let (Some(host), Some(manager)) = (self.host_ready.take(), self.manager_ready.take())
        else {
            bail!("asked twice whether the lattice is ready");
        };
        let both = async {
            let host = async {
                let id = host.await.ok()?;
                progress.step("host", &id);
                Some(id)
            };
            let manager = async {
                manager.await.ok()?;
                progress.step("wadm", "ready");
                Some(())
            };
            tokio::join!(host, manager)
        };
        // One that fails drops its end of the channel; why, its task says.
        match timeout(READY_TIME, both).await {
            Ok((Some(host), Some(()))) => Ok(host),
            Ok(_) => Err(self.ended().await),
            Err(_) => Err(anyhow!(
                "the lattice is not ready after {}; the logs say more",
                humantime::format_duration(READY_TIME)
            )),
        }
    }

    /// Waits until one of them ends by itself; why.
    pub async fn ended(&mut self) -> anyhow::Error {
        match self.tasks.join_next().await {
            None => anyhow!("the host and the application manager have ended"),
            Some(ended) => why(ended),
        }
    }

    /// Ends both: first the manager, which would miss what the host stops; at once what doesn't end in time.
    pub async fn stop(mut self) {
        self.manager.cancel();
        self.host.cancel();
        let ended = async {
            while let Some(ended) = self.tasks.join_next().await {
                if let Ok((name, Err(error))) | Err((name, error)) =
                    ended.map_err(|error| ("a part", error.into()))
                {
                    tracing::warn!(part = name, error = %format_args!("{error:#}"), "did not end well");
                }
            }
        };
        if timeout(self.stop_time, ended).await.is_err() {
            tracing::warn!("the host doesn't end, it is ended at once");
            self.tasks.shutdown().await;
        }
    }
}

fn why(ended: Result<(&'static str, anyhow::Result<()>), JoinError>) -> anyhow::Error {
    match ended {
        Ok((name, Ok(()))) => anyhow!("the {name} was stopped"),
        Ok((name, Err(error))) => error.context(format!("the {name} can't go on")),
        Err(error) => anyhow!("a part of the lattice failed: {error}"),
    }
}

//! A host and the application manager, side by side in this process.

use std::{future::Future, time::Duration};

use anyhow::anyhow;
use tokio::{sync::oneshot, task::JoinError, time::timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use trellis_host::HostConfig;
use trellis_lattice::HostId;
use trellis_wadm::{Settings, WadmConfig};

use super::progress::Progress;
use crate::session::Options;

/// How long each may take to be ready.
const READY_TIME: Duration = Duration::from_secs(60);
/// How long each may take to end, beside what it may wait for others.
const STOP_TIME: Duration = Duration::from_secs(5);

/// What runs, in the order in which it was started. Dropping it ends it at once.
#[derive(Default)]
pub struct Services {
    parts: Vec<Part>,
}

struct Part {
    name: &'static str,
    stop: CancellationToken,
    stop_time: Duration,
    task: AbortOnDropHandle<anyhow::Result<()>>,
}

impl Services {
    /// Starts a host; its id.
    ///
    /// # Errors
    /// It fails, or takes too long.
    pub async fn start_host(
        &mut self,
        host: HostConfig,
        progress: &Progress,
    ) -> anyhow::Result<HostId> {
        let (tell, ready) = oneshot::channel();
        let stop_time = host.drain_timeout + host.provider_stop_grace + STOP_TIME;
        self.part("host", stop_time, |stop| async {
            Ok(trellis_host::run(host, tell, stop).await?)
        });
        let id = self.ready(ready).await?;
        progress.step("host", &id);
        Ok(id)
    }

    /// Starts the application manager: after the hosts, which it so finds when it first looks.
    ///
    /// # Errors
    /// It fails, or takes too long.
    pub async fn start_wadm(
        &mut self,
        options: &Options,
        progress: &Progress,
    ) -> anyhow::Result<()> {
        let wadm = WadmConfig {
            lattices: vec![options.lattice.clone()],
            nats: options.nats(),
            js_domain: None,
            settings: Settings::default(),
        };
        let (tell, ready) = oneshot::channel();
        self.part("wadm", STOP_TIME, |stop| async {
            Ok(trellis_wadm::run(wadm, tell, stop).await?)
        });
        self.ready(ready).await?;
        progress.step("wadm", "ready");
        Ok(())
    }

    fn part<F>(
        &mut self,
        name: &'static str,
        stop_time: Duration,
        run: impl FnOnce(CancellationToken) -> F,
    ) where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let task = AbortOnDropHandle::new(tokio::spawn(run(stop.clone())));
        self.parts.push(Part {
            name,
            stop,
            stop_time,
            task,
        });
    }

    async fn ready<T>(&mut self, ready: oneshot::Receiver<T>) -> anyhow::Result<T> {
        match timeout(READY_TIME, ready).await {
            Ok(Ok(said)) => Ok(said),
            // One that fails drops its end of the channel; why, its task says.
            Ok(Err(_)) => Err(self.ended().await),
            Err(_) => Err(anyhow!(
                "the lattice is not ready after {}; its logs say more",
                humantime::format_duration(READY_TIME)
            )),
        }
    }

    /// Waits until one of them ends by itself; why.
    pub async fn ended(&mut self) -> anyhow::Error {
        if self.parts.is_empty() {
            return std::future::pending().await;
        }
        let tasks = self.parts.iter_mut().map(|part| &mut part.task);
        let (ended, index, _) = futures::future::select_all(tasks).await;
        // A task that has ended is not asked again.
        let part = self.parts.remove(index);
        why(part.name, ended)
    }

    /// Ends them, the manager before the host, lest it looks after what is being stopped; at once what doesn't end
    /// in time.
    pub async fn stop(&mut self) {
        while let Some(mut part) = self.parts.pop() {
            part.stop.cancel();
            match timeout(part.stop_time, &mut part.task).await {
                Ok(Ok(Ok(()))) => {}
                Ok(ended) => tracing::warn!("{:#}", why(part.name, ended)),
                Err(_) => tracing::warn!(part = part.name, "doesn't end, and is ended at once"),
            }
        }
    }
}

fn why(name: &str, ended: Result<anyhow::Result<()>, JoinError>) -> anyhow::Error {
    match ended {
        Ok(Ok(())) => anyhow!("the {name} was stopped"),
        Ok(Err(error)) => error.context(format!("the {name} can't go on")),
        Err(error) => anyhow!("the {name} failed: {error}"),
    }
}

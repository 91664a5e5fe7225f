//! A provider that runs in the test's process.

use anyhow::{Context as _, Result, bail};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use trellis_provider::{HostData, Provider, RunError, run_with_host_data};
use trellis_tests::wait::until;

use crate::host::Host;

/// A running provider. Dropping it ends it at once.
#[derive(Debug)]
pub struct Running {
    task: JoinSet<Result<(), RunError>>,
    stop: CancellationToken,
}

impl Running {
    /// Starts a provider and waits until it is ready: until it answers its health.
    ///
    /// # Errors
    /// It ends instead, with its own error.
    pub async fn start<P: Provider>(host: &Host, data: HostData) -> Result<Self> {
        let id = data.provider_key.to_string();
        let stop = CancellationToken::new();
        let mut task = JoinSet::new();
        task.spawn(run_with_host_data::<P>(data, stop.clone()));
        let mut running = Self { task, stop };
        tokio::select! {
            ready = until("the provider answers", || host.health(&id)) => ready.map(drop)?,
            ended = running.task.join_next() => {
                ended.context("nothing ran")??.context("it ended")?;
                bail!("it ended without an error");
            }
        }
        Ok(running)
    }

    /// Asks it to end, as SIGTERM does, and waits for its end.
    ///
    /// # Errors
    /// The error that it ended with.
    pub async fn stop(self) -> Result<(), RunError> {
        self.stop.cancel();
        self.ended().await
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// The error that it ended with.
    pub async fn ended(mut self) -> Result<(), RunError> {
        match self.task.join_next().await {
            Some(Ok(outcome)) => outcome,
            Some(Err(error)) => Err(RunError::Panicked(error.to_string())),
            None => Ok(()),
        }
    }
}

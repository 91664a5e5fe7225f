//! The applications that are deployed when a lattice is up.

use std::time::Duration;

use super::{answer, progress::Progress};
use crate::app::{client::AppClient, deploy, manifest::Local, wait};

/// Deploys applications side by side; where they answer.
///
/// # Errors
/// One can't be deployed, or doesn't answer in time.
pub async fn deploy_all(
    client: AppClient,
    apps: &[Local],
    within: Duration,
    progress: &Progress,
) -> anyhow::Result<Vec<String>> {
    let deploying = apps.iter().map(|app| async {
        deploy(&client, app, within, progress).await?;
        answers(app, within, progress).await
    });
    let urls = futures::future::try_join_all(deploying).await?;
    Ok(urls.into_iter().flatten().collect())
}

/// Deploys an application, and waits until it runs.
///
/// # Errors
/// It is refused, fails, or doesn't run in time.
pub async fn deploy(
    client: &AppClient,
    app: &Local,
    within: Duration,
    progress: &Progress,
) -> anyhow::Result<()> {
    let (name, version) = deploy::put(client, app).await?;
    client.deploy(&name, version).await?;
    wait::until_deployed(client, &name, within, |now| progress.step(&name, now)).await?;
    progress.step(&name, "deployed");
    Ok(())
}

async fn answers(
    app: &Local,
    within: Duration,
    progress: &Progress,
) -> anyhow::Result<Vec<String>> {
    let mut urls = Vec::new();
    for endpoint in answer::endpoints(&app.manifest) {
        let status = endpoint.answers(within).await?.status;
        progress.step(
            app.name(),
            format_args!("{} answers (status {status})", endpoint.url()),
        );
        urls.push(endpoint.url());
    }
    Ok(urls)
}

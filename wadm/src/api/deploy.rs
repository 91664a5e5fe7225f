//! Deploying a version, and undeploying.

use std::convert::Infallible;

use trellis_lattice::app::{AppResult, Deed, Deploy, DeployReply};

use super::{Api, Refusal};
use crate::{desired, store::Change};

impl Api {
    pub(super) async fn deploy(&self, name: &str, request: Deploy) -> Result<DeployReply, Refusal> {
        let apps = self.store.apps.list().await?;
        let others: Vec<_> = apps
            .iter()
            .filter(|(other, ..)| other != name)
            .filter_map(|(_, app, _)| app.deployed().map(|(_, manifest)| manifest))
            .collect();
        let wanted = request.version.as_deref();
        let (reply, is_news) = self
            .store
            .apps
            .change(name, |app| {
                let Some(mut app) = app else {
                    return Ok(Change::Keep((not_found(name), false)));
                };
                let Some((version, manifest)) = app.version(wanted) else {
                    let reply = DeployReply {
                        result: AppResult::NotFound,
                        message: format!(
                            "Application {name} has no version {}",
                            wanted.unwrap_or_default()
                        ),
                        name: name.to_owned(),
                        version: None,
                    };
                    return Ok(Change::Keep((reply, false)));
                };
                if let Some(conflict) = desired::conflict(manifest, &others) {
                    return Err(Refusal::Request(conflict));
                }
                let version = version.clone();
                let reply = DeployReply {
                    result: AppResult::Acknowledged,
                    message: format!("Successfully deployed application {name} {version}"),
                    name: name.to_owned(),
                    version: Some(version.clone()),
                };
                if app.deployed_version.as_ref() == Some(&version) {
                    return Ok(Change::Keep((reply, false)));
                }
                app.deployed_version = Some(version);
                // A pause was the other version's.
                app.rollout.paused = false;
                Ok(Change::Store(app, (reply, true)))
            })
            .await??;
        if let (Some(version), true) = (&reply.version, is_news) {
            self.store
                .notes
                .remember(name, Deed::Deployed, Some(version), None)
                .await;
            tracing::info!(app = name, version, "deployed");
        }
        Ok(reply)
    }

    pub(super) async fn undeploy(&self, name: &str) -> Result<DeployReply, Refusal> {
        let changed = self
            .store
            .apps
            .change(name, |app| {
                let Some(mut app) = app else {
                    return Ok::<_, Infallible>(Change::Keep((not_found(name), None)));
                };
                let reply = |message: &str| DeployReply {
                    result: AppResult::Acknowledged,
                    message: format!("{message} application {name}"),
                    name: name.to_owned(),
                    version: None,
                };
                Ok(match app.deployed_version.take() {
                    Some(was) => Change::Store(app, (reply("Successfully undeployed"), Some(was))),
                    None => Change::Keep((reply("Already undeployed:"), None)),
                })
            })
            .await?;
        let (reply, was) = match changed {
            Ok(changed) => changed,
            Err(never) => match never {},
        };
        if let Some(version) = was {
            self.store
                .notes
                .remember(name, Deed::Undeployed, Some(&version), None)
                .await;
        }
        tracing::info!(app = name, result = ?reply.result, "undeployed");
        Ok(reply)
    }
}

fn not_found(name: &str) -> DeployReply {
    DeployReply {
        result: AppResult::NotFound,
        message: format!("Application with the name {name} not found"),
        name: name.to_owned(),
        version: None,
    }
}

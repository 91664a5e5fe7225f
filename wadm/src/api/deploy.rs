//! Deploying a version, and undeploying.

use std::convert::Infallible;

use trellis_lattice::app::{AppResult, Deploy, DeployReply};

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
        let reply = self
            .store
            .apps
            .change(name, |app| {
                let Some(mut app) = app else {
                    return Ok(Change::Keep(not_found(name)));
                };
                let Some((version, manifest)) = app.version(wanted) else {
                    return Ok(Change::Keep(DeployReply {
                        result: AppResult::NotFound,
                        message: format!(
                            "Application {name} has no version {}",
                            wanted.unwrap_or_default()
                        ),
                        name: name.to_owned(),
                        version: None,
                    }));
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
                    return Ok(Change::Keep(reply));
                }
                app.deployed_version = Some(version);
                // A pause was the other version's.
                app.rollout.paused = false;
                Ok(Change::Store(app, reply))
            })
            .await??;
        if let Some(version) = &reply.version {
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
                    return Ok::<_, Infallible>(Change::Keep(not_found(name)));
                };
                let reply = |message: &str| DeployReply {
                    result: AppResult::Acknowledged,
                    message: format!("{message} application {name}"),
                    name: name.to_owned(),
                    version: None,
                };
                Ok(match app.deployed_version.take() {
                    Some(_) => Change::Store(app, reply("Successfully undeployed")),
                    None => Change::Keep(reply("Already undeployed:")),
                })
            })
            .await?;
        let reply = match changed {
            Ok(reply) => reply,
            Err(never) => match never {},
        };
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

//! Rollouts: how far one is, holding it, letting it go on, and going back. What a user wants of it is stored with the
//! application, so that it holds whoever leads.

use std::convert::Infallible;

use trellis_lattice::app::{
    AppResult, Deploy,
    rollout::{RolloutAction, RolloutReply, RolloutRequest},
};

use super::{Api, Refusal};
use crate::{
    rollout::{Phase, Rollout},
    store::{Change, StoredApp},
};

impl Api {
    pub(super) async fn rollout(
        &self,
        name: &str,
        request: RolloutRequest,
    ) -> Result<RolloutReply, Refusal> {
        let (Some(app), _) = self.store.apps.get(name).await? else {
            return Ok(RolloutReply {
                result: AppResult::NotFound,
                message: format!("Application with the name {name} not found"),
                deployed: None,
                rollout: None,
            });
        };
        let rollout = self.store.notes.rollout(name).await?;
        // One that ended before the deployed version came says nothing of that.
        let is_open = rollout.as_ref().is_some_and(Rollout::is_open);
        let is_begun = rollout
            .as_ref()
            .is_some_and(|rollout| is_open || app.deployed_version.as_ref() == Some(&rollout.to));
        let (result, message) = match request.action {
            RolloutAction::Status => (AppResult::Success, status(name, &app, rollout.as_ref())),
            RolloutAction::Pause => match is_open || !is_begun {
                true => self.hold(name, true, false).await?,
                false => return Err(nothing(name, rollout.as_ref())),
            },
            RolloutAction::Resume => {
                let has_failed = matches!(
                    rollout,
                    Some(Rollout {
                        phase: Phase::Failed { .. },
                        ..
                    })
                );
                match app.rollout.paused || has_failed {
                    true => self.hold(name, false, has_failed).await?,
                    false => (
                        AppResult::Noop,
                        format!("the rollout of {name} is not paused"),
                    ),
                }
            }
            RolloutAction::Undo => self.undo(name, &app, rollout.as_ref()).await?,
        };
        Ok(RolloutReply {
            result,
            message,
            deployed: app.deployed_version,
            rollout: rollout.as_ref().map(Rollout::report),
        })
    }

    /// Holds a rollout, or lets it go on.
    async fn hold(
        &self,
        name: &str,
        paused: bool,
        again: bool,
    ) -> Result<(AppResult, String), Refusal> {
        let changed = self
            .store
            .apps
            .change(name, |app| {
                Ok::<_, Infallible>(match app {
                    None => Change::Keep(()),
                    Some(app) if app.rollout.paused == paused && !again => Change::Keep(()),
                    Some(mut app) => {
                        app.rollout.paused = paused;
                        if again {
                            app.rollout.retries = app.rollout.retries.saturating_add(1);
                        }
                        Change::Store(app, ())
                    }
                })
            })
            .await?;
        match changed {
            Ok(()) => {}
            Err(never) => match never {},
        }
        let done = if paused { "paused" } else { "resumed" };
        tracing::info!(app = name, done, "rollout");
        Ok((
            AppResult::Acknowledged,
            format!("the rollout of {name} is {done}"),
        ))
    }

    /// Deploys the version before.
    async fn undo(
        &self,
        name: &str,
        app: &StoredApp,
        rollout: Option<&Rollout>,
    ) -> Result<(AppResult, String), Refusal> {
        let Some(deployed) = &app.deployed_version else {
            return Err(Refusal::Request(format!("{name} is not deployed")));
        };
        if let Some(rollout) = rollout
            && rollout.is_back()
            && (rollout.is_open() || rollout.to == *deployed)
        {
            return Ok((AppResult::Noop, rollout.status()));
        }
        let known = rollout
            .filter(|rollout| rollout.to == *deployed)
            .and_then(|rollout| rollout.from.clone());
        let before = || {
            let place = app.manifests.get_index_of(deployed)?.checked_sub(1)?;
            let (version, _) = app.manifests.get_index(place)?;
            Some(version.clone())
        };
        let version = known
            .filter(|version| app.manifests.contains_key(version))
            .or_else(before)
            .ok_or_else(|| {
                Refusal::Request(format!(
                    "no version of {name} before {deployed} is stored: put and deploy the one you want"
                ))
            })?;
        let reply = self
            .deploy(
                name,
                Deploy {
                    version: Some(version.clone()),
                },
            )
            .await?;
        Ok((
            reply.result,
            format!("{name} goes back from version {deployed} to version {version}"),
        ))
    }
}

fn nothing(name: &str, rollout: Option<&Rollout>) -> Refusal {
    let last = rollout.map_or_else(String::new, |rollout| format!(": {}", rollout.status()));
    Refusal::Request(format!("nothing of {name} is being rolled out{last}"))
}

fn status(name: &str, app: &StoredApp, rollout: Option<&Rollout>) -> String {
    match (rollout, &app.deployed_version) {
        (_, None) => format!("{name} is not deployed"),
        (Some(rollout), Some(deployed)) if rollout.to == *deployed || rollout.is_open() => {
            rollout.status()
        }
        (_, Some(deployed)) => format!("nothing of version {deployed} had to be rolled out yet"),
    }
}

//! Deleting an application, or one version of it.

use std::convert::Infallible;

use trellis_lattice::app::{AppResult, Delete, DeleteReply};

use super::{Api, Refusal};
use crate::store::Change;

impl Api {
    pub(super) async fn delete(&self, name: &str, request: Delete) -> Result<DeleteReply, Refusal> {
        let wanted = request
            .version
            .as_deref()
            .filter(|version| !version.is_empty());
        let changed = self
            .store
            .apps
            .change(name, |app| {
                let Some(mut app) = app else {
                    let message = format!("Application with the name {name} not found");
                    return Ok::<_, Infallible>(Change::Keep((
                        reply(AppResult::Noop, message, false),
                        true,
                    )));
                };
                let Some(wanted) = wanted else {
                    let message = format!("Successfully deleted application {name}");
                    // As 1.x answers: whatever of it still runs is stopped.
                    let reply = reply(AppResult::Deleted, message, true);
                    return Ok(Change::Remove((reply, true)));
                };
                let Some((version, _)) = app.version(Some(wanted)) else {
                    let message = format!("Application {name} has no version {wanted}");
                    let reply = reply(AppResult::Noop, message, false);
                    return Ok(Change::Keep((reply, false)));
                };
                let version = version.clone();
                app.manifests.shift_remove(&version);
                let deployed = app.deployed_version.as_ref() == Some(&version);
                if deployed {
                    app.deployed_version = None;
                }
                let message =
                    format!("Successfully deleted version {version} of application {name}");
                let reply = reply(AppResult::Deleted, message, deployed);
                Ok(match app.manifests.is_empty() {
                    true => Change::Remove((reply, true)),
                    false => Change::Store(app, (reply, false)),
                })
            })
            .await?;
        let (reply, is_gone) = match changed {
            Ok(changed) => changed,
            Err(never) => match never {},
        };
        if is_gone {
            self.store.notes.forget_history(name).await;
        }
        tracing::info!(app = name, result = ?reply.result, "deleted");
        Ok(reply)
    }
}

fn reply(result: AppResult, message: String, undeploy: bool) -> DeleteReply {
    DeleteReply {
        result,
        message,
        undeploy,
    }
}

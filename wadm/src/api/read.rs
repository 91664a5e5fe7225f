//! Reading: what applications there are, their manifests, versions and status.

use trellis_lattice::app::{
    AppResult, AppStatus, AppSummary, Get, GetReply, ListReply, StatusInfo, StatusReply,
    StatusType, VersionInfo, VersionsReply,
};

use super::{Api, Refusal};
use crate::{
    lease,
    store::{NotedStatus, StoredApp},
};

impl Api {
    pub(super) async fn list(&self) -> Result<Vec<AppSummary>, Refusal> {
        let mut summaries = Vec::new();
        for (name, app, _) in self.store.apps.list().await? {
            let status = self.status_of(&name, Some(&app)).await?;
            let newest = app.newest();
            summaries.push(AppSummary {
                version: newest
                    .map(|(version, _)| version.clone())
                    .unwrap_or_default(),
                description: newest
                    .and_then(|(_, manifest)| manifest.description())
                    .map(str::to_owned),
                deployed_version: app.deployed_version.clone(),
                status: status.status.ty,
                status_message: status.status.message.clone(),
                detailed_status: status,
                name,
            });
        }
        Ok(summaries)
    }

    pub(super) async fn list_reply(&self) -> Result<ListReply, Refusal> {
        Ok(ListReply {
            result: AppResult::Success,
            message: "Successfully fetched list of applications".into(),
            models: self.list().await?,
        })
    }

    pub(super) async fn get(&self, name: &str, request: Get) -> Result<GetReply, Refusal> {
        let wanted = request.version.as_deref();
        let (app, _) = self.store.apps.get(name).await?;
        let Some(app) = app else {
            return Ok(GetReply {
                result: AppResult::NotFound,
                message: format!("Application with the name {name} not found"),
                manifest: None,
            });
        };
        let Some((_, manifest)) = app.version(wanted) else {
            return Ok(GetReply {
                result: AppResult::NotFound,
                message: format!(
                    "Application {name} has no version {}",
                    wanted.unwrap_or_default()
                ),
                manifest: None,
            });
        };
        let manifest = serde_json::to_value(manifest)
            .map_err(|error| Refusal::Request(format!("the manifest can't be written: {error}")))?;
        Ok(GetReply {
            result: AppResult::Success,
            message: format!("Successfully fetched application {name}"),
            manifest: Some(manifest),
        })
    }

    pub(super) async fn versions(&self, name: &str) -> Result<VersionsReply, Refusal> {
        let (app, _) = self.store.apps.get(name).await?;
        let Some(app) = app else {
            return Ok(VersionsReply {
                result: AppResult::NotFound,
                message: format!("Application with the name {name} not found"),
                versions: Vec::new(),
            });
        };
        let versions = app.manifests.keys().map(|version| VersionInfo {
            deployed: app.deployed_version.as_ref() == Some(version),
            version: version.clone(),
        });
        Ok(VersionsReply {
            result: AppResult::Success,
            message: format!("Successfully fetched versions for application {name}"),
            versions: versions.collect(),
        })
    }

    pub(super) async fn status(&self, name: &str) -> Result<StatusReply, Refusal> {
        let (app, _) = self.store.apps.get(name).await?;
        Ok(StatusReply {
            result: AppResult::Ok,
            message: format!("Successfully fetched status for application {name}"),
            status: Some(self.status_of(name, app.as_ref()).await?),
        })
    }

    /// What the leader noted, if it is about what is deployed now.
    async fn status_of(&self, name: &str, app: Option<&StoredApp>) -> Result<AppStatus, Refusal> {
        let deployed = app.and_then(|app| app.deployed_version.as_deref());
        let noted = self.store.notes.status(name).await?;
        let info = |ty, message: &str| AppStatus {
            status: StatusInfo {
                ty,
                message: message.to_owned(),
            },
            version: deployed.unwrap_or_default().to_owned(),
            ..AppStatus::default()
        };
        Ok(match (noted, deployed) {
            (Some(noted), _) if noted.status.version == deployed.unwrap_or_default() => {
                self.as_known_now(noted).await?
            }
            (_, Some(_)) => info(
                StatusType::Waiting,
                "the application manager has not begun yet",
            ),
            (Some(_), None) => info(StatusType::Reconciling, "being undeployed"),
            (None, None) => AppStatus::default(),
        })
    }

    /// A note, with what has changed since about who knows: an earlier leader's says how things were then.
    async fn as_known_now(&self, noted: NotedStatus) -> Result<AppStatus, Refusal> {
        let NotedStatus { mut status, fence } = noted;
        let Some(before) = on_hosts(status.status.ty) else {
            return Ok(status);
        };
        let who = match lease::leader(self.store.notes.bucket()).await? {
            Some(leader) if leader.holder.is_empty() => "no application manager is at work",
            Some(leader) if leader.fence > fence => {
                "the application manager has begun anew and is looking at the hosts"
            }
            _ => return Ok(status),
        };
        status.status = StatusInfo {
            ty: StatusType::Reconciling,
            message: format!("{who}; before, it was {before}"),
        };
        Ok(status)
    }
}

/// The word for a status that says what is on hosts, which may have changed while nobody looked.
fn on_hosts(ty: StatusType) -> Option<&'static str> {
    match ty {
        StatusType::Deployed => Some("deployed"),
        StatusType::Reconciling => Some("reconciling"),
        StatusType::Failed => Some("failed"),
        StatusType::Unhealthy => Some("unhealthy"),
        StatusType::Undeployed | StatusType::Waiting => None,
    }
}

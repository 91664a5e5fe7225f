//! Speaks the application manager's API (`wasmcloud-v1.md`, Application manager).

use std::time::Duration;

use async_nats::{Client, RequestErrorKind};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use trellis_lattice::{
    app::rollout::{RolloutAction, RolloutReply, RolloutRequest},
    app::{
        AppResult, AppStatus, AppSummary, DeleteReply, Deploy, DeployReply, ErrorReply, Explain,
        ExplainReply, Explanation, GetReply, HistoryReply, PutReply, StatusReply, VersionInfo,
        VersionsReply,
    },
    from_json,
    subject::Subjects,
};

use crate::{
    exit::{NoAnswer, NotFound},
    session::Session,
};

/// Asks the application manager of one lattice.
#[derive(Clone)]
pub struct AppClient {
    nats: Client,
    subjects: Subjects,
    timeout: Duration,
}

impl AppClient {
    /// Asks over a session's connection.
    pub fn new(session: &Session) -> Self {
        Self {
            nats: session.control.nats().clone(),
            subjects: session.control.subjects().clone(),
            timeout: session.timeout,
        }
    }

    /// Puts a manifest.
    ///
    /// # Errors
    /// Refused, or no answer.
    pub async fn put(&self, manifest: &Value) -> anyhow::Result<PutReply> {
        let reply: PutReply = self
            .request("put the manifest", self.subjects.app("put"), manifest)
            .await?;
        accept("put the manifest", reply.result, &reply.message)?;
        Ok(reply)
    }

    /// Deploys a version; none: the newest.
    ///
    /// # Errors
    /// Nothing of that name, refused, or no answer.
    pub async fn deploy(&self, name: &str, version: Option<String>) -> anyhow::Result<DeployReply> {
        let reply: DeployReply = self
            .named("deploy", "deploy", name, &Deploy { version })
            .await?;
        accept(&format!("deploy {name}"), reply.result, &reply.message)?;
        Ok(reply)
    }

    /// Undeploys an application.
    ///
    /// # Errors
    /// Nothing of that name, refused, or no answer.
    pub async fn undeploy(&self, name: &str) -> anyhow::Result<DeployReply> {
        let reply: DeployReply = self.named("undeploy", "undeploy", name, &json!({})).await?;
        accept(&format!("undeploy {name}"), reply.result, &reply.message)?;
        Ok(reply)
    }

    /// Deletes a manifest, or one version of it.
    ///
    /// # Errors
    /// Nothing of that name, refused, or no answer.
    pub async fn delete(&self, name: &str, version: Option<&str>) -> anyhow::Result<DeleteReply> {
        let request = match version {
            Some(version) => json!({ "version": version }),
            None => json!({}),
        };
        let reply: DeleteReply = self.named("delete", "del", name, &request).await?;
        if reply.result == AppResult::Noop {
            return Err(NotFound(reply.message).into());
        }
        accept(&format!("delete {name}"), reply.result, &reply.message)?;
        Ok(reply)
    }

    /// All applications.
    ///
    /// # Errors
    /// No answer.
    pub async fn list(&self) -> anyhow::Result<Vec<AppSummary>> {
        self.request("list applications", self.subjects.app("list"), &())
            .await
    }

    /// A manifest; no version: the newest.
    ///
    /// # Errors
    /// Nothing of that name, or no answer.
    pub async fn get(&self, name: &str, version: Option<&str>) -> anyhow::Result<Value> {
        let request = json!({ "version": version });
        let reply: GetReply = self.named("get", "get", name, &request).await?;
        accept(&format!("get {name}"), reply.result, &reply.message)?;
        reply.manifest.ok_or_else(|| NotFound(reply.message).into())
    }

    /// The versions of a manifest.
    ///
    /// # Errors
    /// Nothing of that name, or no answer.
    pub async fn versions(&self, name: &str) -> anyhow::Result<Vec<VersionInfo>> {
        let reply: VersionsReply = self.named("versions", "versions", name, &()).await?;
        accept(&format!("versions of {name}"), reply.result, &reply.message)?;
        Ok(reply.versions)
    }

    /// The versions of a manifest, and what was done with them when.
    ///
    /// # Errors
    /// Nothing of that name, or no answer.
    pub async fn history(&self, name: &str) -> anyhow::Result<HistoryReply> {
        let reply: HistoryReply = self.named("history", "history", name, &()).await?;
        accept(&format!("history of {name}"), reply.result, &reply.message)?;
        Ok(reply)
    }

    /// How far an application is.
    ///
    /// # Errors
    /// Nothing of that name, or no answer.
    pub async fn status(&self, name: &str) -> anyhow::Result<AppStatus> {
        // Asked for a status, 1.x's manager knows no missing application: it calls it undeployed.
        self.versions(name).await?;
        self.status_of_known(name).await
    }

    /// How far an application is, which is known to be there.
    ///
    /// # Errors
    /// Refused, or no answer.
    pub async fn status_of_known(&self, name: &str) -> anyhow::Result<AppStatus> {
        let reply: StatusReply = self.named("status", "status", name, &()).await?;
        accept(&format!("status of {name}"), reply.result, &reply.message)?;
        Ok(reply.status.unwrap_or_default())
    }

    /// How far an application's rollout is, after something was done about it.
    ///
    /// # Errors
    /// Nothing of that name, nothing to do it to, or no answer.
    pub async fn rollout(&self, name: &str, action: RolloutAction) -> anyhow::Result<RolloutReply> {
        let request = RolloutRequest { action };
        let reply: RolloutReply = self.named("rollout of", "rollout", name, &request).await?;
        accept(&format!("rollout of {name}"), reply.result, &reply.message)?;
        Ok(reply)
    }

    /// How an application is in detail, and why; of one component only, where it is named.
    ///
    /// # Errors
    /// Nothing of that name, no manager of ours leads, or no answer.
    pub async fn explain(
        &self,
        name: &str,
        component: Option<String>,
    ) -> anyhow::Result<Explanation> {
        let request = Explain { component };
        let reply: ExplainReply = self.named("explain", "explain", name, &request).await?;
        accept(&format!("explain {name}"), reply.result, &reply.message)?;
        reply
            .explanation
            .ok_or_else(|| NotFound(reply.message).into())
    }

    async fn named<T: DeserializeOwned>(
        &self,
        request: &str,
        verb: &str,
        name: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        // The name is a part of the subject.
        trellis_lattice::ComponentId::new(name).map_err(|_| {
            NotFound(format!(
                "no application {name:?}: a name has no points, stars or spaces"
            ))
        })?;
        self.request(
            &format!("{request} {name}"),
            self.subjects.app_named(verb, name),
            body,
        )
        .await
    }

    async fn request<T: DeserializeOwned>(
        &self,
        request: &str,
        subject: String,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        let body = serde_json::to_vec(body)?;
        let payload = if body == b"null" {
            Bytes::new()
        } else {
            body.into()
        };
        let message = async_nats::Request::new()
            .payload(payload)
            .timeout(Some(self.timeout));
        let answer = self.nats.send_request(subject, message).await.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => anyhow::Error::new(NoAnswer(format!(
                "no application manager answers in lattice {:?}: start one with `trellis up` or `trellis wadm`",
                self.subjects.lattice()
            ))),
            RequestErrorKind::TimedOut => anyhow::Error::new(NoAnswer(format!(
                "{request}: no answer from the application manager within {}",
                humantime::format_duration(self.timeout)
            ))),
            _ => anyhow::Error::new(error).context(format!("{request}: NATS")),
        })?;
        match from_json::<T>("application manager's answer", &answer.payload) {
            Ok(reply) => Ok(reply),
            // A refusal may have fewer fields than the answer that was expected.
            Err(error) => match from_json::<ErrorReply>("answer", &answer.payload) {
                Ok(refusal) if refusal.result == AppResult::Error => {
                    Err(anyhow::anyhow!("{request}: {}", refusal.message))
                }
                _ => Err(error.into()),
            },
        }
    }
}

fn accept(request: &str, result: AppResult, message: &str) -> anyhow::Result<()> {
    match result {
        AppResult::NotFound => Err(NotFound(format!("{request}: {message}")).into()),
        AppResult::Error => Err(anyhow::anyhow!("{request}: {message}")),
        _ => Ok(()),
    }
}

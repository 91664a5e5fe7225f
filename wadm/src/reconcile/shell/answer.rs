//! Answering what only who leads can know: why an application is as it is.

use std::time::Instant;

use async_nats::Message;
use trellis_lattice::app::{AppResult, Explain, ExplainReply};

use super::{Shell, perform::Outcome};
use crate::{
    api::{EXPLAIN, read_body, refuse},
    manifest::Properties,
    names,
};

impl Shell {
    /// Answers a request to explain an application.
    pub(super) fn answer(&mut self, message: Message) {
        let Some(reply) = message.reply.clone() else {
            return;
        };
        let answer = match self.explain(&message) {
            Ok(answer) => serde_json::to_vec(&answer).unwrap_or_default().into(),
            Err(refusal) => refuse(refusal),
        };
        let client = self.client.clone();
        self.outcomes.spawn(async move {
            let limit = client.server_info().max_payload;
            let answer = match answer.len() {
                bytes if bytes > limit => refuse(format!(
                    "the explanation has {bytes} bytes, more than the {limit} that the NATS server takes: ask for one component"
                )),
                _ => answer,
            };
            if let Err(error) = client.publish(reply, answer).await {
                tracing::debug!(%error, "could not answer");
            }
            Outcome::Told
        });
    }

    fn explain(&self, message: &Message) -> Result<ExplainReply, String> {
        let base = self.control.subjects().app_named(EXPLAIN, "");
        let name = message
            .subject
            .strip_prefix(base.as_str())
            .unwrap_or_default();
        let request: Explain = read_body(&message.payload)
            .map_err(|error: trellis_lattice::DecodeError| error.to_string())?;
        let not_found = |message: String| ExplainReply {
            result: AppResult::NotFound,
            message,
            explanation: None,
        };
        let Some(mut explanation) = self.core.explain(name, Instant::now()) else {
            return Ok(not_found(format!(
                "Application with the name {name} not found"
            )));
        };
        if let Some(wanted) = &request.component {
            let made = names::component_id(name, wanted, &Properties::default());
            let made = made.map(|id| id.to_string()).unwrap_or_default();
            let all: Vec<String> = explanation
                .components
                .iter()
                .map(|component| component.id.clone())
                .collect();
            explanation
                .components
                .retain(|component| component.id == *wanted || component.id == made);
            let Some(component) = explanation.components.first() else {
                return Ok(not_found(format!(
                    "Application {name} has no component {wanted}: it has {}",
                    all.join(", ")
                )));
            };
            let id = component.id.as_str();
            explanation.links.retain(|link| {
                link.link.split(' ').next() == Some(id)
                    || link.link.split(' ').next_back() == Some(id)
            });
            explanation.configs.clear();
        }
        Ok(ExplainReply {
            result: AppResult::Success,
            message: format!("Successfully explained application {name}"),
            explanation: Some(explanation),
        })
    }
}

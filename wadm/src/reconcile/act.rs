//! Acting: planning, noting what will be put into the lattice, commanding, and telling how applications are.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use trellis_lattice::client::{ControlClient, ControlError};

use super::{Reconciler, take::Answer};
use crate::{
    command::Command,
    plan::{self, Input, Plan},
    status,
    store::Owned,
};

impl Reconciler {
    /// Makes a plan of what is known now and begins to carry it out.
    pub(super) async fn plan(&mut self) {
        self.news_since = None;
        if !self.surveyed {
            return;
        }
        let now = Instant::now();
        self.give_up_silent(now);
        self.ask_configs();
        let mut owned: BTreeMap<String, Owned> = self
            .catalog
            .apps()
            .map(|(name, _)| (name.to_owned(), Owned::default()))
            .collect();
        owned.extend(self.owned.clone());
        let plan = plan::plan(Input {
            desired: &self.desired,
            owned: &owned,
            observed: &self.observed,
            rolling: Input::NO_ROLLOUT,
        });
        self.attempts.settle(&plan.steps);
        for subject in std::mem::take(&mut self.ended) {
            self.attempts.ended(&subject, now);
        }
        // Noted before done: whoever goes on after a crash finds what was put there.
        let noted = self.note_owned(&plan).await;
        let due: Vec<Command> = self
            .attempts
            .due(&plan.steps, now)
            .into_iter()
            .filter(|step| noted.contains(&step.app))
            .map(|step| step.command.clone())
            .collect();
        for command in due {
            self.command(command);
        }
        self.tell(&plan).await;
    }

    /// Notes what applications have in the lattice; gives those of which it is noted.
    async fn note_owned(&mut self, plan: &Plan) -> BTreeSet<String> {
        let mut noted = BTreeSet::new();
        for (app, owned) in &plan.owned {
            let known = self.owned.get(app);
            let nothing_new = match known {
                Some(known) => known == owned,
                // Put but never deployed.
                None => !self.desired.contains_key(app),
            };
            if nothing_new {
                noted.insert(app.clone());
                continue;
            }
            match self.store.notes.set_owned(app, owned).await {
                Ok(()) => {
                    self.owned.insert(app.clone(), owned.clone());
                    noted.insert(app.clone());
                }
                Err(error) => {
                    tracing::warn!(%error, app, "could not note what the application has; it waits");
                }
            }
        }
        noted
    }

    fn command(&mut self, command: Command) {
        tracing::info!(%command, "commanding");
        let (control, permits) = (self.control.clone(), self.permits.clone());
        self.answers.spawn(async move {
            // Only closed when there is nobody left to answer.
            let _permit = permits.acquire_owned().await;
            let result = send(&control, &command).await;
            Answer::Command(Box::new(command), result)
        });
    }

    /// Notes and publishes what changed of the applications' statuses.
    async fn tell(&mut self, plan: &Plan) {
        for app in plan.apps.keys() {
            let version = self.desired.get(app).map(|app| app.version.as_str());
            let status = status::status(app, version, plan, &self.attempts);
            let is_there = self.catalog.apps().any(|(name, _)| name == app);
            let gone = !is_there && plan.apps[app].leftovers.is_empty();
            if self.statuses.get(app) == Some(&status) {
                continue;
            }
            let noted = match gone {
                true => self.store.notes.forget_status(app).await,
                false => self.store.notes.set_status(app, &status).await,
            };
            if let Err(error) = noted {
                tracing::warn!(%error, app, "could not note the application's status");
                continue;
            }
            tracing::info!(app, status = ?status.status.ty, message = status.status.message, "status");
            match serde_json::to_vec(&status) {
                Ok(payload) => {
                    let subject = self.control.subjects().app_status(app);
                    if let Err(error) = self.client.publish(subject, payload.into()).await {
                        tracing::debug!(%error, app, "could not publish the status");
                    }
                }
                Err(error) => tracing::warn!(%error, app, "a status can't be written"),
            }
            self.statuses.insert(app.clone(), status);
        }
    }
}

async fn send(control: &ControlClient, command: &Command) -> Result<(), ControlError> {
    match command {
        Command::Scale(scale) => control.scale_component(scale).await,
        Command::StartProvider(start) => control.start_provider(start).await,
        Command::StopProvider(stop) => control.stop_provider(stop).await,
        Command::PutLink {
            link,
            replace: false,
        } => control.put_link(link).await,
        Command::PutLink {
            link,
            replace: true,
        } => match control.replace_link(link).await {
            // A 1.x host doesn't replace a link with another target.
            Err(ControlError::Refused { .. }) => {
                control.delete_link(&link.key()).await?;
                control.put_link(link).await
            }
            result => result,
        },
        Command::DeleteLink(key) => control.delete_link(key).await,
        Command::PutConfig { name, config } => control.put_config(name, config).await,
        Command::DeleteConfig(name) => control.delete_config(name).await,
    }
}

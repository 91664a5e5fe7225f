//! Doing what a core wants done.

use std::ops::ControlFlow;

use serde::Serialize;
use tokio::sync::mpsc;
use trellis_lattice::{
    app::{AppEvent, AppStatus, Deed},
    client::{ControlClient, ControlError},
    event::CloudEvent,
};

use super::{
    super::{Answer, Effect, Failure, FailureKind, News, Question},
    Shell,
};
use crate::{
    command::Command,
    rollout::GoBack,
    store::{Apps, Catalog, Change, Incarnation, NotedStatus, Notes, StoreError},
};

/// How many events may wait until they are told.
const MAX_EVENTS: usize = 4096;

/// What came of an effect.
pub(super) enum Outcome {
    News(News),
    Loaded(Result<Catalog, StoreError>),
    Store(Result<Incarnation, StoreError>),
    /// Something was told; nothing follows.
    Told,
}

impl Shell {
    /// Does one thing, or begins to.
    pub(super) fn perform(&mut self, effect: Effect) -> ControlFlow<u64> {
        let control = self.control.clone();
        match effect {
            Effect::Ask(id, question) => {
                let control = match &question {
                    Question::Probe(host) => control.with_timeout(self.core.patience(host)),
                    _ => control,
                };
                self.outcomes.spawn(async move {
                    Outcome::News(News::Answer(id, ask(&control, question).await))
                });
            }
            Effect::Command(id, command) => {
                self.outcomes.spawn(async move {
                    let done = send(&control, &command).await.map_err(Failure::from);
                    Outcome::News(News::Done(id, done))
                });
            }
            Effect::NoteOwned(id, app, owned) => {
                let notes = self.store.notes.clone();
                self.outcomes.spawn(async move {
                    let noted = notes.set_owned(&app, &owned).await;
                    Outcome::News(News::Noted(id, noted.map_err(Failure::from)))
                });
            }
            Effect::NoteStatus(id, app, status) => {
                let (notes, fence) = (self.store.notes.clone(), self.fence);
                self.outcomes.spawn(async move {
                    let status = status.map(|status| NotedStatus { status, fence });
                    let noted = match &status {
                        Some(status) => notes.set_status(&app, status).await,
                        None => notes.forget_status(&app).await,
                    };
                    if noted.is_ok() {
                        let status = status.map(|noted| noted.status);
                        publish(&control, &app, &status.unwrap_or_default()).await;
                    }
                    Outcome::News(News::Noted(id, noted.map_err(Failure::from)))
                });
            }
            Effect::NoteRollout(id, app, rollout) => {
                let notes = self.store.notes.clone();
                self.outcomes.spawn(async move {
                    let noted = match &rollout {
                        Some(rollout) => notes.set_rollout(&app, rollout).await,
                        None => notes.forget_rollout(&app).await,
                    };
                    Outcome::News(News::Noted(id, noted.map_err(Failure::from)))
                });
            }
            Effect::NoteHost(id, host, noted) => {
                let notes = self.store.notes.clone();
                self.outcomes.spawn(async move {
                    let noted = match &noted {
                        Some(noted) => notes.set_host(&host, noted).await,
                        None => notes.forget_host(&host).await,
                    };
                    Outcome::News(News::Noted(id, noted.map_err(Failure::from)))
                });
            }
            Effect::GoBack(id, back) => {
                let (apps, notes) = (self.store.apps.clone(), self.store.notes.clone());
                self.outcomes.spawn(async move {
                    let done = go_back(&apps, &notes, &back).await;
                    Outcome::News(News::Noted(id, done.map_err(Failure::from)))
                });
            }
            Effect::TellRollout(happened) => {
                tracing::info!(
                    app = happened.app,
                    version = happened.version,
                    event = happened.event,
                    happened.message,
                    "rollout"
                );
                self.tell(&AppEvent::Rollout {
                    app: happened.app,
                    version: happened.version,
                    phase: happened.event.trim_start_matches("rollout_").to_owned(),
                    message: happened.message,
                });
            }
            Effect::ReadCatalog => {
                // One at a time: a second would end the first one's list of changes.
                if self.changes.is_none() {
                    self.changes = Some(Vec::new());
                    let (apps, before) = (self.store.apps.clone(), self.catalog.clone());
                    self.outcomes
                        .spawn(async move { Outcome::Loaded(Catalog::load(&apps, &before).await) });
                }
            }
            Effect::Event(event) => self.tell(&event),
            Effect::StepDown(fence) => return ControlFlow::Break(fence),
        }
        ControlFlow::Continue(())
    }

    /// Tells everyone of something.
    fn tell(&mut self, event: &AppEvent) {
        let control = self.control.clone();
        let subject = control.subjects().app_event(event.name());
        // Its time is when it happened, not when it leaves.
        let envelope = event.envelope(control.subjects().lattice());
        let events = self.events.get_or_insert_with(|| {
            // One task tells them all, so that they come in order.
            let (events, queue) = mpsc::channel(MAX_EVENTS);
            self.outcomes.spawn(tell_all(control, queue));
            events
        });
        if let Err(error) = events.try_send((subject, envelope)) {
            tracing::debug!(%error, "an event is not told");
        }
    }

    /// Looks whether the store's buckets are still the same.
    pub(super) fn look_at_store(&mut self) {
        let store = self.store.clone();
        self.outcomes
            .spawn(async move { Outcome::Store(store.incarnation().await) });
    }
}

async fn ask(control: &ControlClient, question: Question) -> Answer {
    match question {
        Question::Hosts => Answer::Hosts(control.hosts().await.map_err(Failure::from)),
        Question::Inventory(host) | Question::Probe(host) => {
            let inventory = control.inventory(&host).await;
            Answer::Inventory(inventory.map(Box::new).map_err(Failure::from))
        }
        Question::Links => Answer::Links(control.links().await.map_err(Failure::from)),
        Question::Config(name) => {
            Answer::Config(control.config(&name).await.map_err(Failure::from))
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

/// Deploys the version before, unless somebody deployed another one meanwhile.
async fn go_back(apps: &Apps, notes: &Notes, back: &GoBack) -> Result<(), StoreError> {
    let changed = apps
        .change(&back.app, |app| {
            Ok::<_, std::convert::Infallible>(match app {
                Some(mut app)
                    if app.deployed_version.as_ref() == Some(&back.from)
                        && app.manifests.contains_key(&back.to) =>
                {
                    app.deployed_version = Some(back.to.clone());
                    Change::Store(app, true)
                }
                _ => Change::Keep(false),
            })
        })
        .await?;
    if changed == Ok(true) {
        let (to, why) = (Some(back.to.as_str()), Some(back.why.as_str()));
        notes.remember(&back.app, Deed::Deployed, to, why).await;
        tracing::warn!(
            app = back.app,
            from = back.from,
            to = back.to,
            why = back.why,
            "deployed the version before again"
        );
    }
    Ok(())
}

async fn publish(control: &ControlClient, app: &str, status: &AppStatus) {
    tracing::info!(app, status = ?status.status.ty, message = status.status.message, "status");
    publish_json(control, control.subjects().app_status(app), status).await;
}

async fn tell_all(
    control: ControlClient,
    mut queue: mpsc::Receiver<(String, CloudEvent)>,
) -> Outcome {
    while let Some((subject, envelope)) = queue.recv().await {
        publish_json(&control, subject, &envelope).await;
    }
    Outcome::Told
}

async fn publish_json(control: &ControlClient, subject: String, value: &impl Serialize) {
    let payload = match serde_json::to_vec(value) {
        Ok(payload) => payload,
        Err(error) => {
            tracing::warn!(%error, subject, "it can't be written");
            return;
        }
    };
    if let Err(error) = control
        .nats()
        .publish(subject.clone(), payload.into())
        .await
    {
        tracing::debug!(%error, subject, "could not publish");
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self {
            kind: FailureKind::Other,
            message: error.to_string(),
        }
    }
}

//! Acting: planning, noting what will be put into the lattice, commanding, and telling how applications are.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use super::{
    super::{Effect, Question},
    Core,
};
use crate::{
    plan::{self, Input, PartState, Plan, Step},
    status,
    store::Owned,
};

impl Core {
    /// Makes a plan of what is known now.
    pub(super) fn plan(&mut self, now: Instant) {
        self.has_news = false;
        self.planned = now;
        self.observed.at = self.rolls.moment(now);
        self.ask_configs();
        let mut owned: BTreeMap<String, Owned> = self
            .catalog
            .apps()
            .map(|(name, _)| (name.to_owned(), Owned::default()))
            .collect();
        owned.extend(self.owned.noted().clone());
        self.autoscale(now);
        self.begin_rollouts(now);
        let rolling = self.rolls.rolling(&self.desired);
        let mut plan = plan::plan(Input {
            desired: &self.desired,
            owned: &owned,
            observed: &self.observed,
            rolling: &rolling,
        });
        self.attempts.settle(&plan.steps);
        for subject in std::mem::take(&mut self.ended) {
            self.attempts.ended(&subject, now);
        }
        for (app, owned) in &mut plan.owned {
            if let Some(noted) = self.owned.noted().get(app) {
                self.unsettled.keep(noted, owned);
            }
        }
        // Noted before done: whoever goes on after a crash finds what was put there.
        let noted = self.note_owned(&plan);
        let steps = plan
            .steps
            .iter()
            .filter(|step| noted.contains(step.app.as_str()));
        let due = self.attempts.due(steps, now);
        self.commands
            .set_due(due.into_iter().map(|step| step.command.clone()));
        self.step_rollouts(&plan, now);
        self.note_hosts(now);
        self.tell(&plan);
        self.teller.planned(plan, &self.attempts, now);
    }

    /// Wants noted what applications have in the lattice; gives those of which it is.
    fn note_owned<'p>(&mut self, plan: &'p Plan) -> BTreeSet<&'p str> {
        let mut noted = BTreeSet::new();
        for (app, owned) in &plan.owned {
            // Put but never deployed: nothing is needed.
            let is_nothing =
                !self.owned.noted().contains_key(app) && !self.desired.contains_key(app);
            if is_nothing || self.owned.want(app, owned) {
                noted.insert(app.as_str());
            }
        }
        noted
    }

    /// Wants noted and published what changed of the applications' statuses.
    fn tell(&mut self, plan: &Plan) {
        let mut steps: BTreeMap<&str, Vec<&Step>> = BTreeMap::new();
        for step in &plan.steps {
            steps.entry(&step.app).or_default().push(step);
        }
        let there: BTreeSet<&str> = self.catalog.apps().map(|(name, _)| name).collect();
        for (app, state) in &plan.apps {
            let version = self.desired.get(app).map(|app| app.version.as_str());
            let steps = steps.get(app.as_str()).map_or(&[][..], Vec::as_slice);
            let is_gone = !there.contains(app.as_str()) && state.leftovers.is_empty();
            let runs = |part: &PartState| self.observed.runs(&part.name, &part.id);
            let status =
                (!is_gone).then(|| status::status(version, state, steps, &self.attempts, &runs));
            self.teller.status(app, version, status.as_ref());
            self.statuses.want(app, &status);
        }
        self.statuses.retain(|app| plan.apps.contains_key(app));
        self.teller.retain(|app| plan.apps.contains_key(app));
        let is_open =
            |question: &Question| matches!(question, Question::Links | Question::Config(_));
        if self.observed.hosts.is_empty() || !self.questions.any(is_open) {
            self.teller.settled();
        }
    }

    /// Sends what there is room for.
    pub(super) fn send(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        loop {
            let id = self.id();
            if let Some(question) = self.questions.send(id, now) {
                effects.push(Effect::Ask(id, question));
            } else if let Some((app, owned)) = self.owned.send(id) {
                effects.push(Effect::NoteOwned(id, app, owned));
            } else if let Some(effect) = self.pops.send(id) {
                effects.push(effect);
            } else if let Some(effect) = self.rolls.send(id, &self.desired, now) {
                effects.push(effect);
            } else if let Some(command) = self.commands.send(id, now) {
                self.attempts.sent(&command);
                self.unsettled.sent(&command);
                tracing::info!(%command, "commanding");
                effects.push(Effect::Command(id, command));
            } else if let Some((app, status)) = self.statuses.send(id) {
                effects.push(Effect::NoteStatus(id, app, status));
            } else {
                return;
            }
        }
    }
}

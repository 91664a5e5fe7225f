//! Looking: what is asked, when, and who does not answer.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use trellis_lattice::HostId;

use super::{
    super::{Effect, Failure, FailureKind, Question},
    Core,
};
use crate::{
    desired::App,
    manifest::Manifest,
    plan,
    store::{Catalog, Owned},
};

/// How long at most everything waits for hosts to tell what they run.
const SURVEY: Duration = Duration::from_secs(5);

/// How often hosts are asked how calls go to components that are scaled by them.
const CALLS_EVERY: Duration = Duration::from_secs(1);

impl Core {
    /// Listening began.
    pub(super) fn begin(
        &mut self,
        catalog: Catalog,
        owned: BTreeMap<String, Owned>,
        patient_until: Instant,
        now: Instant,
    ) {
        self.is_listening = true;
        self.catalog = catalog;
        self.unsettled.begin(owned.values(), now);
        self.owned.begin(owned);
        self.statuses.begin(BTreeMap::new());
        self.liveness.be_patient(patient_until);
        self.survey_by = patient_until.max(now + SURVEY);
        // Something may have happened since what is on its way was asked.
        self.questions.touch_all();
        self.desire();
        self.resync(now);
    }

    /// Does what it is time for.
    pub(super) fn wake(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.resync_at <= now {
            self.resync(now);
            effects.push(Effect::ReadCatalog);
        }
        if self.ping_at <= now && self.must_ping() {
            self.ping_at = now + self.settings.ping_every;
            self.questions.ask(Question::Hosts);
        }
        let observed = &self.observed;
        let checked = self.liveness.check(now, |host| observed.pop_of(host));
        for host in checked.probe {
            self.questions.ask(Question::Probe(host));
        }
        for host in checked.lost {
            self.lose(&host, now);
        }
        for cut in checked.cut {
            self.cut(cut);
        }
        self.look_at_pops(now);
        self.ask_in_doubt(now);
        for question in self.questions.wake(now) {
            self.unanswered(question, now);
        }
        for command in self.commands.wake(now) {
            let failure = Failure {
                kind: FailureKind::TimedOut,
                message: "no answer".into(),
            };
            self.unsettled.done(&command, Err(&failure), now);
            self.attempts.refused(&command, failure.message, now);
            self.news();
        }
        if self.autoscaler.is_on() && self.calls_at <= now {
            self.calls_at = now + CALLS_EVERY;
            for host in self.autoscaler.hosts(&self.observed) {
                self.questions.ask(Question::Inventory(host.clone()));
            }
            if self.autoscale(now) {
                self.news();
            }
        }
        if self.rolls.wake(now) {
            for host in self.rolls.watched() {
                self.questions.ask(Question::Inventory(host));
            }
            self.news();
        }
        if self.unsettled.wake(now) {
            self.news();
        }
        self.owned.wake(now);
        self.statuses.wake(now);
        if self
            .attempts
            .next_after(self.planned)
            .is_some_and(|at| at <= now)
        {
            self.news();
        }
        self.survey(now);
    }

    /// A host is given up.
    pub(super) fn lose(&mut self, host: &HostId, now: Instant) {
        tracing::warn!(%host, "a host is lost: it does not answer");
        let unseen = self.observed.unseen.get(host).map(|unseen| &unseen.host);
        if let Some(gone) = self.observed.hosts.get(host).or(unseen) {
            self.teller.lost(host, gone, now);
        }
        self.observed.lose(host);
        self.commands.forget(host);
        self.doubts.forget(host);
        self.news();
    }

    /// Whether hosts have to be asked who is there: not all that are there beat, or some may be back.
    pub(super) fn must_ping(&self) -> bool {
        self.liveness.has_silent_kind() || self.pops.has_silent_kind()
    }

    /// Wants as many instances as calls need; whether that is another number than before.
    pub(super) fn autoscale(&mut self, now: Instant) -> bool {
        self.autoscaler
            .apply(&mut self.desired, &self.observed, now)
    }

    /// Asks everything anew.
    fn resync(&mut self, now: Instant) {
        self.resync_at = now + self.settings.resync_every;
        self.ping_at = now + self.settings.ping_every;
        self.questions.ask(Question::Hosts);
        self.questions.ask(Question::Links);
        for host in self.observed.hosts.keys() {
            self.questions.ask(Question::Inventory(host.clone()));
        }
        for config in self.observed.configs.keys() {
            self.questions.ask(Question::Config(config.clone()));
        }
    }

    /// There was no answer to a question, and there won't be.
    pub(super) fn unanswered(&mut self, question: Question, now: Instant) {
        match question {
            Question::Probe(host) => self.liveness.probed(&host, false, now),
            // Should it be there after all, it beats or tells of itself.
            Question::Inventory(host) if !self.liveness.knows(&host) => {}
            Question::Inventory(host) => {
                self.liveness.silent(&host, now);
                self.questions.ask_later(Question::Inventory(host), now);
            }
            Question::Hosts | Question::Links | Question::Config(_) => {
                self.questions.ask_later(question, now);
            }
        }
    }

    /// Asks for configurations that plans need and that are not known.
    pub(super) fn ask_configs(&mut self) {
        let wanted = plan::configs_of_interest(&self.desired, self.owned.noted());
        self.observed
            .configs
            .retain(|name, _| wanted.contains(name));
        if self.observed.hosts.is_empty() {
            return;
        }
        for name in wanted {
            if !self.observed.configs.contains_key(&name) {
                self.questions.ask(Question::Config(name));
            }
        }
    }

    /// Works out what ought to be.
    pub(super) fn desire(&mut self) {
        let deployed: BTreeMap<&str, (&String, &Manifest)> = self
            .catalog
            .apps()
            .filter_map(|(name, app)| Some((name, app.deployed()?)))
            .collect();
        let manifest_of = |name: &str| deployed.get(name).map(|(_, manifest)| *manifest);
        self.desired = deployed
            .iter()
            .map(|(name, (version, manifest))| {
                let app = App::new(version, manifest, &manifest_of);
                ((*name).to_owned(), app)
            })
            .collect();
        self.teller.deployed(&self.desired);
        self.news();
    }

    /// Once everyone who is there was asked what it runs, commanding may begin.
    pub(super) fn survey(&mut self, now: Instant) {
        let is_open = |question: &Question| {
            matches!(
                question,
                Question::Hosts | Question::Inventory(_) | Question::Probe(_)
            )
        };
        if self.is_surveyed || !self.hosts_are_known {
            return;
        }
        let is_complete = !self.questions.any(is_open)
            && self
                .liveness
                .hosts()
                .all(|host| self.observed.hosts.contains_key(host));
        if is_complete || now >= self.survey_by {
            self.is_surveyed = true;
            self.news();
            tracing::info!(
                hosts = self.observed.hosts.len(),
                apps = self.desired.len(),
                "surveyed the lattice"
            );
        }
    }
}

//! Taking in: beats, events, answers, and how what was done went.

use std::{collections::BTreeSet, time::Instant};

use trellis_lattice::{
    HostId,
    control::host::{Host, HostInventory},
    event::Event,
};

use super::{
    super::{Answer, Failure, FailureKind, Id, Question},
    Core,
};
use crate::{
    command::{Command, Subject},
    observed::Stale,
};

impl Core {
    pub(super) fn take_beat(&mut self, host: HostId, now: Instant) {
        let silence = self.liveness.heard(&host, now, true);
        if !self.observed.hosts.contains_key(&host) {
            // A question that was lost where the link was cut must not hold up this one.
            let inventory = Question::Inventory(host.clone());
            let is_lost = self.observed.unseen.contains_key(&host)
                || self
                    .questions
                    .is_overdue(&inventory, self.settings.silence, now);
            self.questions.ask(match is_lost {
                true => Question::Probe(host),
                false => inventory,
            });
        } else if silence > self.settings.silence * 3 / 5 && self.attempts.await_news_of(&host) {
            // A beat is missing, and so may be what is waited for.
            self.questions.touch(&Question::Probe(host.clone()));
            self.questions.ask(Question::Probe(host));
        }
    }

    pub(super) fn take_event(&mut self, source: &HostId, event: &Event, now: Instant) {
        self.outcome(source, event, now);
        // What was asked before this, and is not answered, may be older.
        match event {
            Event::LinkSet(_) | Event::LinkDeleted(_) => self.questions.touch(&Question::Links),
            Event::ConfigSet(event) | Event::ConfigDeleted(event) => self
                .questions
                .touch(&Question::Config(event.config_name.clone())),
            _ => {
                self.questions.touch(&Question::Inventory(source.clone()));
                self.questions.touch(&Question::Probe(source.clone()));
            }
        }
        let seen = self.observed.event(source, event);
        match seen.stale {
            None => {}
            Some(Stale::Host(host)) => self.questions.ask_anew(Question::Inventory(host)),
            Some(Stale::Config(name)) => self.questions.ask_anew(Question::Config(name)),
        }
        if seen.has_changed {
            self.news();
        }
        match event {
            Event::HostStopped(_) => {
                self.liveness.forget(source);
                self.commands.forget(source);
                self.doubts.forget(source);
            }
            _ if self.observed.hosts.contains_key(source) => {
                self.liveness.heard(source, now, false);
            }
            _ => {}
        }
    }

    /// What an event says of the commands that were given.
    fn outcome(&mut self, source: &HostId, event: &Event, now: Instant) {
        match event {
            Event::ComponentScaled(event) => self.ended(Subject::Component(
                event.host_id.clone(),
                event.component_id.clone(),
            )),
            Event::ProviderStarted(event) => self.ended(Subject::Provider(
                event.host_id.clone(),
                event.provider_id.clone(),
            )),
            Event::ProviderStopped(event) => self.ended(Subject::Provider(
                event.host_id.clone(),
                event.provider_id.clone(),
            )),
            Event::ComponentScaleFailed(event) => {
                let subject = Subject::Component(event.host_id.clone(), event.component_id.clone());
                self.failed(&subject, &event.error, now);
                self.questions
                    .ask_anew(Question::Inventory(event.host_id.clone()));
            }
            Event::ProviderStartFailed(event) => {
                let host = event.host_id.as_ref().unwrap_or(source);
                let subject = Subject::Provider(host.clone(), event.provider_id.clone());
                self.failed(&subject, &event.error, now);
                self.questions.ask_anew(Question::Inventory(host.clone()));
            }
            Event::LinkSetFailed(event) => {
                self.failed(&Subject::Link(event.link.key()), &event.error, now);
            }
            _ => {}
        }
    }

    fn ended(&mut self, subject: Subject) {
        if self.attempts.is_about(&subject) {
            self.ended.insert(subject);
            self.news();
        }
    }

    fn failed(&mut self, subject: &Subject, why: &str, now: Instant) {
        if self.attempts.is_about(subject) {
            self.attempts.failed(subject, why.to_owned(), now);
            self.news();
        }
    }

    pub(super) fn take_answer(&mut self, id: Id, answer: Answer, now: Instant) {
        let Some((question, asked)) = self.questions.answered(id) else {
            return;
        };
        match (question, answer) {
            (Question::Hosts, Answer::Hosts(Ok(hosts))) => self.take_hosts(&hosts, asked, now),
            (Question::Inventory(host), Answer::Inventory(Ok(inventory))) => {
                self.take_inventory(&host, &inventory, now);
                self.answered(&host, asked, now);
            }
            (Question::Probe(host), Answer::Inventory(Ok(inventory))) => {
                self.take_inventory(&host, &inventory, now);
                self.liveness.answered(&host, asked, now);
                self.answered(&host, asked, now);
            }
            (Question::Probe(host), Answer::Inventory(Err(failure))) => {
                self.take_silence(&host, &failure, asked, now);
            }
            (Question::Links, Answer::Links(Ok(links))) => {
                let links = links.into_iter().map(|link| (link.key(), link)).collect();
                if self.observed.links.as_ref() != Some(&links) {
                    self.observed.links = Some(links);
                    self.news();
                }
            }
            (Question::Config(name), Answer::Config(Ok(config))) => {
                if self.observed.configs.get(&name) != Some(&config) {
                    self.observed.configs.insert(name, config);
                    self.news();
                }
            }
            (
                question,
                Answer::Hosts(Err(failure))
                | Answer::Inventory(Err(failure))
                | Answer::Links(Err(failure))
                | Answer::Config(Err(failure)),
            ) => {
                tracing::debug!(?question, failure.message, "no answer");
                if let Question::Inventory(host) = &question {
                    self.doubt(host, &failure, now);
                }
                self.unanswered(question, now);
            }
            (question, _) => {
                tracing::error!(?question, "the answer is to another question");
                self.unanswered(question, now);
            }
        }
    }

    fn take_hosts(&mut self, hosts: &[Host], asked: Instant, now: Instant) {
        self.hosts_are_known = true;
        let there: BTreeSet<&HostId> = hosts.iter().map(|host| &host.id).collect();
        for id in &there {
            if self.observed.hosts.contains_key(*id) {
                // All answers are gathered for a while: nobody knows when this one came.
                self.liveness.heard(id, asked, false);
            } else {
                self.questions
                    .ask(match self.observed.unseen.contains_key(*id) {
                        true => Question::Probe((*id).clone()),
                        false => Question::Inventory((*id).clone()),
                    });
            }
        }
        for id in self.observed.hosts.keys() {
            if !there.contains(id) {
                self.liveness.silent(id, now);
                // It may only have been slow.
                self.questions.ask(Question::Inventory(id.clone()));
            }
        }
    }

    fn take_inventory(&mut self, host: &HostId, inventory: &HostInventory, now: Instant) {
        if inventory.host_id != *host {
            tracing::warn!(%host, answered = %inventory.host_id, "another host's inventory");
            return;
        }
        self.liveness.heard(host, now, false);
        if self.observed.inventory(inventory) {
            self.news();
        }
    }

    /// A probe was not answered.
    fn take_silence(&mut self, host: &HostId, failure: &Failure, asked: Instant, now: Instant) {
        tracing::debug!(%host, failure.message, "a silent host does not answer");
        let is_gone = match failure.kind {
            FailureKind::NoResponder | FailureKind::TimedOut => true,
            FailureKind::Refused | FailureKind::Fenced(_) => {
                self.liveness.heard(host, now, false);
                self.liveness.answered(host, asked, now);
                return;
            }
            FailureKind::Other => false,
        };
        self.doubts.away(host);
        self.liveness.probed(host, is_gone, now);
    }

    pub(super) fn take_noted(&mut self, id: Id, result: Result<(), Failure>, now: Instant) {
        if let Err(failure) = &result {
            tracing::warn!(failure.message, "could not note; trying again");
            self.check_fence(failure);
        }
        if let Some(app) = self.owned.written(id, result.is_ok(), now) {
            tracing::debug!(app, "noted what it has");
            self.news();
        } else if self.pops.written(id, result.is_ok(), now) {
            tracing::debug!("noted what a host runs");
        } else if self.rolls.written(id, result.is_ok(), now) {
            self.news();
        } else {
            self.statuses.written(id, result.is_ok(), now);
        }
    }

    fn check_fence(&mut self, failure: &Failure) {
        if let FailureKind::Fenced(fence) = failure.kind {
            tracing::warn!(failure.message, "another application manager leads now");
            self.deposed = Some(fence.max(self.deposed.unwrap_or_default()));
        }
    }

    pub(super) fn take_result(
        &mut self,
        command: &Command,
        result: Result<(), Failure>,
        now: Instant,
    ) {
        self.unsettled.done(command, result.as_ref().copied(), now);
        match result {
            Ok(()) => {
                self.done(command);
                self.attempts.accepted(command, now);
            }
            // Where there was no answer it may have been carried out; twice is as good as once.
            Err(failure) => {
                self.check_fence(&failure);
                if let Some(host) = command.host() {
                    self.doubt(host, &failure, now);
                }
                self.attempts.refused(command, failure.message, now);
                self.news();
                // What is there may not be what we think.
                match (command.host(), command) {
                    (Some(host), _) => {
                        self.questions.ask_anew(Question::Inventory(host.clone()));
                    }
                    (None, Command::PutLink { .. } | Command::DeleteLink(_)) => {
                        self.questions.ask_anew(Question::Links);
                    }
                    (None, Command::PutConfig { name, .. } | Command::DeleteConfig(name)) => {
                        self.questions.ask_anew(Question::Config(name.clone()));
                    }
                    (None, _) => {}
                }
            }
        }
    }

    /// What is answered when it is done needs no event.
    fn done(&mut self, command: &Command) {
        match command {
            Command::PutLink { link, .. } => {
                if let Some(links) = &mut self.observed.links {
                    links.insert(link.key(), link.clone());
                }
                self.questions.touch(&Question::Links);
            }
            Command::DeleteLink(key) => {
                if let Some(links) = &mut self.observed.links {
                    links.remove(key);
                }
                self.questions.touch(&Question::Links);
            }
            Command::PutConfig { name, config } => {
                let config = Some(config.clone());
                self.observed.configs.insert(name.clone(), config);
                self.questions.touch(&Question::Config(name.clone()));
            }
            Command::DeleteConfig(name) => {
                self.observed.configs.insert(name.clone(), None);
                self.questions.touch(&Question::Config(name.clone()));
            }
            Command::Scale(_) | Command::StartProvider(_) | Command::StopProvider(_) => return,
        }
        self.news();
    }
}

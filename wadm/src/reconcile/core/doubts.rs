//! Hosts that live, by their beats, but owe an answer. They are asked whether they can be reached, briefly and again and
//! again; once they answer, what was lost on its way goes again. So a link that works in one direction only, or for
//! moments only, holds nothing up for longer than it must.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use trellis_lattice::HostId;

use super::{
    super::{Failure, FailureKind, Question},
    Core,
};

/// How often they are asked.
const EVERY: Duration = Duration::from_millis(500);

/// The hosts in doubt.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    hosts: BTreeMap<HostId, Doubt>,
}

#[derive(Debug)]
struct Doubt {
    /// When it is asked again.
    ask_at: Instant,
    /// Whether it did not answer since.
    was_away: bool,
}

impl Doubts {
    /// A host owes an answer.
    pub(super) fn about(&mut self, host: &HostId, now: Instant) {
        let doubt = || Doubt {
            ask_at: now,
            was_away: false,
        };
        self.hosts.entry(host.clone()).or_insert_with(doubt);
    }

    /// The hosts to ask now.
    fn due(&mut self, now: Instant) -> Vec<HostId> {
        let mut due = Vec::new();
        for (host, doubt) in &mut self.hosts {
            if doubt.ask_at <= now {
                doubt.ask_at = now + EVERY;
                due.push(host.clone());
            }
        }
        due
    }

    /// A host did not answer when it was asked whether it can be reached.
    pub(super) fn away(&mut self, host: &HostId) {
        if let Some(doubt) = self.hosts.get_mut(host) {
            doubt.was_away = true;
        }
    }

    /// A host is gone.
    pub(super) fn forget(&mut self, host: &HostId) {
        self.hosts.remove(host);
    }

    /// When one is asked again.
    pub(super) fn next(&self) -> Option<Instant> {
        self.hosts.values().map(|doubt| doubt.ask_at).min()
    }
}

impl Core {
    /// Asks those that are in doubt.
    pub(super) fn ask_in_doubt(&mut self, now: Instant) {
        for host in self.commands.overdue(now) {
            self.doubts.about(&host, now);
        }
        let liveness = &self.liveness;
        self.doubts.hosts.retain(|host, _| liveness.knows(host));
        for host in self.doubts.due(now) {
            self.questions.ask(Question::Probe(host));
        }
    }

    /// Something that was asked of a host has no answer.
    pub(super) fn doubt(&mut self, host: &HostId, failure: &Failure, now: Instant) {
        let is_silence = matches!(
            failure.kind,
            FailureKind::TimedOut | FailureKind::NoResponder
        );
        if is_silence && self.liveness.knows(host) {
            self.doubts.about(host, now);
        }
    }

    /// A host answered what it was asked then.
    pub(super) fn answered(&mut self, host: &HostId, asked: Instant, now: Instant) {
        self.liveness
            .took(host, now.saturating_duration_since(asked));
        let Some(doubt) = self.doubts.hosts.remove(host) else {
            return;
        };
        // Messages to a host come in order: what it had not got by then it won't get.
        for command in self.commands.give_up(host, asked) {
            self.attempts.lost(&command, doubt.was_away, now);
        }
        if doubt.was_away {
            tracing::info!(%host, "a host can be reached again");
            self.attempts.reached(host, now);
        }
        self.news();
    }
}

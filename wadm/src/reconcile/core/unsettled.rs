//! Links and configurations that were put, but nobody knows whether they are there: the answer is still to come, or
//! never came. A message may arrive late. Until it can't any more they count as the application's, so that what turns
//! up when the application has no use for it any more is removed.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::super::{Failure, FailureKind};
use crate::{
    command::{Command, Subject},
    store::Owned,
};

/// How long until nothing turns up any more: a minute for a message that hangs with a host or a connection, and until
/// everything was asked anew after that.
const LATE: Duration = Duration::from_secs(90);

/// What is unsettled.
#[derive(Debug, Default)]
pub(super) struct Unsettled {
    /// Until when; `None` while the answer is awaited.
    until: BTreeMap<Subject, Option<Instant>>,
}

impl Unsettled {
    /// Another manager led before, and may have been putting any of this.
    pub(super) fn begin<'o>(&mut self, noted: impl Iterator<Item = &'o Owned>, now: Instant) {
        let until = now + LATE;
        for owned in noted {
            let links = owned.links.iter().cloned().map(Subject::Link);
            let configs = owned.configs.iter().cloned().map(Subject::Config);
            for subject in links.chain(configs) {
                self.until.entry(subject).or_insert(Some(until));
            }
        }
    }

    /// A command is being sent.
    pub(super) fn sent(&mut self, command: &Command) {
        if is_put(command) {
            self.until.insert(command.subject(), None);
        }
    }

    /// What came of it.
    pub(super) fn done(&mut self, command: &Command, result: Result<(), &Failure>, now: Instant) {
        if !is_put(command) {
            return;
        }
        let is_settled = match result {
            Ok(()) => true,
            Err(failure) => matches!(
                failure.kind,
                FailureKind::Refused | FailureKind::NoResponder
            ),
        };
        match is_settled {
            true => self.until.remove(&command.subject()),
            false => self.until.insert(command.subject(), Some(now + LATE)),
        };
    }

    /// Adds to what an application has what it had and is unsettled.
    pub(super) fn keep(&self, noted: &Owned, owned: &mut Owned) {
        if self.until.is_empty() {
            return;
        }
        for link in &noted.links {
            if self.until.contains_key(&Subject::Link(link.clone())) {
                owned.links.insert(link.clone());
            }
        }
        for config in &noted.configs {
            if self.until.contains_key(&Subject::Config(config.clone())) {
                owned.configs.insert(config.clone());
            }
        }
    }

    /// Settles what has become too old; whether there was any.
    pub(super) fn wake(&mut self, now: Instant) -> bool {
        let before = self.until.len();
        self.until
            .retain(|_, until| until.is_none_or(|until| now < until));
        before != self.until.len()
    }

    /// When something is settled.
    pub(super) fn next(&self) -> Option<Instant> {
        self.until.values().flatten().min().copied()
    }
}

fn is_put(command: &Command) -> bool {
    matches!(command, Command::PutLink { .. } | Command::PutConfig { .. })
}

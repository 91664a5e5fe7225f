//! What is asked of the lattice: never the same twice at a time, and not too much at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::super::{Id, Question};

/// How many questions are on their way at once, probes aside.
const MAX_ASKING: usize = 64;

/// How long until a question is asked again that had no answer.
const AGAIN: Duration = Duration::from_secs(1);

/// After that long there won't be an answer, whatever became of it.
const GIVEN_UP: Duration = Duration::from_secs(60);

/// How often an answer is put aside because something happened after the question.
const MAX_STALE: u8 = 3;

/// The questions.
#[derive(Debug, Default)]
pub(super) struct Questions {
    waiting: BTreeSet<Question>,
    asking: BTreeMap<Question, Asking>,
    by_id: BTreeMap<Id, Question>,
    again: BTreeMap<Question, Instant>,
    /// How often each was asked anew because its answer was stale.
    stale: BTreeMap<Question, u8>,
}

#[derive(Debug)]
struct Asking {
    id: Id,
    since: Instant,
    /// Something happened since that the answer may not know of.
    is_stale: bool,
}

impl Questions {
    /// Asks, unless that is being asked.
    pub(super) fn ask(&mut self, question: Question) {
        self.again.remove(&question);
        if !self.asking.contains_key(&question) {
            self.waiting.insert(question);
        }
    }

    /// Whether it is being asked for so long.
    pub(super) fn is_overdue(&self, question: &Question, after: Duration, now: Instant) -> bool {
        let asking = self.asking.get(question);
        asking.is_some_and(|asking| now.duration_since(asking.since) >= after)
    }

    /// Asks, also when that is being asked: the answer that is on its way is too old.
    pub(super) fn ask_anew(&mut self, question: Question) {
        self.touch(&question);
        self.ask(question);
    }

    /// Something happened that an answer on its way may not know of.
    pub(super) fn touch(&mut self, question: &Question) {
        if let Some(asking) = self.asking.get_mut(question) {
            asking.is_stale = true;
        }
    }

    /// All answers on their way are too old.
    pub(super) fn touch_all(&mut self) {
        for asking in self.asking.values_mut() {
            asking.is_stale = true;
        }
    }

    /// Asks again in a while.
    pub(super) fn ask_later(&mut self, question: Question, now: Instant) {
        self.again.entry(question).or_insert(now + AGAIN);
    }

    /// Takes an answer's question, and when it was asked; `None` when it is nobody's answer, or too old: then it is asked
    /// anew.
    pub(super) fn answered(&mut self, id: Id) -> Option<(Question, Instant)> {
        let question = self.by_id.remove(&id)?;
        let asking = self.asking.remove(&question)?;
        let count = self.stale.get(&question).copied().unwrap_or_default();
        if asking.is_stale && count < MAX_STALE {
            self.stale.insert(question.clone(), count + 1);
            self.ask(question);
            return None;
        }
        self.stale.remove(&question);
        Some((question, asking.since))
    }

    /// Whether anything of this kind is being asked, or is to be.
    pub(super) fn any(&self, kind: impl Fn(&Question) -> bool) -> bool {
        self.waiting.iter().chain(self.asking.keys()).any(kind)
    }

    /// Asks again what is due, and gives up what has no answer; gives those.
    pub(super) fn wake(&mut self, now: Instant) -> Vec<Question> {
        let due: Vec<_> = self
            .again
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(question, _)| question.clone())
            .collect();
        for question in due {
            self.ask(question);
        }
        let lost: Vec<_> = self
            .asking
            .iter()
            .filter(|(_, asking)| now.duration_since(asking.since) >= GIVEN_UP)
            .map(|(question, asking)| (question.clone(), asking.id))
            .collect();
        lost.into_iter()
            .map(|(question, id)| {
                self.asking.remove(&question);
                self.by_id.remove(&id);
                question
            })
            .collect()
    }

    /// The next question to send, if there is room. `id` names it.
    pub(super) fn send(&mut self, id: Id, now: Instant) -> Option<Question> {
        let is_full = self.asking.len() >= MAX_ASKING;
        let question = self
            .waiting
            .iter()
            .find(|question| {
                (!is_full || matches!(question, Question::Probe(_)))
                    && !self.asking.contains_key(*question)
            })?
            .clone();
        self.waiting.remove(&question);
        self.by_id.insert(id, question.clone());
        let asking = Asking {
            id,
            since: now,
            is_stale: false,
        };
        self.asking.insert(question.clone(), asking);
        Some(question)
    }

    /// When something is to be asked again.
    pub(super) fn next(&self) -> Option<Instant> {
        self.again.values().min().copied()
    }
}

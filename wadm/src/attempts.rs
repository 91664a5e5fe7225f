//! What was asked for and how it went: nothing is asked twice while it may still come true, and what failed is asked
//! again later and later. Pure; times come from outside.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use trellis_lattice::{HostId, app::AttemptReport};

use crate::{
    command::{Command, Subject},
    plan::Step,
};

/// How attempts are timed.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long the outcome of something accepted may stay away.
    pub outcome: Duration,
    /// The wait after the first failure; it doubles with each.
    pub first_wait: Duration,
    /// The longest wait.
    pub longest_wait: Duration,
}

impl Default for Timing {
    /// 60 s for an outcome (an image may have to be fetched), 1 s to 60 s between attempts.
    fn default() -> Self {
        Self {
            outcome: Duration::from_secs(60),
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(60),
        }
    }
}

/// What was asked for and is not yet so.
#[derive(Debug, Default)]
pub struct Attempts {
    timing: Timing,
    by_subject: BTreeMap<Subject, Attempt>,
}

#[derive(Debug)]
struct Attempt {
    command: Command,
    failures: u32,
    /// How often the lattice told that it does not work.
    told: u32,
    phase: Phase,
    error: Option<String>,
}

#[derive(Debug, PartialEq)]
enum Phase {
    /// To be sent when there is room.
    Due,
    /// Being sent.
    Sending,
    /// Accepted; the outcome is an event.
    Accepted { until: Instant },
    /// Failed; not again before then.
    Waiting { until: Instant },
}

impl Attempts {
    /// None yet.
    pub fn new(timing: Timing) -> Self {
        Self {
            timing,
            by_subject: BTreeMap::new(),
        }
    }

    /// Forgets what is no longer in the plan: it came true, or is no longer wanted.
    pub fn settle(&mut self, steps: &[Step]) {
        let subjects: BTreeSet<Subject> = steps.iter().map(|step| step.command.subject()).collect();
        self.by_subject
            .retain(|subject, _| subjects.contains(subject));
    }

    /// Gives those of a plan's steps that are to be carried out now, also those that were due before and are not sent.
    pub fn due<'p>(
        &mut self,
        steps: impl IntoIterator<Item = &'p Step>,
        now: Instant,
    ) -> Vec<&'p Step> {
        let mut due = Vec::new();
        for step in steps {
            let subject = step.command.subject();
            let known = self
                .by_subject
                .get_mut(&subject)
                .filter(|attempt| attempt.command == step.command);
            let (failures, told, error) = match known {
                // Another command about the same thing is news: it goes at once.
                None => (0, 0, None),
                Some(attempt) => {
                    match attempt.phase {
                        Phase::Sending => continue,
                        Phase::Accepted { until } if now < until => continue,
                        Phase::Accepted { .. } => {
                            let seconds = self.timing.outcome.as_secs();
                            attempt.fail(
                                format!("no outcome within {seconds} s"),
                                self.timing,
                                now,
                            );
                            continue;
                        }
                        Phase::Waiting { until } if now < until => continue,
                        Phase::Waiting { .. } | Phase::Due => {}
                    }
                    (attempt.failures, attempt.told, attempt.error.take())
                }
            };
            self.by_subject.insert(
                subject,
                Attempt {
                    command: step.command.clone(),
                    failures,
                    told,
                    phase: Phase::Due,
                    error,
                },
            );
            due.push(step);
        }
        due
    }

    /// A command is being sent.
    pub fn sent(&mut self, command: &Command) {
        if let Some(attempt) = self.of(command)
            && attempt.phase == Phase::Due
        {
            attempt.phase = Phase::Sending;
        }
    }

    /// A command was accepted.
    pub fn accepted(&mut self, command: &Command, now: Instant) {
        let until = now + self.timing.outcome;
        // The event of its failure may have come before this.
        if let Some(attempt) = self.of(command)
            && attempt.phase == Phase::Sending
        {
            attempt.phase = Phase::Accepted { until };
        }
    }

    /// A command was refused, or got no answer.
    pub fn refused(&mut self, command: &Command, why: String, now: Instant) {
        let timing = self.timing;
        if let Some(attempt) = self.of(command) {
            attempt.fail(why, timing, now);
        }
    }

    /// A command was lost on its way, and its host can be reached: it goes again at once. Where that was so before too, and
    /// the host could be reached all the while, it waits as after any failure.
    pub fn lost(&mut self, command: &Command, was_away: bool, now: Instant) {
        let timing = self.timing;
        if let Some(attempt) = self.of(command) {
            let is_first = attempt.failures == 0;
            attempt.fail("no answer".into(), timing, now);
            if is_first || was_away {
                attempt.phase = Phase::Waiting { until: now };
            }
        }
    }

    /// A host can be reached again: what waits for it goes at once.
    pub fn reached(&mut self, host: &HostId, now: Instant) {
        for (_, attempt) in self
            .by_subject
            .iter_mut()
            .filter(|(subject, _)| is_of(subject, host))
        {
            if let Phase::Waiting { until } = &mut attempt.phase {
                *until = now.min(*until);
            }
        }
    }

    /// Whether anything is on its way to a host, or its outcome is still to be told.
    pub fn await_news_of(&self, host: &HostId) -> bool {
        let of_host = self
            .by_subject
            .iter()
            .filter(|(subject, _)| is_of(subject, host));
        let mut phases = of_host.map(|(_, attempt)| &attempt.phase);
        phases.any(|phase| matches!(phase, Phase::Sending | Phase::Accepted { .. }))
    }

    /// The lattice tells that something about this did not work.
    pub fn failed(&mut self, subject: &Subject, why: String, now: Instant) {
        let timing = self.timing;
        if let Some(attempt) = self.by_subject.get_mut(subject) {
            if !matches!(attempt.phase, Phase::Waiting { .. }) {
                attempt.told = attempt.told.saturating_add(1);
            }
            attempt.fail(why, timing, now);
        }
    }

    /// The lattice told of an outcome, and the plan made after it still wants the same: it was not what was asked for.
    pub fn ended(&mut self, subject: &Subject, now: Instant) {
        let timing = self.timing;
        if let Some(attempt) = self.by_subject.get_mut(subject)
            && matches!(attempt.phase, Phase::Accepted { .. })
        {
            attempt.fail("the outcome is not what was asked for".into(), timing, now);
        }
    }

    /// Why the last attempt at this failed.
    pub fn error(&self, subject: &Subject) -> Option<&str> {
        self.by_subject.get(subject)?.error.as_deref()
    }

    /// How often the lattice told that this command does not work, and why at last.
    pub fn told(&self, command: &Command) -> Option<(u32, &str)> {
        let attempt = self.by_subject.get(&command.subject())?;
        (attempt.command == *command && attempt.told > 0)
            .then(|| (attempt.told, attempt.error.as_deref().unwrap_or_default()))
    }

    /// Whether anything was asked for about this.
    pub fn is_about(&self, subject: &Subject) -> bool {
        self.by_subject.contains_key(subject)
    }

    /// What is being done about this, and how it went so far; none when nothing is.
    pub fn report(&self, subject: &Subject, now: Instant) -> Option<AttemptReport> {
        let attempt = self.by_subject.get(subject)?;
        let retry_in = match attempt.phase {
            Phase::Waiting { until } => Some(until.saturating_duration_since(now)),
            _ => None,
        };
        Some(AttemptReport {
            command: attempt.command.to_string(),
            failures: attempt.failures,
            error: attempt.error.clone(),
            retry_in_ms: retry_in.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
        })
    }

    /// When something is next due after the last plan, which saw what was due then.
    pub fn next_after(&self, planned: Instant) -> Option<Instant> {
        self.by_subject
            .values()
            .filter_map(|attempt| match attempt.phase {
                Phase::Due | Phase::Sending => None,
                Phase::Accepted { until } | Phase::Waiting { until } => Some(until),
            })
            .filter(|until| *until > planned)
            .min()
    }

    fn of(&mut self, command: &Command) -> Option<&mut Attempt> {
        self.by_subject
            .get_mut(&command.subject())
            .filter(|attempt| attempt.command == *command)
    }
}

/// Whether it is about something on that host.
fn is_of(subject: &Subject, host: &HostId) -> bool {
    match subject {
        Subject::Component(on, _) | Subject::Provider(on, _) => on == host,
        Subject::Link(_) | Subject::Config(_) => false,
    }
}

impl Attempt {
    fn fail(&mut self, why: String, timing: Timing, now: Instant) {
        // A second word on the same failure is no second failure.
        if !matches!(self.phase, Phase::Waiting { .. }) {
            self.failures = self.failures.saturating_add(1);
            let doublings = self.failures.saturating_sub(1).min(16);
            let wait = timing
                .first_wait
                .saturating_mul(1 << doublings)
                .min(timing.longest_wait);
            tracing::warn!(command = %self.command, failures = self.failures, retry_in_ms = wait.as_millis(), why, "a command failed");
            self.phase = Phase::Waiting { until: now + wait };
        }
        self.error = Some(why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(count: u32) -> Step {
        let scale = serde_json::json!({
            "component_ref": "file:///a.wasm", "component_id": "a", "host_id": "H", "count": count,
        });
        Step {
            app: "app".into(),
            part: None,
            command: Command::Scale(serde_json::from_value(scale).unwrap()),
        }
    }

    fn timing() -> Timing {
        Timing {
            outcome: Duration::from_secs(10),
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(4),
        }
    }

    /// What is due of a plan that was just made, and sent.
    fn due(attempts: &mut Attempts, steps: &[Step], now: Instant) -> usize {
        attempts.settle(steps);
        let due = attempts.due(steps, now);
        for step in &due {
            attempts.sent(&step.command);
        }
        due.len()
    }

    #[test]
    fn nothing_is_asked_twice_while_it_may_come_true() {
        let (mut attempts, start) = (Attempts::new(timing()), Instant::now());
        let steps = [step(1)];
        assert_eq!(due(&mut attempts, &steps, start), 1);
        assert_eq!(due(&mut attempts, &steps, start), 0);
        attempts.accepted(&steps[0].command, start);
        assert_eq!(
            due(&mut attempts, &steps, start + Duration::from_secs(9)),
            0
        );
        // No outcome: that is a failure, tried again after its wait.
        let late = start + Duration::from_secs(10);
        assert_eq!(due(&mut attempts, &steps, late), 0);
        assert!(attempts.error(&steps[0].command.subject()).is_some());
        assert_eq!(due(&mut attempts, &steps, late + Duration::from_secs(1)), 1);
    }

    #[test]
    fn waits_grow_to_a_bound() {
        let (mut attempts, mut now) = (Attempts::new(timing()), Instant::now());
        let steps = [step(1)];
        for wait in [1, 2, 4, 4, 4] {
            assert_eq!(due(&mut attempts, &steps, now), 1);
            attempts.refused(&steps[0].command, "no".into(), now);
            assert_eq!(
                attempts.next_after(now),
                Some(now + Duration::from_secs(wait))
            );
            now += Duration::from_secs(wait);
        }
    }

    #[test]
    fn another_wish_goes_at_once() {
        let (mut attempts, now) = (Attempts::new(timing()), Instant::now());
        assert_eq!(due(&mut attempts, &[step(1)], now), 1);
        attempts.refused(&step(1).command, "no".into(), now);
        assert_eq!(due(&mut attempts, &[step(2)], now), 1);
        // The late answer to the first says nothing of the second.
        attempts.refused(&step(1).command, "no".into(), now);
        assert_eq!(attempts.error(&step(2).command.subject()), None);
    }

    #[test]
    fn what_came_true_is_forgotten() {
        let (mut attempts, now) = (Attempts::new(timing()), Instant::now());
        let steps = [step(1)];
        assert_eq!(due(&mut attempts, &steps, now), 1);
        attempts.refused(&steps[0].command, "no".into(), now);
        assert_eq!(due(&mut attempts, &[], now), 0);
        assert_eq!(due(&mut attempts, &steps, now), 1);
    }

    #[test]
    fn a_failure_that_is_told_before_the_answer_counts() {
        let (mut attempts, now) = (Attempts::new(timing()), Instant::now());
        let steps = [step(1)];
        due(&mut attempts, &steps, now);
        attempts.failed(&steps[0].command.subject(), "no".into(), now);
        attempts.accepted(&steps[0].command, now);
        assert_eq!(due(&mut attempts, &steps, now + Duration::from_secs(1)), 1);
    }

    #[test]
    fn an_outcome_that_changes_nothing_is_a_failure() {
        let (mut attempts, now) = (Attempts::new(timing()), Instant::now());
        let steps = [step(1)];
        due(&mut attempts, &steps, now);
        attempts.accepted(&steps[0].command, now);
        attempts.ended(&steps[0].command.subject(), now);
        assert_eq!(due(&mut attempts, &steps, now), 0);
        assert_eq!(due(&mut attempts, &steps, now + Duration::from_secs(1)), 1);
    }
}

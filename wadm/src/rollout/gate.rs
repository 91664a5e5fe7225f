//! Health gates: how calls of the new release went since the step began.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use trellis_lattice::control::host::ComponentStats;

use crate::manifest::HealthGate;

/// How calls went, as far as gates look at it. Hosts count from when a component's image was started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Calls that ended.
    pub calls: u64,
    /// Those that failed.
    pub errors: u64,
    /// How long they took: [`ComponentStats::latency`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub latency: Vec<u64>,
}

impl Counters {
    /// What a host tells.
    pub fn of(stats: &ComponentStats) -> Self {
        Self {
            calls: stats.calls,
            errors: stats.errors.min(stats.calls),
            latency: stats
                .latency
                .iter()
                .take(ComponentStats::BUCKETS)
                .copied()
                .collect(),
        }
    }

    /// What came since `before`. Counters that went back were begun anew: then all of it is new.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let went_back = self.calls < before.calls
            || self.errors < before.errors
            || before
                .latency
                .iter()
                .enumerate()
                .any(|(index, count)| self.latency.get(index).is_none_or(|now| now < count));
        if went_back {
            return self.clone();
        }
        let latency = self.latency.iter().enumerate().map(|(index, now)| {
            let before = before.latency.get(index).copied().unwrap_or(0);
            now.saturating_sub(before)
        });
        Self {
            calls: self.calls.saturating_sub(before.calls),
            errors: self.errors.saturating_sub(before.errors),
            latency: latency.collect(),
        }
    }

    /// Adds another host's.
    pub fn add(&mut self, other: &Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.errors = self.errors.saturating_add(other.errors);
        if self.latency.len() < other.latency.len() {
            self.latency.resize(other.latency.len(), 0);
        }
        for (sum, count) in self.latency.iter_mut().zip(&other.latency) {
            *sum = sum.saturating_add(*count);
        }
    }
}

/// What a gate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Too few calls to say.
    Unknown,
    /// It is kept to.
    Kept,
    /// It is not, and how.
    Broken(String),
}

/// Judges calls.
pub(super) fn judge(gate: &HealthGate, counters: &Counters) -> Verdict {
    let calls = counters.calls;
    if calls == 0 || calls < gate.min_calls {
        return Verdict::Unknown;
    }
    if let Some(limit) = gate.error_rate {
        // Counts of calls are far below what a float holds exactly.
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no more")]
        let rate = counters.errors as f64 / calls as f64;
        if rate > limit {
            return Verdict::Broken(format!(
                "{} of {calls} calls failed, {:.1} %: more than {:.1} %",
                counters.errors,
                rate * 100.0,
                limit * 100.0
            ));
        }
    }
    if let Some(limit) = gate.latency_p99 {
        let timed: u64 = counters
            .latency
            .iter()
            .fold(0, |sum, n| sum.saturating_add(*n));
        let slow = surely_slower(counters, limit.0);
        // More than one of a hundred.
        if timed >= gate.min_calls && slow.saturating_mul(100) > timed {
            return Verdict::Broken(format!(
                "{slow} of {timed} calls took more than {}: more than one of a hundred",
                humantime::format_duration(limit.0)
            ));
        }
    }
    Verdict::Kept
}

/// How many calls took longer, without doubt: index `i` counts those of at least `2^(i-1)` microseconds.
fn surely_slower(counters: &Counters, limit: Duration) -> u64 {
    let limit = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
    counters
        .latency
        .iter()
        .enumerate()
        .skip(1)
        .filter(|(index, _)| {
            let exponent = u32::try_from(index - 1).unwrap_or(u32::MAX);
            1_u64
                .checked_shl(exponent)
                .is_none_or(|least| least >= limit)
        })
        .fold(0, |sum, (_, count)| sum.saturating_add(*count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Span;

    fn counters(calls: u64, errors: u64, latency: &[u64]) -> Counters {
        Counters {
            calls,
            errors,
            latency: latency.to_vec(),
        }
    }

    fn gate(error_rate: Option<f64>, p99_us: Option<u64>) -> HealthGate {
        HealthGate {
            error_rate,
            latency_p99: p99_us.map(|us| Span(Duration::from_micros(us))),
            min_calls: 10,
        }
    }

    #[test]
    fn few_calls_say_nothing() {
        let gate = gate(Some(0.0), None);
        assert_eq!(judge(&gate, &counters(9, 9, &[])), Verdict::Unknown);
        assert!(matches!(
            judge(&gate, &counters(10, 1, &[])),
            Verdict::Broken(_)
        ));
        assert_eq!(judge(&gate, &counters(10, 0, &[])), Verdict::Kept);
    }

    #[test]
    fn a_rate_up_to_the_limit_is_kept() {
        let gate = gate(Some(0.05), None);
        assert_eq!(judge(&gate, &counters(100, 5, &[])), Verdict::Kept);
        assert!(matches!(
            judge(&gate, &counters(100, 6, &[])),
            Verdict::Broken(_)
        ));
    }

    #[test]
    fn slow_calls_break_it_beyond_one_of_a_hundred() {
        // Index 4 holds calls of 8 to 16 microseconds: surely not faster than 8, perhaps faster than 9.
        let calls = counters(100, 0, &[98, 0, 0, 0, 2]);
        assert!(matches!(
            judge(&gate(None, Some(8)), &calls),
            Verdict::Broken(_)
        ));
        assert_eq!(judge(&gate(None, Some(9)), &calls), Verdict::Kept);
        let calls = counters(100, 0, &[99, 0, 0, 0, 1]);
        assert_eq!(judge(&gate(None, Some(8)), &calls), Verdict::Kept);
    }

    #[test]
    fn counters_that_went_back_began_anew() {
        let before = counters(50, 5, &[50]);
        assert_eq!(
            counters(60, 5, &[55, 5]).since(&before),
            counters(10, 0, &[5, 5])
        );
        assert_eq!(counters(7, 1, &[7]).since(&before), counters(7, 1, &[7]));
    }
}

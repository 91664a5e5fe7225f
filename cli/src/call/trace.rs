//! The way that a call went, and who answered it.

use std::{fmt, time::Duration};

use serde::Serialize;
use trellis_rpc::trail::{Trail, Try, TryEnd};

/// What `--trace` shows.
#[derive(Debug, Serialize)]
pub struct Trace {
    /// The other PoPs, from near to far, where the call comes from one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pops: Vec<String>,
    /// Whom the call was tried with.
    tries: Vec<Step>,
    /// How long it took in all, in milliseconds.
    ms: f64,
}

/// One try.
#[derive(Debug, Serialize)]
struct Step {
    /// Whom it was for, such as `pop fra`; over NATS, to which calls of this command always go.
    to: String,
    /// `answered`, `nobody there`, …
    outcome: &'static str,
    /// The host that answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    /// The PoP it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pop: Option<String>,
    /// How long it took, in milliseconds.
    ms: f64,
}

impl Trace {
    /// Of a call that is over.
    pub fn new(trail: &Trail, pops: Vec<String>, took: Duration) -> Self {
        Self {
            pops,
            tries: trail.tries().into_iter().map(Step::of).collect(),
            ms: ms(took),
        }
    }
}

impl Step {
    fn of(one: Try) -> Self {
        let (outcome, who) = match one.end {
            TryEnd::Answered(who) => ("answered", Some(who)),
            TryEnd::Nobody => ("nobody there", None),
            TryEnd::Outside => ("refused: outside the residency bound", None),
            TryEnd::Unanswered => ("no answer", None),
        };
        Self {
            to: one
                .tier
                .map_or_else(|| one.way.to_string(), |tier| tier.to_string()),
            outcome,
            host: who
                .as_ref()
                .and_then(|who| Some(who.host.as_ref()?.to_string())),
            pop: who.and_then(|who| Some(who.pop?.to_string())),
            ms: ms(one.took),
        }
    }
}

/// Milliseconds with three digits.
fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the call took {:.1} ms", self.ms)?;
        if !self.pops.is_empty() {
            writeln!(f, "  PoPs from near to far: {}", self.pops.join(", "))?;
        }
        for (index, step) in self.tries.iter().enumerate() {
            write!(f, "  {}. {}: {}", index + 1, step.to, step.outcome)?;
            match (&step.host, &step.pop) {
                (Some(host), Some(pop)) => write!(f, " by host {host} in {pop}")?,
                (Some(host), None) => write!(f, " by host {host}")?,
                (None, Some(pop)) => write!(f, " from {pop}")?,
                (None, None) => {}
            }
            writeln!(f, " ({:.1} ms)", step.ms)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use trellis_lattice::subject::Tier;
    use trellis_rpc::{RouteKind, trail::Who};

    use super::*;

    #[test]
    fn every_try_is_a_line() {
        let trail = Trail::default();
        let step = |pop: &str, end, took| Try {
            way: RouteKind::Nats,
            tier: Some(Tier::Pop(pop.parse().unwrap())),
            end,
            took: Duration::from_micros(took),
        };
        trail.push(step("fra", TryEnd::Nobody, 210));
        let who = Who {
            host: Some("NHOST".into()),
            pop: Some("iad".parse().unwrap()),
        };
        trail.push(step("iad", TryEnd::Answered(who), 81_040));
        let trace = Trace::new(
            &trail,
            vec!["iad".into(), "sin".into()],
            Duration::from_micros(81_500),
        );
        assert_eq!(
            trace.to_string(),
            "the call took 81.5 ms\n  PoPs from near to far: iad, sin\n  1. pop fra: nobody there (0.2 ms)\n  \
             2. pop iad: answered by host NHOST in iad (81.0 ms)\n"
        );
        let json = serde_json::to_value(&trace).unwrap();
        assert_eq!(
            json["tries"][1],
            serde_json::json!({
                "to": "pop iad", "outcome": "answered", "host": "NHOST", "pop": "iad", "ms": 81.04,
            })
        );
    }
}

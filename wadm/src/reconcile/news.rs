//! What a core is told.

use std::{collections::BTreeMap, time::Instant};

use trellis_lattice::{
    HostId, Link,
    client::ControlError,
    config::Config,
    control::host::{Host, HostInventory},
    event::Event,
};

use super::Id;
use crate::{
    rollout::{Moment, Rollout},
    store::{Catalog, NotedHost, Owned},
};

/// What a host answers when its manager was followed by another.
const FENCED: &str = "fenced";

/// Something new.
#[derive(Debug)]
pub enum News {
    /// Listening began (anew), and then this was read: nothing that happens from here on is missed. What happened
    /// before may have been.
    Begun {
        /// The manifests.
        catalog: Catalog,
        /// What is noted.
        owned: BTreeMap<String, Owned>,
        /// How far rollouts are, as noted.
        rollouts: BTreeMap<String, Rollout>,
        /// The hosts of PoPs as they are noted.
        hosts: BTreeMap<HostId, NotedHost>,
        /// What time it is for everybody.
        at: Moment,
        /// No host is given up before then that is not heard of: the connection came back a moment ago.
        patient_until: Instant,
    },
    /// The connection to NATS is lost: silence means nothing now.
    Disconnected,
    /// The manifests changed.
    Catalog(Catalog),
    /// A host tells of something.
    Event(HostId, Box<Event>),
    /// A host says that it is alive.
    Beat(HostId),
    /// The answer to a question.
    Answer(Id, Answer),
    /// What came of a command: accepted or not.
    Done(Id, Result<(), Failure>),
    /// Whether something was noted.
    Noted(Id, Result<(), Failure>),
}

/// An answer to a [`super::Question`], or why there is none.
#[derive(Debug)]
pub enum Answer {
    /// Who is there.
    Hosts(Result<Vec<Host>, Failure>),
    /// What a host runs; also a probe's answer.
    Inventory(Result<Box<HostInventory>, Failure>),
    /// All links.
    Links(Result<Vec<Link>, Failure>),
    /// A configuration, if there is one of that name.
    Config(Result<Option<Config>, Failure>),
}

/// Why something did not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// For people.
    pub message: String,
}

/// Kinds of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// Nobody listens there.
    NoResponder,
    /// No answer in time. It may have been done.
    TimedOut,
    /// Answered with a no.
    Refused,
    /// Another manager leads, with this number at least.
    Fenced(u64),
    /// Anything else.
    Other,
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Self {
        let kind = match &error {
            ControlError::NoResponder { .. } => FailureKind::NoResponder,
            ControlError::TimedOut { .. } => FailureKind::TimedOut,
            ControlError::Refused { message, .. } if message.contains(FENCED) => {
                FailureKind::Fenced(leadership(message))
            }
            // An answer that can't be read is an answer.
            ControlError::Refused { .. } | ControlError::Decode { .. } => FailureKind::Refused,
            ControlError::Nats { .. } => FailureKind::Other,
        };
        Self {
            kind,
            message: error.to_string(),
        }
    }
}

/// The greatest leadership that a host has seen, by the text of its refusal.
fn leadership(message: &str) -> u64 {
    let number = message.split_once("leadership ").map(|(_, rest)| rest);
    number
        .and_then(|rest| rest.split(|letter: char| !letter.is_ascii_digit()).next())
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_s_refusal_tells_who_leads() {
        let refused = ControlError::Refused {
            request: "scale component (H)".into(),
            message: "fenced: another application manager leads now (leadership 42; the request is of 41), and only it commands".into(),
        };
        assert_eq!(Failure::from(refused).kind, FailureKind::Fenced(42));
    }
}

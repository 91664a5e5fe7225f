//! Where one call went, and who answered it: for people, and for who wants to say so.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use trellis_lattice::{PopName, subject::Tier};

use crate::call::RouteKind;

/// More tries than a call makes; what comes after them is not kept.
const MAX_TRIES: usize = 64;

/// The steps of one call, filled in by its route. Whoever puts one into a call's context asks the callee who it is, which
/// takes a header each way; calls without one don't.
#[derive(Debug, Default)]
pub struct Trail {
    tries: Mutex<Vec<Try>>,
}

/// One way that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Try {
    /// Which way.
    pub way: RouteKind,
    /// Over NATS: whom it was for.
    pub tier: Option<Tier>,
    /// What came of it.
    pub end: TryEnd,
    /// How long that took.
    pub took: Duration,
}

/// What came of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TryEnd {
    /// Somebody took the call and answered, be it with an error.
    Answered(Who),
    /// Nobody is there; the call was not delivered.
    Nobody,
    /// Whoever is there is outside the call's residency bound, and refused it.
    Outside,
    /// No answer came: the deadline passed, or the way broke.
    Unanswered,
}

/// Who answered, as far as it says so: a 1.x peer does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// The host that the callee belongs to.
    pub host: Option<Arc<str>>,
    /// The PoP that it is in.
    pub pop: Option<PopName>,
}

impl Trail {
    /// A trail to put into a call's context, and to look at afterwards.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The tries so far, in their order.
    pub fn tries(&self) -> Vec<Try> {
        self.lock().clone()
    }

    /// The way that the answer came, and who gave it.
    pub fn answered(&self) -> Option<(RouteKind, Who)> {
        self.lock().iter().rev().find_map(|one| match &one.end {
            TryEnd::Answered(who) => Some((one.way, who.clone())),
            _ => None,
        })
    }

    /// Adds a try.
    pub fn push(&self, one: Try) {
        let mut tries = self.lock();
        if tries.len() < MAX_TRIES {
            tries.push(one);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Try>> {
        // Nothing panics while holding it.
        self.tries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Try {
    /// `NATS, pop fra: answered by host N… in fra`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.way)?;
        if let Some(tier) = &self.tier {
            write!(f, ", {tier}")?;
        }
        write!(f, ": {}", self.end)
    }
}

impl fmt::Display for TryEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(who) => write!(f, "answered by {who}"),
            Self::Nobody => f.write_str("nobody there"),
            Self::Outside => f.write_str("refused: outside the link's residency bound"),
            Self::Unanswered => f.write_str("no answer"),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.host, &self.pop) {
            (Some(host), Some(pop)) => write!(f, "host {host} in {pop}"),
            (Some(host), None) => write!(f, "host {host}"),
            (None, Some(pop)) => write!(f, "a host in {pop}"),
            (None, None) => f.write_str("a callee that does not say who it is"),
        }
    }
}

//! How many calls somebody made, by the way they went and by where they were served.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use trellis_lattice::control::host::CallsMade;

/// Counters of one caller's calls that were taken by a callee. Calls take no lock.
#[derive(Debug, Default)]
pub struct CallCounts {
    in_process: AtomicU64,
    socket: AtomicU64,
    own_pop: AtomicU64,
    other_pop: AtomicU64,
    unknown_pop: AtomicU64,
}

/// Where a call over NATS was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServedIn {
    /// In the caller's PoP.
    OwnPop,
    /// In another.
    OtherPop,
    /// Caller or callee is in none, or does not say.
    Unknown,
}

impl CallCounts {
    /// Counts a call within the process.
    pub fn in_process(&self) {
        self.in_process.fetch_add(1, Relaxed);
    }

    /// Counts a call over a socket.
    pub fn socket(&self) {
        self.socket.fetch_add(1, Relaxed);
    }

    /// Counts a call over NATS.
    pub fn nats(&self, served: ServedIn) {
        let count = match served {
            ServedIn::OwnPop => &self.own_pop,
            ServedIn::OtherPop => &self.other_pop,
            ServedIn::Unknown => &self.unknown_pop,
        };
        count.fetch_add(1, Relaxed);
    }

    /// What is told of them.
    pub fn tell(&self) -> CallsMade {
        CallsMade {
            in_process: self.in_process.load(Relaxed),
            socket: self.socket.load(Relaxed),
            own_pop: self.own_pop.load(Relaxed),
            other_pop: self.other_pop.load(Relaxed),
            unknown_pop: self.unknown_pop.load(Relaxed),
        }
    }
}

//! Which of several application managers acts: the one that holds the lease. The others wait.
//!
//! The lease is an entry that its holder writes again and again, each time on the revision it wrote before. Who waits
//! watches the revision: when it stood still for the whole term by the waiter's own clock, the waiter takes over. No
//! two clocks are compared. The holder stops acting well before others may take over. A lease that vanished with its
//! bucket is still the holder's for a whole term.
//!
//! A holder that was stopped in the middle of a command, and goes on when another leads, is held off by the hosts: each
//! leadership has a number, the fence, greater than those before, and hosts refuse what comes with a lower one.
//!
//! What is decided here is pure; [`Keeper`] does it.

mod keeper;

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

pub(crate) use keeper::{Keeper, leader};

/// The lease as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Who holds it; empty when it was given back.
    pub holder: String,
    /// The number of its leadership.
    #[serde(default)]
    pub fence: u64,
}

/// One that waits for the lease.
#[derive(Clone, Debug)]
pub struct Candidate {
    me: String,
    term: Duration,
    /// The revision that the entry had, and since when.
    seen: Option<(u64, Instant)>,
    /// Its next leadership's number is greater.
    floor: u64,
}

impl Candidate {
    /// A candidate; `me` is unique.
    pub fn new(me: String, term: Duration) -> Self {
        Self {
            me,
            term,
            seen: None,
            floor: 0,
        }
    }

    /// How long a holder that has not renewed the lease may act: counted from before the last write.
    pub fn may_act(term: Duration) -> Duration {
        term * 2 / 3
    }

    /// How often the holder renews it.
    pub fn renew_every(term: Duration) -> Duration {
        term / 4
    }

    /// How often who waits looks at it.
    pub fn look_every(term: Duration) -> Duration {
        term / 9
    }

    /// Hosts have seen that number; the next leadership has a greater one.
    pub fn outbid(&mut self, fence: u64) {
        self.floor = self.floor.max(fence);
    }

    /// The entry was read: what to write on that revision, if the lease may be taken. `revision` is 0 when there was
    /// never one, `clock_ms` the time since 1970.
    pub fn saw(
        &mut self,
        entry: Option<&Entry>,
        revision: u64,
        now: Instant,
        clock_ms: u64,
    ) -> Option<Entry> {
        let stood_still = match self.seen {
            Some((known, since)) if known == revision => now.duration_since(since) >= self.term,
            _ => false,
        };
        let vanished = entry.is_none() && revision == 0 && self.seen.is_some();
        let is_held =
            entry.is_some_and(|entry| !entry.holder.is_empty() && entry.holder != self.me);
        // One that vanished was not given back, which leaves a mark: the bucket was lost. The holder is there still, and
        // only it knows what was in it.
        if (is_held || vanished) && !stood_still {
            if self.seen.is_none_or(|(known, _)| known != revision) {
                self.seen = Some((revision, now));
            }
            return None;
        }
        if is_held {
            tracing::warn!(
                holder = entry.map(|entry| &entry.holder),
                "the leading application manager is gone"
            );
        }
        let before = entry.map_or(0, |entry| entry.fence).max(self.floor);
        Some(Entry {
            holder: self.me.clone(),
            fence: before.saturating_add(1).max(clock_ms),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERM: Duration = Duration::from_secs(2);

    fn entry(holder: &str, fence: u64) -> Entry {
        Entry {
            holder: holder.into(),
            fence,
        }
    }

    #[test]
    fn one_that_is_renewed_is_not_taken() {
        let (mut candidate, start) = (Candidate::new("b".into(), TERM), Instant::now());
        for revision in 1..20 {
            let now = start + TERM * u32::try_from(revision).unwrap() * 9 / 10;
            assert_eq!(candidate.saw(Some(&entry("a", 5)), revision, now, 0), None);
        }
    }

    #[test]
    fn one_that_stands_still_for_the_term_is_taken_with_a_greater_number() {
        let (mut candidate, start) = (Candidate::new("b".into(), TERM), Instant::now());
        assert_eq!(candidate.saw(Some(&entry("a", 5)), 7, start, 0), None);
        let end = start + TERM;
        assert_eq!(
            candidate.saw(Some(&entry("a", 5)), 7, end, 3),
            Some(entry("b", 6))
        );
        assert_eq!(
            candidate.saw(Some(&entry("a", 5)), 7, end, 9),
            Some(entry("b", 9))
        );
        candidate.outbid(20);
        assert_eq!(
            candidate.saw(Some(&entry("a", 5)), 7, end, 9),
            Some(entry("b", 21))
        );
    }

    #[test]
    fn one_that_was_given_back_or_never_was_is_taken_at_once() {
        let now = Instant::now();
        for (there, revision) in [(None, 0), (None, 4), (Some(entry("", 5)), 4)] {
            let mut candidate = Candidate::new("b".into(), TERM);
            let taken = candidate.saw(there.as_ref(), revision, now, 0);
            assert_eq!(taken.unwrap().holder, "b");
        }
    }

    #[test]
    fn one_that_vanished_is_the_holder_s_for_a_term() {
        let (mut candidate, start) = (Candidate::new("b".into(), TERM), Instant::now());
        assert_eq!(candidate.saw(Some(&entry("a", 5)), 7, start, 0), None);
        let lost = start + TERM;
        assert_eq!(candidate.saw(None, 0, lost, 0), None);
        assert_eq!(candidate.saw(None, 0, lost + TERM / 2, 0), None);
        assert!(candidate.saw(None, 0, lost + TERM, 0).is_some());
    }
}

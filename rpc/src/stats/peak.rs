//! The most calls at once, lately. Whoever asks takes nothing away from who asks next: an inventory that a person looks
//! at must not hide a peak from the application manager.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// How long a peak is told. Managers ask each second; one that is a little late still hears of it.
pub(super) const WINDOW: Duration = Duration::from_secs(3);

/// Peaks that were seen within so long are one: this bounds how many are remembered, however often somebody asks.
const GRAIN: Duration = Duration::from_millis(200);

/// The most of a number, lately.
#[derive(Debug, Default)]
pub(super) struct Peak {
    /// The most since somebody asked. The only part that calls touch.
    since_asked: AtomicU32,
    /// What was seen when somebody asked, the oldest first.
    seen: Mutex<VecDeque<(Instant, u32)>>,
}

impl Peak {
    /// The number is that now.
    pub(super) fn see(&self, number: u32) {
        self.since_asked.fetch_max(number, Relaxed);
    }

    /// The most within the last [`WINDOW`], or since somebody asked where that is longer ago. `present` is the number
    /// as it is.
    pub(super) fn tell(&self, present: u32, now: Instant) -> u32 {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // In the lock: else one who asks at the same time might find it in neither place.
        let most = self.since_asked.swap(present, Relaxed).max(present);
        let is_over = |then: Instant| now.saturating_duration_since(then) > WINDOW;
        while seen.front().is_some_and(|(then, _)| is_over(*then)) {
            seen.pop_front();
        }
        match seen.back_mut() {
            Some((then, last)) if now.saturating_duration_since(*then) < GRAIN => {
                *last = most.max(*last);
            }
            _ => seen.push_back((now, most)),
        }
        seen.iter().map(|(_, most)| *most).max().unwrap_or(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_who_asks_hears_of_a_peak_until_it_is_long_ago() {
        let peak = Peak::default();
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(peak.tell(0, at(0)), 0);
        peak.see(7);
        peak.see(3);
        assert_eq!(peak.tell(1, at(1_000)), 7);
        assert_eq!(peak.tell(1, at(1_001)), 7, "another one asks");
        assert_eq!(peak.tell(1, at(4_000)), 7);
        assert_eq!(peak.tell(0, at(4_001)), 1);
        assert_eq!(peak.tell(0, at(8_000)), 0);
        // Long before somebody asks, and still told once more after.
        peak.see(5);
        assert_eq!(peak.tell(0, at(60_000)), 5);
        assert_eq!(peak.tell(0, at(62_000)), 5);
    }

    #[test]
    fn however_often_somebody_asks_little_is_remembered() {
        let peak = Peak::default();
        let start = Instant::now();
        for ms in 0..20_000 {
            peak.see(u32::try_from(ms % 11).unwrap());
            peak.tell(0, start + Duration::from_millis(ms));
        }
        let most = WINDOW.as_millis() / GRAIN.as_millis() + 2;
        assert!(peak.seen.lock().unwrap().len() <= usize::try_from(most).unwrap());
    }
}

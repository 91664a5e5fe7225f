//! Which hosts are alive. Those that beat are asked once they are silent, and are gone when they don't answer; those that
//! don't (1.x's) are gone when they have not answered pings for a while.
//!
//! Who is gone while others of its PoP give signs of life is lost. Where a whole PoP is gone it is cut off, and not
//! necessarily lost: so before any of its hosts is lost it has to be clear that another one lives.

mod release;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use trellis_lattice::HostId;

use super::super::Settings;
pub(super) use release::Cut;

/// The hosts' signs of life.
#[derive(Debug)]
pub(super) struct Liveness {
    silence: Duration,
    host_grace: Duration,
    probe: Duration,
    pop_silence: Duration,
    pulses: BTreeMap<HostId, Pulse>,
    /// Those that did not answer when asked; lost together with those that are still being asked, and only where it is
    /// clear what became of their PoP.
    gone: BTreeMap<HostId, Gone>,
    /// Nobody can be silent for too long before then.
    check_at: Option<Instant>,
}

#[derive(Debug)]
struct Pulse {
    /// Whether it ever beat: then it is expected to.
    beats: bool,
    /// Its last sign of life.
    heard: Instant,
    /// Since when it does not answer.
    silent_since: Option<Instant>,
    /// It is not given up before then.
    patient_until: Instant,
    /// Since when it is being asked.
    probed: Option<Instant>,
    /// When the last probe was asked that it answered.
    answered: Option<Instant>,
    /// How long its answers take, at most, lately.
    round_trip: Duration,
}

/// A host that did not answer.
#[derive(Clone, Copy, Debug, Default)]
struct Gone {
    /// When the last probe was asked that it did not answer; none where it was not asked.
    asked: Option<Instant>,
}

/// How much longer than its answers take a host is waited for, and the longest answer that this is made of.
const PATIENCE: u32 = 3;
const MAX_ROUND_TRIP: Duration = Duration::from_secs(1);

/// What looking at the hosts brought.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Checked {
    /// To be asked whether they are there.
    pub(super) probe: Vec<HostId>,
    /// Given up.
    pub(super) lost: Vec<HostId>,
    /// PoPs that are gone with all of their hosts.
    pub(super) cut: Vec<Cut>,
}

impl Liveness {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            silence: settings.silence,
            host_grace: settings.host_grace,
            probe: settings.probe,
            pop_silence: settings.pop_silence,
            pulses: BTreeMap::new(),
            gone: BTreeMap::new(),
            check_at: None,
        }
    }

    /// A host gave a sign of life; gives how long it had given none.
    pub(super) fn heard(&mut self, host: &HostId, now: Instant, is_beat: bool) -> Duration {
        let mut silence = Duration::ZERO;
        if let Some(pulse) = self.pulses.get_mut(host) {
            silence = now.saturating_duration_since(pulse.heard);
            pulse.heard = now.max(pulse.heard);
            pulse.silent_since = None;
            // Its next silence counts, whatever patience there was.
            let is_news = pulse.patient_until > now || (is_beat && !pulse.beats);
            pulse.patient_until = now;
            pulse.beats |= is_beat;
            if is_news {
                self.check_by(now + self.silence);
            }
        } else {
            let pulse = Pulse {
                beats: is_beat,
                heard: now,
                silent_since: None,
                patient_until: now,
                probed: None,
                answered: None,
                round_trip: Duration::ZERO,
            };
            self.pulses.insert(host.clone(), pulse);
            if is_beat {
                self.check_by(now + self.silence);
            }
        }
        if self.gone.remove(host).is_some() {
            self.check_by(now + self.silence);
        }
        if !self.gone.is_empty() {
            // It may tell what became of its PoP; but not each beat of a thousand hosts.
            self.check_by(now + self.probe / 8);
        }
        silence
    }

    /// A host answered after so long.
    pub(super) fn took(&mut self, host: &HostId, round_trip: Duration) {
        if let Some(pulse) = self.pulses.get_mut(host) {
            let before = pulse.round_trip * 7 / 8;
            pulse.round_trip = round_trip.min(MAX_ROUND_TRIP).max(before);
        }
    }

    /// How long a host may take to answer a probe.
    pub(super) fn patience(&self, host: &HostId) -> Duration {
        let round_trip = self.pulses.get(host).map(|pulse| pulse.round_trip);
        self.probe.max(round_trip.unwrap_or_default() * PATIENCE)
    }

    /// A host that is known did not answer.
    pub(super) fn silent(&mut self, host: &HostId, now: Instant) {
        let Some(pulse) = self.pulses.get_mut(host) else {
            return;
        };
        let since = *pulse.silent_since.get_or_insert(now);
        if !pulse.beats {
            let at = (since + self.host_grace).max(pulse.patient_until);
            self.check_by(at);
        }
    }

    /// A host left.
    pub(super) fn forget(&mut self, host: &HostId) {
        self.pulses.remove(host);
        self.gone.remove(host);
    }

    /// Whoever is not heard of from now on is not given up before then.
    pub(super) fn be_patient(&mut self, until: Instant) {
        for pulse in self.pulses.values_mut() {
            pulse.patient_until = until;
        }
        self.gone.clear();
        self.check_at = (!self.pulses.is_empty()).then_some(until);
    }

    /// A probe ended without a sign of life (one with calls [`Self::heard`]): whether that means that the host is gone.
    pub(super) fn probed(&mut self, host: &HostId, is_gone: bool, now: Instant) {
        let Some(pulse) = self.pulses.get_mut(host) else {
            return;
        };
        let Some(probed) = pulse.probed.take() else {
            return;
        };
        if !is_gone {
            // Nobody knows: again after a while.
            pulse.patient_until = pulse.patient_until.max(now + self.silence / 2);
        } else if now >= pulse.patient_until
            && pulse.heard < probed
            // Who was only asked to compare is not gone for that.
            && now.duration_since(pulse.heard) >= self.silence * 3 / 5
        {
            let asked = Some(probed);
            self.gone.insert(host.clone(), Gone { asked });
        }
        self.check_by(now);
    }

    /// A probe was answered that was asked then.
    pub(super) fn answered(&mut self, host: &HostId, asked: Instant, now: Instant) {
        if let Some(pulse) = self.pulses.get_mut(host) {
            pulse.answered = Some(asked);
            pulse.probed = None;
            self.check_by(now + self.silence);
        }
    }

    /// Looks who is silent for too long. `pop_of` tells a host's PoP, where it is known to have one.
    pub(super) fn check<'p>(
        &mut self,
        now: Instant,
        pop_of: impl Fn(&HostId) -> Option<&'p str>,
    ) -> Checked {
        let mut checked = Checked::default();
        if self.check_at.is_none_or(|at| now < at) {
            return checked;
        }
        let is_too_silent = |pulse: &Pulse, silence: Duration| {
            pulse.beats
                && pulse.probed.is_none()
                && now >= pulse.patient_until
                && now.duration_since(pulse.heard) >= silence
        };
        let probe = self.pulses.iter().any(|(host, pulse)| {
            !self.gone.contains_key(host) && is_too_silent(pulse, self.silence)
        });
        let mut asked = BTreeSet::new();
        for (host, pulse) in &mut self.pulses {
            // Where one falls silent others may have fallen with it: they are asked together, and lost together.
            if probe && !self.gone.contains_key(host) && is_too_silent(pulse, self.silence * 3 / 5)
            {
                pulse.probed = Some(now);
                checked.probe.push(host.clone());
                asked.extend(pop_of(host));
            }
            let is_gone = !pulse.beats
                && now >= pulse.patient_until
                && pulse
                    .silent_since
                    .is_some_and(|since| now.duration_since(since) >= self.host_grace);
            if is_gone {
                self.gone.entry(host.clone()).or_default();
            }
        }
        for pop in asked {
            self.compare(pop, now, &pop_of, &mut checked);
        }
        let again = self.release(now, &pop_of, &mut checked);
        self.check_at = self
            .pulses
            .iter()
            .filter(|(host, pulse)| pulse.probed.is_none() && !self.gone.contains_key(*host))
            .filter_map(|(_, pulse)| {
                let at = match (pulse.beats, pulse.silent_since) {
                    (true, _) => pulse.heard + self.silence,
                    (false, Some(since)) => since + self.host_grace,
                    (false, None) => return None,
                };
                Some(at.max(pulse.patient_until))
            })
            .chain(again)
            .min();
        checked
    }

    /// Whether it is known, or expected.
    pub(super) fn knows(&self, host: &HostId) -> bool {
        self.pulses.contains_key(host)
    }

    /// Those that are known, or expected.
    pub(super) fn hosts(&self) -> impl Iterator<Item = &HostId> {
        self.pulses.keys()
    }

    /// Those that beat, and when they were last heard of.
    pub(super) fn heard_of(&self) -> impl Iterator<Item = (&HostId, Instant)> {
        self.pulses
            .iter()
            .filter(|(_, pulse)| pulse.beats)
            .map(|(host, pulse)| (host, pulse.heard))
    }

    /// Whether there are hosts that don't beat.
    pub(super) fn has_silent_kind(&self) -> bool {
        self.pulses.values().any(|pulse| !pulse.beats)
    }

    /// When to look again.
    pub(super) fn next(&self) -> Option<Instant> {
        self.check_at
    }

    fn check_by(&mut self, at: Instant) {
        self.check_at = Some(self.check_at.map_or(at, |known| known.min(at)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEAT: Duration = Duration::from_millis(400);

    fn host(name: &str) -> HostId {
        name.parse().unwrap()
    }

    fn nowhere(_: &HostId) -> Option<&'static str> {
        None
    }

    /// The first letter of a host's name is its PoP.
    fn pop(host: &HostId) -> Option<&'static str> {
        ["A", "B"]
            .into_iter()
            .find(|pop| host.as_str().starts_with(pop))
    }

    /// Beats of these hosts for a while; gives the time of the last.
    fn beating(liveness: &mut Liveness, hosts: &[&str], start: Instant) -> Instant {
        let mut now = start;
        for _ in 0..10 {
            now += BEAT;
            for name in hosts {
                liveness.heard(&host(name), now, true);
                assert_eq!(liveness.check(now, nowhere), Checked::default());
            }
        }
        now
    }

    #[test]
    fn who_falls_silent_is_asked_and_then_lost() {
        let start = Instant::now();
        let mut liveness = Liveness::new(&Settings::default());
        let last = beating(&mut liveness, &["A", "B"], start);
        let now = last + Duration::from_secs(1);
        liveness.heard(&host("A"), now, true);
        assert!(liveness.next().is_some_and(|at| at <= now));
        let checked = liveness.check(now, nowhere);
        assert_eq!((checked.probe, checked.lost), (vec![host("B")], vec![]));
        liveness.probed(&host("B"), true, now + BEAT);
        assert_eq!(liveness.check(now + BEAT, nowhere).lost, [host("B")]);
        assert_eq!(liveness.check(now + BEAT, nowhere), Checked::default());
    }

    #[test]
    fn a_probe_that_is_answered_saves() {
        let start = Instant::now();
        let mut liveness = Liveness::new(&Settings::default());
        let now = beating(&mut liveness, &["A"], start) + Duration::from_secs(1);
        assert_eq!(liveness.check(now, nowhere).probe, [host("A")]);
        liveness.heard(&host("A"), now + BEAT, false);
        liveness.answered(&host("A"), now, now + BEAT);
        assert_eq!(liveness.check(now + BEAT, nowhere), Checked::default());
        // A beat that comes while the probe fails does too.
        let now = now + BEAT + Duration::from_secs(1);
        assert_eq!(liveness.check(now, nowhere).probe, [host("A")]);
        liveness.heard(&host("A"), now, true);
        liveness.probed(&host("A"), true, now);
        assert_eq!(liveness.check(now, nowhere), Checked::default());
    }

    #[test]
    fn those_that_fall_silent_together_are_lost_together() {
        let start = Instant::now();
        let mut liveness = Liveness::new(&Settings::default());
        let last = beating(&mut liveness, &["A", "B", "C"], start);
        // B's last beat is a little later.
        liveness.heard(&host("B"), last + BEAT * 9 / 10, true);
        let now = last + Duration::from_secs(1);
        assert_eq!(liveness.check(now, nowhere).probe.len(), 3);
        for name in ["A", "C"] {
            liveness.probed(&host(name), true, now);
            assert_eq!(liveness.check(now, nowhere).lost, []);
        }
        liveness.probed(&host("B"), true, now);
        assert_eq!(liveness.check(now, nowhere).lost.len(), 3);
    }

    #[test]
    fn after_a_reconnect_there_is_patience_until_a_host_is_heard_of() {
        let start = Instant::now();
        let mut liveness = Liveness::new(&Settings::default());
        let last = beating(&mut liveness, &["A", "B"], start);
        let patience = last + Duration::from_secs(8);
        liveness.be_patient(patience);
        let back = last + Duration::from_secs(3);
        assert_eq!(liveness.check(back, nowhere), Checked::default());
        liveness.heard(&host("A"), back, true);
        let now = back + Duration::from_secs(1);
        assert_eq!(liveness.check(now, nowhere).probe, [host("A")]);
        assert_eq!(liveness.check(patience, nowhere).probe, [host("B")]);
    }

    #[test]
    fn who_does_not_beat_has_its_grace() {
        let now = Instant::now();
        let mut liveness = Liveness::new(&Settings::default());
        liveness.heard(&host("A"), now, false);
        assert!(liveness.has_silent_kind());
        assert_eq!(liveness.next(), None);
        liveness.silent(&host("A"), now);
        let at = liveness.next().unwrap();
        assert_eq!(at, now + Duration::from_secs(3));
        assert_eq!(liveness.check(at, nowhere).lost, [host("A")]);
    }

    /// Asks those that are silent, and none of them answers.
    fn silent(liveness: &mut Liveness, now: Instant) -> Checked {
        let checked = liveness.check(now, pop);
        for host in &checked.probe {
            liveness.probed(host, true, now);
        }
        checked
    }

    #[test]
    fn a_pop_that_falls_silent_as_a_whole_is_cut_and_no_host_of_it_lost() {
        let start = Instant::now();
        let mut liveness = Liveness::new(&Settings::default());
        let last = beating(&mut liveness, &["A1", "A2", "B1"], start);
        // A1's last beat; A2's is one later, and so is all of B.
        let cut = last + BEAT;
        for name in ["A2", "B1"] {
            liveness.heard(&host(name), cut, true);
        }
        let mut now = cut;
        let cut_at = loop {
            now += Duration::from_millis(50);
            liveness.heard(&host("B1"), now, true);
            let checked = silent(&mut liveness, now);
            assert_eq!(checked.lost, []);
            if let Some(cut) = checked.cut.into_iter().next() {
                break cut;
            }
            assert!(now < cut + Duration::from_secs(3));
        };
        assert_eq!(
            cut_at,
            Cut {
                pop: "A".into(),
                hosts: vec![host("A1"), host("A2")],
                heard: cut,
                beats: true,
            }
        );
        // Not before a manager that lost its own connection stopped to act.
        assert!(now >= cut + Settings::default().pop_silence);
        assert!(!liveness.knows(&host("A1")) && liveness.knows(&host("B1")));
    }

    #[test]
    fn who_is_gone_while_another_of_its_pop_lives_is_lost() {
        let start = Instant::now();
        let mut liveness = Liveness::new(&Settings::default());
        let last = beating(&mut liveness, &["A1", "A2"], start);
        let now = last + Duration::from_secs(1);
        liveness.heard(&host("A2"), now, true);
        // Both are asked at once, and one answers.
        assert_eq!(liveness.check(now, pop).probe, [host("A1"), host("A2")]);
        let later = now + BEAT;
        liveness.heard(&host("A2"), later, false);
        liveness.answered(&host("A2"), now, later);
        liveness.probed(&host("A1"), true, later);
        let checked = liveness.check(later, pop);
        assert_eq!((checked.lost, checked.cut), (vec![host("A1")], vec![]));
    }

    #[test]
    fn nobody_is_lost_while_its_pop_may_be_cut() {
        let start = Instant::now();
        let mut liveness = Liveness::new(&Settings::default());
        let last = beating(&mut liveness, &["A1", "A2"], start);
        // A1 was not heard of for a beat more than A2: so it is asked first.
        liveness.heard(&host("A2"), last + BEAT, true);
        let now = last + Duration::from_secs(1);
        assert_eq!(liveness.check(now, pop).probe, [host("A1"), host("A2")]);
        liveness.probed(&host("A1"), true, now);
        liveness.probed(&host("A2"), false, now);
        // It is heard of, but that may have been before both fell silent: they are asked again, at once.
        let later = now + Duration::from_secs(1);
        liveness.heard(&host("A2"), later, true);
        let later = later + BEAT;
        let checked = liveness.check(later, pop);
        assert_eq!(
            (checked.probe, checked.lost),
            (vec![host("A1"), host("A2")], vec![])
        );
        // Nobody answers: the link is cut.
        let end = later + Duration::from_secs(2);
        liveness.probed(&host("A1"), true, end);
        liveness.probed(&host("A2"), true, end);
        let checked = liveness.check(end, pop);
        assert_eq!((checked.lost.len(), checked.cut.len()), (0, 1));
    }

    #[test]
    fn who_is_far_away_has_longer_to_answer() {
        let now = Instant::now();
        let mut liveness = Liveness::new(&Settings::default());
        liveness.heard(&host("A"), now, true);
        assert_eq!(liveness.patience(&host("A")), Settings::default().probe);
        liveness.took(&host("A"), Duration::from_millis(600));
        assert_eq!(liveness.patience(&host("A")), Duration::from_millis(1800));
        liveness.took(&host("A"), Duration::from_secs(60));
        assert_eq!(liveness.patience(&host("A")), Duration::from_secs(3));
        for _ in 0..50 {
            liveness.took(&host("A"), Duration::from_millis(1));
        }
        assert_eq!(liveness.patience(&host("A")), Settings::default().probe);
    }
}

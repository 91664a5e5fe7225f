//! Which hosts are alive. Those that beat are asked once they are silent, and are lost at once when they don't answer;
//! those that don't (1.x's) are lost when they have not answered pings for a while.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use trellis_lattice::HostId;

use super::super::Settings;

/// The hosts' signs of life.
#[derive(Debug)]
pub(super) struct Liveness {
    silence: Duration,
    host_grace: Duration,
    pulses: BTreeMap<HostId, Pulse>,
    /// Those that did not answer when asked; lost together with those that are still being asked.
    gone: BTreeSet<HostId>,
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
}

/// What looking at the hosts brought.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Checked {
    /// To be asked whether they are there.
    pub(super) probe: Vec<HostId>,
    /// Given up.
    pub(super) lost: Vec<HostId>,
}

impl Liveness {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            silence: settings.silence,
            host_grace: settings.host_grace,
            pulses: BTreeMap::new(),
            gone: BTreeSet::new(),
            check_at: None,
        }
    }

    /// A host gave a sign of life.
    pub(super) fn heard(&mut self, host: &HostId, now: Instant, is_beat: bool) {
        if let Some(pulse) = self.pulses.get_mut(host) {
            pulse.heard = now;
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
            };
            self.pulses.insert(host.clone(), pulse);
            if is_beat {
                self.check_by(now + self.silence);
            }
        }
        if self.gone.remove(host) {
            self.check_by(now + self.silence);
        }
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
        } else if now >= pulse.patient_until && pulse.heard < probed {
            self.gone.insert(host.clone());
        }
        self.check_by(now);
    }

    /// A probe was answered.
    pub(super) fn answered(&mut self, host: &HostId, now: Instant) {
        if let Some(pulse) = self.pulses.get_mut(host) {
            pulse.probed = None;
            self.check_by(now + self.silence);
        }
    }

    /// Looks who is silent for too long.
    pub(super) fn check(&mut self, now: Instant) -> Checked {
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
        let mut probe = self
            .pulses
            .iter()
            .any(|(host, pulse)| !self.gone.contains(host) && is_too_silent(pulse, self.silence));
        for (host, pulse) in &mut self.pulses {
            // Where one falls silent others may have fallen with it: they are asked together, and lost together.
            if probe && !self.gone.contains(host) && is_too_silent(pulse, self.silence * 3 / 5) {
                pulse.probed = Some(now);
                checked.probe.push(host.clone());
            }
            let is_lost = !pulse.beats
                && now >= pulse.patient_until
                && pulse
                    .silent_since
                    .is_some_and(|since| now.duration_since(since) >= self.host_grace);
            if is_lost {
                checked.lost.push(host.clone());
            }
        }
        probe = self.pulses.values().any(|pulse| pulse.probed.is_some());
        if !probe {
            checked.lost.extend(std::mem::take(&mut self.gone));
        }
        for host in &checked.lost {
            self.pulses.remove(host);
        }
        self.check_at = self
            .pulses
            .iter()
            .filter(|(host, pulse)| pulse.probed.is_none() && !self.gone.contains(*host))
            .filter_map(|(_, pulse)| {
                let at = match (pulse.beats, pulse.silent_since) {
                    (true, _) => pulse.heard + self.silence,
                    (false, Some(since)) => since + self.host_grace,
                    (false, None) => return None,
                };
                Some(at.max(pulse.patient_until))
            })
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

    /// Beats of these hosts for a while; gives the time of the last.
    fn beating(liveness: &mut Liveness, hosts: &[&str], start: Instant) -> Instant {
        let mut now = start;
        for _ in 0..10 {
            now += BEAT;
            for name in hosts {
                liveness.heard(&host(name), now, true);
                assert_eq!(liveness.check(now), Checked::default());
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
        let checked = liveness.check(now);
        assert_eq!((checked.probe, checked.lost), (vec![host("B")], vec![]));
        liveness.probed(&host("B"), true, now + BEAT);
        assert_eq!(liveness.check(now + BEAT).lost, [host("B")]);
        assert_eq!(liveness.check(now + BEAT), Checked::default());
    }

    #[test]
    fn a_probe_that_is_answered_saves() {
        let start = Instant::now();
        let mut liveness = Liveness::new(&Settings::default());
        let now = beating(&mut liveness, &["A"], start) + Duration::from_secs(1);
        assert_eq!(liveness.check(now).probe, [host("A")]);
        liveness.heard(&host("A"), now + BEAT, false);
        liveness.answered(&host("A"), now + BEAT);
        assert_eq!(liveness.check(now + BEAT), Checked::default());
        // A beat that comes while the probe fails does too.
        let now = now + BEAT + Duration::from_secs(1);
        assert_eq!(liveness.check(now).probe, [host("A")]);
        liveness.heard(&host("A"), now, true);
        liveness.probed(&host("A"), true, now);
        assert_eq!(liveness.check(now), Checked::default());
    }

    #[test]
    fn those_that_fall_silent_together_are_lost_together() {
        let start = Instant::now();
        let mut liveness = Liveness::new(&Settings::default());
        let last = beating(&mut liveness, &["A", "B", "C"], start);
        // B's last beat is a little later.
        liveness.heard(&host("B"), last + BEAT * 9 / 10, true);
        let now = last + Duration::from_secs(1);
        assert_eq!(liveness.check(now).probe.len(), 3);
        for name in ["A", "C"] {
            liveness.probed(&host(name), true, now);
            assert_eq!(liveness.check(now).lost, []);
        }
        liveness.probed(&host("B"), true, now);
        assert_eq!(liveness.check(now).lost.len(), 3);
    }

    #[test]
    fn after_a_reconnect_there_is_patience_until_a_host_is_heard_of() {
        let start = Instant::now();
        let mut liveness = Liveness::new(&Settings::default());
        let last = beating(&mut liveness, &["A", "B"], start);
        let patience = last + Duration::from_secs(8);
        liveness.be_patient(patience);
        let back = last + Duration::from_secs(3);
        assert_eq!(liveness.check(back), Checked::default());
        liveness.heard(&host("A"), back, true);
        let now = back + Duration::from_secs(1);
        assert_eq!(liveness.check(now).probe, [host("A")]);
        assert_eq!(liveness.check(patience).probe, [host("B")]);
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
        assert_eq!(liveness.check(at).lost, [host("A")]);
    }
}

//! Giving up those that are gone, once it is clear whether they are alone or their whole PoP is.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    time::{Duration, Instant},
};

use trellis_lattice::HostId;

use super::{Checked, Liveness, Pulse};

/// A PoP that is gone.
#[derive(Debug, PartialEq)]
pub(in super::super) struct Cut {
    pub(in super::super) pop: String,
    pub(in super::super) hosts: Vec<HostId>,
    /// When any of them was last heard of.
    pub(in super::super) heard: Instant,
    /// Whether all of them beat: then they tell when they are back.
    pub(in super::super) beats: bool,
}

/// What is known of a PoP.
struct Pop<'p> {
    /// Its hosts that are gone.
    gone: Vec<&'p HostId>,
    /// The others.
    others: Vec<&'p Pulse>,
    /// When any was last heard of.
    heard: Instant,
}

/// How many other hosts of a PoP are asked together with one that may be gone.
const COMPARED: usize = 3;

/// How often that is done until it is clear.
const AGAIN: Duration = Duration::from_millis(300);

/// Where the others can't be asked, but are heard of: so much later a host is lost of which nothing is heard.
const LONG: Duration = Duration::from_secs(10);

impl Liveness {
    /// Asks some of a PoP's hosts together with those that are being asked now: if one answers and another does not, it is
    /// not the link to the PoP.
    pub(super) fn compare<'p>(
        &mut self,
        pop: &str,
        now: Instant,
        pop_of: &impl Fn(&HostId) -> Option<&'p str>,
        checked: &mut Checked,
    ) {
        let of_pop = self.pulses.iter_mut().filter(|(host, pulse)| {
            pulse.probed.is_none()
                && now >= pulse.patient_until
                && !self.gone.contains_key(*host)
                && pop_of(host) == Some(pop)
        });
        let mut of_pop: Vec<_> = of_pop.collect();
        of_pop.sort_by_key(|(_, pulse)| Reverse(pulse.heard));
        for (host, pulse) in of_pop.into_iter().take(COMPARED) {
            pulse.probed = Some(now);
            checked.probe.push(host.clone());
        }
    }

    /// Gives up those of the gone of which it is clear what became of their PoP; gives when to look again.
    pub(super) fn release<'p>(
        &mut self,
        now: Instant,
        pop_of: &impl Fn(&HostId) -> Option<&'p str>,
        checked: &mut Checked,
    ) -> Option<Instant> {
        if self.gone.is_empty() {
            return None;
        }
        // Somebody who is far away and still being asked does not hold up all others.
        let probed = self.pulses.values().filter_map(|pulse| {
            let probed = pulse.probed?;
            (pulse.heard < probed).then_some(probed)
        });
        let asked_until = probed.max().map(|probed| probed + self.probe * 2);
        if asked_until.is_some_and(|until| now < until) {
            return asked_until;
        }
        let mut pops: BTreeMap<&'p str, Pop<'_>> = BTreeMap::new();
        for (host, pulse) in &self.pulses {
            let is_gone = self.gone.contains_key(host);
            let Some(name) = pop_of(host) else {
                if is_gone {
                    checked.lost.push(host.clone());
                }
                continue;
            };
            let pop = pops.entry(name).or_insert(Pop {
                gone: Vec::new(),
                others: Vec::new(),
                heard: pulse.heard,
            });
            pop.heard = pop.heard.max(pulse.heard);
            match is_gone {
                true => pop.gone.push(host),
                false => pop.others.push(pulse),
            }
        }
        let mut again: Option<Instant> = None;
        let mut unclear: Vec<(&'p str, Vec<HostId>)> = Vec::new();
        for (name, pop) in pops {
            if pop.gone.is_empty() {
                continue;
            }
            if pop.others.is_empty() {
                let at = pop.heard + self.pop_silence;
                if now < at {
                    again = Some(again.map_or(at, |known| known.min(at)));
                    continue;
                }
                let beats = |host: &&HostId| self.pulses.get(*host).is_some_and(|it| it.beats);
                checked.cut.push(Cut {
                    beats: pop.gone.iter().all(beats),
                    pop: name.to_owned(),
                    hosts: pop.gone.into_iter().cloned().collect(),
                    heard: pop.heard,
                });
                continue;
            }
            let mut open = Vec::new();
            for host in pop.gone {
                let asked = self.gone.get(host).and_then(|gone| gone.asked);
                let heard = self.pulses.get(host).map_or(now, |pulse| pulse.heard);
                let is_alone = pop.others.iter().any(|other| {
                    (asked.is_some() && other.answered == asked) || other.heard >= heard + LONG
                });
                match is_alone {
                    true => checked.lost.push(host.clone()),
                    false => open.push((asked, host.clone())),
                }
            }
            let is_asked = pop.others.iter().any(|other| other.probed.is_some());
            let last = open.iter().filter_map(|(asked, _)| *asked).max();
            let at = last.map_or(now, |last| last + AGAIN);
            if open.is_empty() || is_asked {
                continue;
            }
            if now < at {
                again = Some(again.map_or(at, |known| known.min(at)));
                continue;
            }
            unclear.push((name, open.into_iter().map(|(_, host)| host).collect()));
        }
        for (pop, hosts) in unclear {
            for host in hosts {
                if let Some(pulse) = self.pulses.get_mut(&host) {
                    pulse.probed = Some(now);
                    checked.probe.push(host);
                }
            }
            self.compare(pop, now, pop_of, checked);
        }
        let cut = checked.cut.iter().flat_map(|cut| &cut.hosts);
        for host in checked.lost.iter().chain(cut) {
            self.pulses.remove(host);
            self.gone.remove(host);
        }
        again
    }
}

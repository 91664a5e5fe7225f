//! Giving up those that are gone, once it is clear whether they are alone or their whole PoP is.

use std::{collections::BTreeMap, time::Instant};

use trellis_lattice::HostId;

use super::{Checked, Liveness};

/// A PoP that is gone.
#[derive(Debug, PartialEq)]
pub(in super::super) struct Cut {
    pub(in super::super) pop: String,
    pub(in super::super) hosts: Vec<HostId>,
    /// When any of them was last heard of.
    pub(in super::super) heard: Instant,
}

/// What is known of a PoP.
struct Pop<'p> {
    /// Its hosts that are gone.
    gone: Vec<&'p HostId>,
    /// When one of the others was last heard of.
    others: Option<Instant>,
    /// When any was.
    heard: Instant,
}

impl Liveness {
    /// Gives up those of the gone of which it is clear what became of their PoP; gives when to look again.
    pub(super) fn release<'p>(
        &mut self,
        now: Instant,
        pop_of: impl Fn(&HostId) -> Option<&'p str>,
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
            let is_gone = self.gone.contains(host);
            let Some(name) = pop_of(host) else {
                if is_gone {
                    checked.lost.push(host.clone());
                }
                continue;
            };
            let pop = pops.entry(name).or_insert(Pop {
                gone: Vec::new(),
                others: None,
                heard: pulse.heard,
            });
            pop.heard = pop.heard.max(pulse.heard);
            match is_gone {
                true => pop.gone.push(host),
                false => pop.others = pop.others.max(Some(pulse.heard)),
            }
        }
        let mut again: Option<Instant> = None;
        for (name, pop) in pops {
            let Some(others) = pop.others else {
                let at = pop.heard + self.pop_silence;
                if now < at {
                    again = Some(again.map_or(at, |known| known.min(at)));
                    continue;
                }
                checked.cut.push(Cut {
                    pop: name.to_owned(),
                    hosts: pop.gone.into_iter().cloned().collect(),
                    heard: pop.heard,
                });
                continue;
            };
            for host in pop.gone {
                let heard = self.pulses.get(host).map_or(now, |pulse| pulse.heard);
                // Where all fell silent at once nobody was heard of that much later.
                if others >= heard + self.silence * 3 / 5 {
                    checked.lost.push(host.clone());
                }
            }
        }
        let cut = checked.cut.iter().flat_map(|cut| &cut.hosts);
        for host in checked.lost.iter().chain(cut) {
            self.pulses.remove(host);
            self.gone.remove(host);
        }
        again
    }
}

//! PoPs whose link to the managers is cut: in both directions, or in one of them. What is sent there is lost, as on a
//! link between NATS servers; connections of hosts and managers notice nothing.

use std::collections::BTreeSet;

use trellis_lattice::HostId;
use trellis_wadm::command::Command;

use crate::{host::Host, world::World};

/// How a PoP's link is cut.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cut {
    /// Whether what managers send is lost.
    pub to: bool,
    /// Whether what hosts send is lost.
    pub from: bool,
    /// Whether the servers know: then requests are refused at once.
    pub is_known: bool,
    /// When it was cut.
    pub since: u64,
}

/// How long a PoP may be cut off until nothing may be sent there any more, in ms.
const NOTICED: u64 = 4000;

impl World {
    /// Whether what managers send reaches a host.
    pub fn reaches(&self, host: &Host) -> bool {
        !self.cut_of(host).is_some_and(|cut| cut.to)
    }

    /// Whether managers hear a host.
    pub fn hears(&self, host: &Host) -> bool {
        !self.cut_of(host).is_some_and(|cut| cut.from)
    }

    /// Whether requests to a host are refused by the servers.
    pub fn refuses_at_once(&self, id: &HostId) -> bool {
        let host = self.hosts.get(id);
        let cut = host.and_then(|host| self.cut_of(host));
        cut.is_some_and(|cut| cut.to && cut.is_known)
    }

    fn cut_of(&self, host: &Host) -> Option<&Cut> {
        self.cuts.get(host.labels.get("pop")?)
    }

    /// The PoPs that have hosts.
    pub fn pops(&self) -> Vec<String> {
        let pops = self
            .hosts
            .values()
            .filter_map(|host| host.labels.get("pop"));
        let pops: BTreeSet<&String> = pops.collect();
        pops.into_iter().cloned().collect()
    }

    /// Cuts a PoP's link in some way.
    pub fn cut_pop(&mut self, pop: &str) {
        let (to, from) =
            *self
                .rng
                .pick(&[(true, true), (true, true), (true, false), (false, true)]);
        let is_known = to && from && self.rng.chance(500);
        let cut = Cut {
            to,
            from,
            is_known,
            since: self.now_ms(),
        };
        self.tell(|| format!("PoP {pop} is cut off: {cut:?}"));
        self.cuts.insert(pop.to_owned(), cut);
    }

    pub fn mend_pop(&mut self, pop: &str) {
        if self.cuts.remove(pop).is_some() {
            self.tell(|| format!("PoP {pop} is linked again"));
        }
    }

    pub fn mend_pops(&mut self) {
        let pops: Vec<_> = self.cuts.keys().cloned().collect();
        for pop in pops {
            self.mend_pop(&pop);
        }
    }

    /// Cuts some PoP off for a while.
    pub fn cut_some_pop(&mut self) {
        let pops = self.pops();
        if pops.is_empty() {
            return;
        }
        let pop = self.rng.pick(&pops).clone();
        let time = self.rng.within(100, 15_000);
        self.cut_pop(&pop);
        self.after(time, move |world| world.mend_pop(&pop));
    }

    /// A PoP from which nothing is heard for long is sent nothing.
    pub fn check_cut(&self, command: &Command) {
        let Some(host) = command.host().and_then(|id| self.hosts.get(id)) else {
            return;
        };
        let cut = self.cut_of(host).filter(|cut| cut.from);
        assert!(
            cut.is_none_or(|cut| self.now_ms() < cut.since + NOTICED)
                || self.lost > 0
                || self.late > 0,
            "sent to a PoP that is cut off: {command}"
        );
    }
}

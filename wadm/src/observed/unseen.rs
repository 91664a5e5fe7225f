//! Hosts of PoPs that can't be seen: all hosts of a PoP fell silent together and none said goodbye. Most likely they go
//! on, and so does what they run.

use trellis_lattice::{ComponentId, HostId, place::POP};

use super::{Component, Host, Observed};
use crate::{desired::Workload, manifest::PlacementProperties, rollout::Moment};

/// A host of a PoP that can't be seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Unseen {
    /// The host as it was when it was seen last.
    pub host: Host,
    /// Its PoP.
    pub pop: String,
    /// When the PoP was heard of last.
    pub since: Moment,
}

impl Unseen {
    /// Until when what has these rules counts as running there; none: until the PoP is seen again.
    pub fn until(&self, rules: &PlacementProperties) -> Option<Moment> {
        Some(self.since.after(rules.counts_unseen_for()?))
    }

    /// How many instances of a workload it ran; a provider's are one.
    pub fn instances(&self, workload: &Workload) -> u32 {
        match workload.is_provider {
            true => u32::from(self.host.providers.contains_key(&workload.id)),
            false => self.component(&workload.id).map_or(0, |it| it.instances),
        }
    }

    /// A component that it ran.
    pub fn component(&self, id: &ComponentId) -> Option<&Component> {
        self.host.components.get(id)
    }
}

impl Host {
    /// The PoP that it is in, where it says.
    pub fn pop(&self) -> Option<&str> {
        self.labels.get(POP).map(String::as_str)
    }
}

impl Observed {
    /// A PoP can't be seen any more, and this host of it with it.
    pub fn cut(&mut self, id: &HostId, since: Moment) {
        self.start_errors.retain(|(there, _), _| there != id);
        let Some(host) = self.hosts.remove(id) else {
            return;
        };
        if let Some(pop) = host.pop().map(str::to_owned) {
            self.unseen.insert(id.clone(), Unseen { host, pop, since });
        }
    }

    /// The PoP of a host, seen or not.
    pub fn pop_of(&self, id: &HostId) -> Option<&str> {
        match self.hosts.get(id) {
            Some(host) => host.pop(),
            None => Some(&self.unseen.get(id)?.pop),
        }
    }

    /// The unseen hosts on which a workload counts as running: it ran there, may be there by its rules, and its grace
    /// time is not over.
    pub fn counted<'o, 'w>(
        &'o self,
        workload: &'w Workload,
    ) -> impl Iterator<Item = (&'o HostId, &'o Unseen)> + use<'o, 'w> {
        let rules = &workload.rules;
        self.unseen.iter().filter(move |(_, unseen)| {
            let host = &unseen.host;
            let is_avoided = |(key, value): (&String, &String)| host.labels.get(key) == Some(value);
            unseen.instances(workload) > 0
                && unseen.until(rules).is_none_or(|until| self.at < until)
                && host.meets(&rules.require)
                && !rules.avoid.iter().any(is_avoided)
        })
    }
}

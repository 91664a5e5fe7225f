//! The hosts as the scheduler sees them: numbered, with their labels, taints and capacity looked up once.

use std::collections::{BTreeMap, HashMap};

use trellis_lattice::{
    HostId,
    control::host::{CAPACITY, TAINT},
};

use super::fit::Set;
use crate::observed::{Host, Observed};

/// All hosts, in the order of their ids.
pub(super) struct Hosts<'o> {
    hosts: Vec<(&'o HostId, &'o Host)>,
    hashes: Vec<u64>,
    capacities: Vec<Option<u32>>,
    by_label: HashMap<(&'o str, &'o str), Vec<u32>>,
    /// Without the prefix.
    taints: BTreeMap<(&'o str, &'o str), Vec<u32>>,
}

impl<'o> Hosts<'o> {
    pub(super) fn new(observed: &'o Observed) -> Self {
        let hosts: Vec<_> = observed.hosts.iter().collect();
        let mut by_label: HashMap<_, Vec<u32>> = HashMap::new();
        let mut taints: BTreeMap<_, Vec<u32>> = BTreeMap::new();
        for (index, (_, host)) in (0..).zip(&hosts) {
            for (key, value) in &host.labels {
                by_label
                    .entry((key.as_str(), value.as_str()))
                    .or_default()
                    .push(index);
                if let Some(key) = key.strip_prefix(TAINT) {
                    taints.entry((key, value.as_str())).or_default().push(index);
                }
            }
        }
        Self {
            hashes: hosts.iter().map(|(id, _)| hash(&[id.as_str()])).collect(),
            capacities: hosts.iter().map(|(_, host)| capacity(host)).collect(),
            hosts,
            by_label,
            taints,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.hosts.len()
    }

    pub(super) fn id(&self, index: u32) -> &'o HostId {
        self.hosts[index as usize].0
    }

    pub(super) fn host(&self, index: u32) -> &'o Host {
        self.hosts[index as usize].1
    }

    /// How many instances of components it takes; none: any number.
    pub(super) fn capacity(&self, index: u32) -> Option<u32> {
        self.capacities[index as usize]
    }

    /// A host's place in the order of one unit's hosts: different for each unit, the same at any time, and not changed
    /// for the others by a host that comes or goes.
    pub(super) fn rank(&self, unit: u64, index: u32) -> u64 {
        mix(unit ^ self.hashes[index as usize])
    }

    pub(super) fn with(&self, key: &str, value: &str) -> Set {
        let hosts = self.by_label.get(&(key, value));
        Set::of(self.len(), hosts.into_iter().flatten().copied())
    }

    /// Taints without their prefix, and the hosts that have them.
    pub(super) fn taints(&self) -> impl Iterator<Item = (&'o str, &'o str, &[u32])> {
        self.taints
            .iter()
            .map(|((key, value), hosts)| (*key, *value, hosts.as_slice()))
    }
}

/// A text that is no number limits nothing.
pub(super) fn capacity(host: &Host) -> Option<u32> {
    host.labels.get(CAPACITY)?.trim().parse().ok()
}

/// A hash that is the same on every machine and in every build (FNV-1a). It only has to spread, not to withstand anyone.
pub(super) fn hash(parts: &[&str]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for part in parts {
        // A byte that no text has keeps "ab","c" apart from "a","bc".
        for byte in part.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    mix(hash)
}

/// Splitmix64's last step: every bit of the input changes half of the output's.
pub(super) fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

//! Which hosts fit: those that meet a spread's requirements and a workload's rules. Worked out once for all that have
//! the same rules.

use std::{
    collections::{BTreeMap, HashMap},
    rc::Rc,
};

use trellis_lattice::control::Labels;

use super::hosts::{Hosts, hash};
use crate::{
    desired::{Place, Workload},
    manifest::PlacementProperties,
};

/// A set of hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Set(Vec<u64>);

impl Set {
    pub(super) fn all(len: usize) -> Self {
        let mut set = Self(vec![u64::MAX; len.div_ceil(64)]);
        if let Some(last) = set.0.last_mut()
            && !len.is_multiple_of(64)
        {
            *last = (1 << (len % 64)) - 1;
        }
        set
    }

    pub(super) fn of(len: usize, hosts: impl IntoIterator<Item = u32>) -> Self {
        let mut set = Self(vec![0; len.div_ceil(64)]);
        for host in hosts {
            set.0[host as usize / 64] |= 1 << (host % 64);
        }
        set
    }

    pub(super) fn contains(&self, host: u32) -> bool {
        self.0[host as usize / 64] & (1 << (host % 64)) != 0
    }

    fn keep(&mut self, other: &Self) {
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word &= other;
        }
    }

    fn remove(&mut self, other: &Self) {
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word &= !other;
        }
    }

    fn members(&self) -> impl Iterator<Item = u32> {
        (0..).zip(&self.0).flat_map(|(index, word)| {
            let mut word = *word;
            std::iter::from_fn(move || {
                let bit = word.trailing_zeros();
                word &= word.wrapping_sub(1);
                (bit < 64).then_some(index * 64 + bit)
            })
        })
    }
}

/// The hosts that fit, by the labels that a workload is spread over.
#[derive(Debug)]
pub(super) struct Fit {
    set: Set,
    /// All of them, in order.
    pub(super) hosts: Vec<u32>,
    /// The hosts that have the same value of every label of the topology; one cell where there is no topology.
    pub(super) cells: Vec<Cell>,
    /// Each host's cell; empty when there is but one.
    cell_of: Vec<u32>,
    /// The labels of the topology, with the values that these hosts have.
    pub(super) dimensions: Vec<Dimension>,
    /// Whether any of them takes only so many.
    pub(super) has_capacities: bool,
}

/// Hosts that are the same to a topology.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) hosts: Vec<u32>,
    /// For each dimension, its value there.
    pub(super) values: Vec<u32>,
    pub(super) hash: u64,
}

/// A label and its values.
#[derive(Debug)]
pub(super) struct Dimension {
    pub(super) label: String,
    pub(super) values: Vec<String>,
}

impl Fit {
    pub(super) fn contains(&self, host: u32) -> bool {
        self.set.contains(host)
    }

    /// The cell of a host that fits.
    pub(super) fn cell(&self, host: u32) -> usize {
        self.cell_of
            .get(host as usize)
            .map_or(0, |cell| *cell as usize)
    }
}

/// Finds the hosts that fit.
pub(super) struct Rules<'a, 'h, 'o> {
    hosts: &'h Hosts<'o>,
    known: HashMap<Key<'a>, Rc<Fit>>,
}

/// All that decides who fits.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key<'a> {
    requirements: &'a Labels,
    require: &'a Labels,
    avoid: &'a Labels,
    tolerate: &'a Labels,
    topology: Vec<&'a str>,
}

impl<'a, 'h, 'o> Rules<'a, 'h, 'o> {
    pub(super) fn new(hosts: &'h Hosts<'o>) -> Self {
        Self {
            hosts,
            known: HashMap::new(),
        }
    }

    /// The hosts that fit for a spread.
    pub(super) fn fit(&mut self, workload: &'a Workload, place: &'a Place) -> Rc<Fit> {
        let rules = &workload.rules;
        let labels = |rules: &'a PlacementProperties| {
            let topologies = rules.topology_spread.iter();
            topologies.map(|topology| topology.label.as_str()).collect()
        };
        let key = Key {
            requirements: &place.requirements,
            require: &rules.require,
            avoid: &rules.avoid,
            tolerate: &rules.tolerate,
            topology: labels(rules),
        };
        let hosts = self.hosts;
        self.known
            .entry(key)
            .or_insert_with(|| Rc::new(fit(hosts, &place.requirements, rules)))
            .clone()
    }
}

fn fit(hosts: &Hosts<'_>, requirements: &Labels, rules: &PlacementProperties) -> Fit {
    let mut set = Set::all(hosts.len());
    for (key, value) in requirements.iter().chain(&rules.require) {
        set.keep(&hosts.with(key, value));
    }
    for (key, value) in &rules.avoid {
        set.remove(&hosts.with(key, value));
    }
    for (key, value, tainted) in hosts.taints() {
        if rules.tolerate.get(key).map(String::as_str) != Some(value) {
            set.remove(&Set::of(hosts.len(), tainted.iter().copied()));
        }
    }
    let labels: Vec<&str> = rules
        .topology_spread
        .iter()
        .map(|topology| topology.label.as_str())
        .collect();
    let members: Vec<u32> = set
        .members()
        .filter(|host| {
            let has = &hosts.host(*host).labels;
            labels.iter().all(|label| has.contains_key(*label))
        })
        .collect();
    let set = Set::of(hosts.len(), members.iter().copied());
    let has_capacities = members.iter().any(|host| hosts.capacity(*host).is_some());
    let mut fit = Fit {
        set,
        hosts: members,
        cells: Vec::new(),
        cell_of: Vec::new(),
        dimensions: Vec::new(),
        has_capacities,
    };
    match labels.is_empty() {
        true => fit.cells.push(Cell {
            hosts: fit.hosts.clone(),
            values: Vec::new(),
            hash: 0,
        }),
        false => fit.part(hosts, &labels),
    }
    fit
}

impl Fit {
    /// Parts the hosts by the values of the labels.
    fn part(&mut self, hosts: &Hosts<'_>, labels: &[&str]) {
        let mut cells: BTreeMap<Vec<&str>, Vec<u32>> = BTreeMap::new();
        for host in &self.hosts {
            let has = &hosts.host(*host).labels;
            let values = labels
                .iter()
                .map(|label| has.get(*label).map_or("", String::as_str))
                .collect();
            cells.entry(values).or_default().push(*host);
        }
        self.dimensions = (0..labels.len())
            .map(|dimension| {
                let mut values: Vec<_> = cells.keys().map(|cell| cell[dimension]).collect();
                values.sort_unstable();
                values.dedup();
                Dimension {
                    label: labels[dimension].to_owned(),
                    values: values.into_iter().map(str::to_owned).collect(),
                }
            })
            .collect();
        self.cell_of = vec![0; hosts.len()];
        for (index, (values, members)) in (0..).zip(cells) {
            for host in &members {
                self.cell_of[*host as usize] = index;
            }
            let numbers = values.iter().zip(&self.dimensions);
            self.cells.push(Cell {
                hosts: members,
                values: numbers
                    .map(|(value, dimension)| {
                        let at = dimension
                            .values
                            .binary_search_by(|known| known.as_str().cmp(value));
                        at.map_or(0, |at| u32::try_from(at).unwrap_or(u32::MAX))
                    })
                    .collect(),
                hash: hash(&values),
            });
        }
    }
}

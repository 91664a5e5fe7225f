//! Many workloads on many hosts: what they are made of, and a lattice that runs each where it was placed.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use trellis_lattice::{
    HostId,
    control::{
        Labels,
        host::{CAPACITY, TAINT},
    },
};
use trellis_wadm::{
    desired::{Place, Workload},
    manifest::{PlacementProperties, RolloutProperties, TopologySpread},
    names,
    observed::{Component, Host, Observed, Provider},
    plan::place::{Placements, Request, place},
};

/// Something that wants to be placed.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) app: String,
    pub(super) workload: Workload,
}

/// Hosts, and what wants to be on them.
#[derive(Clone, Debug)]
pub(super) struct Crowd {
    pub(super) observed: Observed,
    pub(super) wishes: Vec<Wish>,
}

/// The one part that each application has.
const PART: &str = "part";

impl Crowd {
    pub(super) fn requests(&self) -> Vec<Request<'_>> {
        let wishes = self.wishes.iter();
        wishes
            .map(|wish| Request {
                app: &wish.app,
                part: PART,
                workload: &wish.workload,
            })
            .collect()
    }

    /// Where each wants to be, by application.
    pub(super) fn place(&self) -> Vec<trellis_wadm::plan::place::Placement> {
        let placements = place(self.requests(), &self.observed);
        self.sorted(&placements)
    }

    pub(super) fn sorted(
        &self,
        placements: &Placements<'_>,
    ) -> Vec<trellis_wadm::plan::place::Placement> {
        let wishes = self.wishes.iter();
        wishes
            .map(|wish| placements.of(&wish.app, PART).unwrap().clone())
            .collect()
    }

    /// Runs everything where it is placed, and nowhere else.
    pub(super) fn apply(&mut self) -> Vec<trellis_wadm::plan::place::Placement> {
        let placements = self.place();
        for (wish, placement) in self.wishes.iter().zip(&placements) {
            let id = &wish.workload.id;
            for (host_id, host) in &mut self.observed.hosts {
                let Some(spreads) = placement.targets.get(host_id) else {
                    host.components.remove(id);
                    host.providers.remove(id);
                    continue;
                };
                let annotations = names::annotations(&wish.app, PART, spreads);
                if wish.workload.is_provider {
                    // What runs is not started anew because another spread wants it.
                    host.providers.entry(id.clone()).or_insert(Provider {
                        annotations,
                        ..Provider::default()
                    });
                    continue;
                }
                let component = Component {
                    image: wish.workload.image.clone(),
                    annotations,
                    instances: spreads.values().sum(),
                    ..Component::default()
                };
                host.components.insert(id.clone(), component);
            }
        }
        placements
    }

    /// The hosts that a spread may be on.
    pub(super) fn fits(&self, workload: &Workload, place: &Place) -> Vec<&HostId> {
        let hosts = self.observed.hosts.iter();
        hosts
            .filter(|(_, host)| fits(host, workload, place))
            .map(|(id, _)| id)
            .collect()
    }

    /// How many instances of a spread each value of a label has; values without a host that fits don't count.
    pub(super) fn by_value(
        &self,
        wish: &Wish,
        place: &Place,
        label: &str,
        count: impl Fn(&HostId) -> u32,
    ) -> BTreeMap<String, u32> {
        let mut counts = BTreeMap::new();
        for host in self.fits(&wish.workload, place) {
            let value = self.observed.hosts[host].labels[label].clone();
            *counts.entry(value).or_default() += count(host);
        }
        counts
    }

    /// What a host runs that nobody here wants.
    pub(super) fn others(&self, host: &HostId) -> u32 {
        let wanted: BTreeSet<_> = self.wishes.iter().map(|wish| &wish.workload.id).collect();
        let components = self.observed.hosts[host].components.iter();
        components
            .filter(|(id, _)| !wanted.contains(id))
            .map(|(_, there)| there.instances)
            .sum()
    }
}

/// Whether a host meets all rules, said in another way than the scheduler's.
pub(super) fn fits(host: &Host, workload: &Workload, place: &Place) -> bool {
    let rules = &workload.rules;
    let has = |(key, value): (&String, &String)| host.labels.get(key) == Some(value);
    let tolerated = |(key, value): (&String, &String)| match key.strip_prefix(TAINT) {
        Some(taint) => rules.tolerate.get(taint) == Some(value),
        None => true,
    };
    place.requirements.iter().all(has)
        && rules.require.iter().all(has)
        && !rules.avoid.iter().any(has)
        && host.labels.iter().all(tolerated)
        && rules
            .topology_spread
            .iter()
            .all(|one| host.labels.contains_key(&one.label))
}

pub(super) fn host(name: &str, labels: &[(&str, &str)]) -> Host {
    Host {
        friendly_name: name.to_owned(),
        labels: self::labels(labels),
        ..Host::default()
    }
}

pub(super) fn labels(labels: &[(&str, &str)]) -> Labels {
    let labels = labels.iter();
    labels
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

pub(super) fn component(name: &str, instances: u32) -> Wish {
    Wish {
        app: format!("app-{name}"),
        workload: Workload {
            id: name.parse().unwrap(),
            is_provider: false,
            image: "file:///x.wasm".into(),
            configs: Vec::new(),
            is_daemon: false,
            instances,
            spreads: vec![Place {
                name: names::DEFAULT_SPREAD.into(),
                requirements: Labels::new(),
                weight: 100,
            }],
            rules: PlacementProperties::default(),
            rollout: RolloutProperties::default(),
            autoscale: None,
            dormant: false,
            reuse: false,
        },
    }
}

pub(super) fn topology(label: &str, max_skew: u32) -> TopologySpread {
    TopologySpread {
        label: label.to_owned(),
        max_skew,
    }
}

// === anything ===

/// A host's labels. Without `limits` it takes any number of instances.
pub(super) fn any_labels(limits: bool) -> impl Strategy<Value = Labels> {
    let pop = prop_oneof![1 => Just(None), 8 => (0..4_u8).prop_map(Some)];
    let capacity = match limits {
        true => prop_oneof![1 => Just(None), 1 => (0..9_u32).prop_map(Some)].boxed(),
        false => Just(None).boxed(),
    };
    (
        pop,
        0..2_u8,
        prop::bool::weighted(0.3),
        prop::bool::weighted(0.15),
        capacity,
    )
        .prop_map(|(pop, region, gold, tainted, capacity)| {
            let mut labels = labels(&[("region", if region == 0 { "eu" } else { "us" })]);
            if let Some(pop) = pop {
                labels.insert("pop".into(), format!("pop-{pop}"));
            }
            if gold {
                labels.insert("tier".into(), "gold".into());
            }
            if tainted {
                labels.insert(format!("{TAINT}gpu"), "only".into());
            }
            if let Some(capacity) = capacity {
                labels.insert(CAPACITY.into(), capacity.to_string());
            }
            labels
        })
}

fn any_rules(limits: bool) -> impl Strategy<Value = PlacementProperties> {
    let topologies = match limits {
        true => prop::sample::subsequence(vec!["region", "pop"], 0..=2)
            .prop_shuffle()
            .boxed(),
        false => prop::sample::subsequence(vec!["pop"], 0..=1).boxed(),
    };
    let region = prop_oneof![3 => Just(None), 1 => Just(Some("eu")), 1 => Just(Some("us"))];
    (
        region,
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.3),
        topologies,
        1..3_u32,
        0..if limits { 3 } else { 1 },
        prop::bool::weighted(if limits { 0.4 } else { 0.0 }),
    )
        .prop_map(
            |(region, avoids, tolerates, topologies, skew, priority, overflow)| {
                let region = region.map(|region| ("region", region));
                PlacementProperties {
                    require: labels(region.as_slice()),
                    avoid: labels(if avoids { &[("tier", "gold")] } else { &[] }),
                    tolerate: labels(if tolerates { &[("gpu", "only")] } else { &[] }),
                    topology_spread: topologies
                        .into_iter()
                        .map(|label| topology(label, skew))
                        .collect(),
                    priority,
                    overflow,
                    ..PlacementProperties::default()
                }
            },
        )
}

fn any_spreads() -> impl Strategy<Value = Vec<Place>> {
    let all = vec![("eu", "eu"), ("us", "us"), ("any", "")];
    prop::sample::subsequence(all, 1..=3).prop_flat_map(|spreads| {
        let weights = prop::collection::vec(1..100_u32, spreads.len());
        weights.prop_map(move |weights| {
            let spreads = spreads.iter().zip(weights);
            spreads
                .map(|((name, region), weight)| Place {
                    name: (*name).to_owned(),
                    requirements: match *region {
                        "" => Labels::new(),
                        region => labels(&[("region", region)]),
                    },
                    weight,
                })
                .collect()
        })
    })
}

pub(super) fn any_wish(limits: bool) -> impl Strategy<Value = Wish> {
    (
        0..12_u32,
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.15),
        any_spreads(),
        any_rules(limits),
    )
        .prop_map(|(instances, is_provider, is_daemon, spreads, rules)| {
            let mut wish = component("x", instances);
            wish.workload.is_provider = is_provider;
            wish.workload.is_daemon = is_daemon;
            wish.workload.spreads = spreads;
            wish.workload.rules = rules;
            wish
        })
}

/// With `limits` hosts have capacities and workloads priorities, several labels to be spread over, and overflow.
pub(super) fn any_crowd(limits: bool) -> impl Strategy<Value = Crowd> {
    let hosts = prop::collection::vec((any_labels(limits), prop::bool::weighted(0.1)), 0..10);
    let wishes = prop::collection::vec(any_wish(limits), 1..7);
    (hosts, wishes).prop_map(|(hosts, mut wishes)| {
        let mut observed = Observed::default();
        for (number, (labels, has_foreign)) in hosts.into_iter().enumerate() {
            let mut host = host(&number.to_string(), &[]);
            host.labels = labels;
            if has_foreign {
                let foreign = Component {
                    instances: 2,
                    ..Component::default()
                };
                host.components.insert("theirs".parse().unwrap(), foreign);
            }
            observed.hosts.insert(id(number), host);
        }
        for (number, wish) in wishes.iter_mut().enumerate() {
            wish.app = format!("app-{number}");
            wish.workload.id = format!("w-{number}").parse().unwrap();
        }
        Crowd { observed, wishes }
    })
}

pub(super) fn id(number: usize) -> HostId {
    format!("host-{number}").parse().unwrap()
}

//! What stands in the way of instances that have no place, for people: the rule and what helps.

use std::collections::BTreeSet;

use trellis_lattice::control::{Labels, host::CAPACITY};

use super::{Board, Missing, explain::Rule, unit::Kind};

impl Board<'_, '_> {
    /// What a unit lacks and why.
    pub(super) fn missing(&self, index: usize) -> Option<Missing> {
        let unit = &self.units[index];
        let request = self.requests[unit.request];
        let place = &request.workload.spreads[unit.spread];
        let has_no_host = unit.fit.hosts.is_empty();
        let instances = match unit.kind {
            // Of no host there is no number.
            Kind::Daemon(_) | Kind::ProviderDaemon if has_no_host && unit.kept.is_empty() => {
                request.workload.instances
            }
            Kind::ProviderDaemon => 0,
            _ => unit.wanted.saturating_sub(unit.placed()),
        };
        if instances == 0 {
            return None;
        }
        let (rule, why) = if self.hosts.len() == 0 {
            (Rule::NoHost, "there is no host in the lattice".to_owned())
        } else if has_no_host {
            self.no_host(index, instances)
        } else {
            self.too_few(index, instances)
        };
        Some(Missing {
            spread: place.name.clone(),
            instances,
            rule,
            why,
        })
    }

    /// Not one host fits: by the first rule that leaves none.
    fn no_host(&self, index: usize, instances: u32) -> (Rule, String) {
        let unit = &self.units[index];
        let workload = self.requests[unit.request].workload;
        let rules = &workload.rules;
        let wanted = self.required(index);
        let own = &workload.spreads[unit.spread].requirements;
        let mut both = own
            .iter()
            .filter(|(key, value)| wanted.get(*key) != Some(value));
        if let Some((key, value)) = both.next() {
            let why = format!(
                "{instances} instance(s) can't be placed: the spread requires {key}={value}, the placement {key}={}, and no host has both",
                wanted[key]
            );
            return (Rule::Labels, why);
        }
        let all = self.hosts.len();
        let mut left: Vec<u32> = (0..).take(all).collect();
        left.retain(|host| self.hosts.host(*host).meets(&wanted));
        if left.is_empty() {
            let mut why = format!(
                "{instances} instance(s) wait for a host with labels {}: none of the {all} host(s) has them",
                labels(&wanted)
            );
            if let Some(residency) = &rules.residency {
                why.push_str(&format!(
                    "; their residency keeps them within {residency}: they go nowhere else"
                ));
            }
            return (Rule::Labels, why);
        }
        let with = with(&wanted);
        left.retain(|host| self.avoided(*host, &rules.avoid).is_none());
        if left.is_empty() {
            let why = format!(
                "{instances} instance(s) wait for a host{with} without the avoided labels {}: there is none",
                labels(&rules.avoid)
            );
            return (Rule::Avoid, why);
        }
        let mut taints = BTreeSet::new();
        left.retain(|host| {
            let untolerated = self.untolerated(*host, &rules.tolerate);
            let fits = untolerated.is_empty();
            taints.extend(untolerated);
            fits
        });
        if left.is_empty() {
            let taints: Vec<_> = taints
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            let why = format!(
                "{instances} instance(s) wait for a host{with} without the taints {}: tolerate them, or add a host without",
                taints.join(", ")
            );
            return (Rule::Taint, why);
        }
        let missing: BTreeSet<&str> = rules
            .topology_spread
            .iter()
            .map(|topology| topology.label.as_str())
            .filter(|label| {
                let has = |host: &u32| self.hosts.host(*host).labels.contains_key(*label);
                !left.iter().all(has)
            })
            .collect();
        let why = format!(
            "{instances} instance(s) wait for a host{with} and a label {} to be spread over: there is none",
            missing.into_iter().collect::<Vec<_>>().join(" and ")
        );
        (Rule::TopologyLabel, why)
    }

    /// Some hosts fit, but not for all.
    fn too_few(&self, index: usize, instances: u32) -> (Rule, String) {
        let unit = &self.units[index];
        let hosts = unit.fit.hosts.len();
        let with = with(&self.required(index));
        let has_room = |host: &u32| match unit.kind {
            Kind::Provider | Kind::ProviderDaemon => !self.is_taken(index, *host),
            Kind::Component | Kind::Daemon(_) => self.room.free_above(*host, unit.class) > 0,
        };
        let is_daemon = matches!(unit.kind, Kind::Daemon(_));
        if is_daemon || !unit.fit.hosts.iter().any(has_room) {
            return match unit.uses_room() {
                true => (
                    Rule::Room,
                    format!(
                        "{instances} instance(s) wait for room: the {hosts} host(s) that fit{with} are full: add a host, or raise the label {CAPACITY}"
                    ),
                ),
                false => (
                    Rule::Once,
                    format!(
                        "a host runs a provider once: {} hosts{with} are needed, {hosts} are there",
                        unit.wanted
                    ),
                ),
            };
        }
        let blocking = self.blocking(index, has_room);
        if blocking.is_empty() {
            let why = format!("{instances} instance(s) can't be spread as the placement asks");
            return (Rule::Skew, why);
        }
        let helps = match unit.uses_room() {
            true => "add hosts there, raise their capacity, or allow a greater maxSkew",
            false => "add hosts there, or allow a greater maxSkew",
        };
        let why = format!(
            "{instances} instance(s) wait for room on {}: more elsewhere would be spread too unevenly: {helps}",
            blocking.join(", ")
        );
        (Rule::Skew, why)
    }

    /// The values of the topology that have least and no room for more.
    fn blocking(&self, index: usize, has_room: impl Fn(&u32) -> bool) -> Vec<String> {
        let unit = &self.units[index];
        let mut blocking = Vec::new();
        for (number, dimension) in unit.fit.dimensions.iter().enumerate() {
            let counts = self.by_value(index, number);
            let least = counts.iter().copied().min().unwrap_or(0);
            for (value, count) in counts.iter().enumerate() {
                let mut cells = unit.fit.cells.iter();
                let is_full = !cells.any(|cell| {
                    cell.values[number] as usize == value && cell.hosts.iter().any(&has_room)
                });
                if *count == least && is_full {
                    blocking.push(format!(
                        "{}={} (maxSkew {})",
                        dimension.label, dimension.values[value], unit.skews[number]
                    ));
                }
            }
        }
        blocking
    }

    /// How many instances each value of one of the topology's labels has.
    pub(super) fn by_value(&self, index: usize, dimension: usize) -> Vec<u64> {
        let fit = &self.units[index].fit;
        let mut counts = vec![0; fit.dimensions[dimension].values.len()];
        for (host, count) in &self.units[index].assigned {
            let value = fit.cells[fit.cell(*host)].values[dimension];
            counts[value as usize] += u64::from(*count);
        }
        counts
    }

    /// Whether another spread of the same provider, or this one, has the host.
    pub(super) fn is_taken(&self, index: usize, host: u32) -> bool {
        let unit = &self.units[index];
        let siblings = self.units[index - unit.spread..]
            .iter()
            .take_while(|sibling| sibling.request == unit.request);
        siblings
            .flat_map(|sibling| &sibling.assigned)
            .any(|(taken, _)| *taken == host)
    }

    /// All labels that a host must have for a unit.
    pub(super) fn required(&self, index: usize) -> Labels {
        let unit = &self.units[index];
        let workload = self.requests[unit.request].workload;
        let mut labels = workload.spreads[unit.spread].requirements.clone();
        labels.extend(workload.rules.require.clone());
        labels
    }

    /// The first label of a host that it should not have.
    pub(super) fn avoided<'l>(&self, host: u32, avoid: &'l Labels) -> Option<(&'l str, &'l str)> {
        let has = &self.hosts.host(host).labels;
        avoid
            .iter()
            .find(|(key, value)| has.get(*key) == Some(value))
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// A host's taints that keep it away.
    pub(super) fn untolerated(&self, host: u32, tolerate: &Labels) -> BTreeSet<(&str, &str)> {
        self.hosts
            .taints()
            .filter(|(key, value, tainted)| {
                tolerate.get(*key).map(String::as_str) != Some(value)
                    && tainted.binary_search(&host).is_ok()
            })
            .map(|(key, value, _)| (key, value))
            .collect()
    }
}

fn with(wanted: &Labels) -> String {
    match wanted.is_empty() {
        true => String::new(),
        false => format!(" with labels {}", labels(wanted)),
    }
}

fn labels(labels: &Labels) -> String {
    let pairs: Vec<_> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    pairs.join(", ")
}

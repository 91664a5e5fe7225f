//! What counts as running where it can't be seen, for people.

use std::collections::BTreeMap;

use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use trellis_lattice::HostId;

use crate::{
    desired::Workload,
    observed::{Observed, Unseen},
    rollout::Moment,
};

/// What of a workload counts as running in which PoP, and for how long.
pub(super) fn told(
    observed: &Observed,
    workload: &Workload,
    kept: &BTreeMap<HostId, u32>,
) -> Option<String> {
    let mut by_pop: BTreeMap<&str, (&Unseen, u32)> = BTreeMap::new();
    for (host, count) in kept {
        if let Some(unseen) = observed.unseen.get(host) {
            let (_, sum) = by_pop.entry(&unseen.pop).or_insert((unseen, 0));
            *sum = sum.saturating_add(*count);
        }
    }
    let pops = by_pop.into_iter().map(|(pop, (unseen, instances))| {
        format!(
            "PoP {pop} can't be seen since {}; {instances} instance(s) are taken as running there {}",
            time(unseen.since),
            until(unseen, workload)
        )
    });
    let pops: Vec<String> = pops.collect();
    (!pops.is_empty()).then(|| pops.join("; "))
}

/// Until when a workload's instances on an unseen host count as running.
pub(crate) fn until(unseen: &Unseen, workload: &Workload) -> String {
    match unseen.until(&workload.rules) {
        Some(until) => format!("until {}", time(until)),
        None => "until it is seen again".to_owned(),
    }
}

/// A time as people and programs read it, in whole seconds.
pub(crate) fn time(moment: Moment) -> String {
    let seconds = i64::try_from(moment.0 / 1000).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}

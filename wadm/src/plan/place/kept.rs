//! What counts as running on hosts that can't be seen: it is neither changed nor moved, and counts against what is wanted.

use trellis_lattice::HostId;

use crate::{desired::Workload, names, observed::Observed, plan::share};

/// For each spread of a workload, the unseen hosts whose instances count as its own.
pub(super) fn kept(workload: &Workload, observed: &Observed) -> Vec<Vec<(HostId, u32)>> {
    let mut kept = vec![Vec::new(); workload.spreads.len()];
    if observed.unseen.is_empty() {
        return kept;
    }
    let weights: Vec<u32> = workload.spreads.iter().map(|place| place.weight).collect();
    let mut lacking = match workload.is_daemon {
        true => vec![u32::MAX; weights.len()],
        false => share::by_weight(workload.instances, &weights),
    };
    let mut orphans = Vec::new();
    for (id, unseen) in observed.counted(workload) {
        let instances = unseen.instances(workload);
        let annotations = match workload.is_provider {
            true => unseen
                .host
                .providers
                .get(&workload.id)
                .map(|it| &it.annotations),
            false => unseen.component(&workload.id).map(|it| &it.annotations),
        };
        let Some(annotations) = annotations else {
            continue;
        };
        let mut known: u32 = 0;
        for (spread, place) in workload.spreads.iter().enumerate() {
            let count = names::spread_count(annotations, &place.name, instances);
            // A provider without the name of its spread would count for each.
            let count = count.min(instances.saturating_sub(known));
            known = known.saturating_add(count);
            if count > 0 && unseen.host.meets(&place.requirements) {
                lacking[spread] = lacking[spread].saturating_sub(count);
                kept[spread].push((id.clone(), count));
            }
        }
        if known == 0 {
            orphans.push((id, unseen, instances));
        }
    }
    // What runs for a spread that is no more counts for those that lack instances.
    for (id, unseen, mut count) in orphans {
        for (spread, place) in workload.spreads.iter().enumerate() {
            let more = count.min(lacking[spread]);
            if more > 0 && unseen.host.meets(&place.requirements) {
                count -= more;
                lacking[spread] -= more;
                kept[spread].push((id.clone(), more));
            }
        }
    }
    kept
}

/// How many of a spread's instances are wanted on hosts that are seen. Where fewer are declared by now than are kept,
/// one of them is where it can be seen.
pub(super) fn left(share: u32, kept: u32) -> u32 {
    share.checked_sub(kept).unwrap_or(share.min(1))
}

//! Where a rollout starts: hosts run another release than the deployed version wants.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use trellis_lattice::control::Annotations;

use super::{Moment, PartRollout, Phase, Release, Rollout};
use crate::{
    desired::{App, Part, Want, Workload},
    manifest::same_image,
    names,
    observed::Observed,
    plan::Running,
};

/// What a rollout's start is worked out from.
#[derive(Clone, Copy)]
pub(super) struct Start<'a> {
    /// The application's name.
    pub(super) name: &'a str,
    /// As it ought to be.
    pub(super) app: &'a App,
    /// Its other versions that are stored, newest first. Only asked for when something differs.
    pub(super) others: &'a dyn Fn() -> Vec<App>,
    /// What runs where.
    pub(super) running: &'a Running<'a>,
    /// The lattice: what counts as running where it can't be seen.
    pub(super) observed: &'a Observed,
    /// The rollout before.
    pub(super) before: Option<&'a Rollout>,
    /// How often a rollout of it was let go on after it had failed.
    pub(super) retries: u32,
    /// The time.
    pub(super) now: Moment,
}

/// The rollout to the deployed version; `None` where no host runs another release and none was rolled out before.
pub(super) fn begin(start: &Start<'_>) -> Option<Rollout> {
    let differing: Vec<_> = workloads(start.app)
        .map(|(part, workload)| (part, workload, running(start, part, workload)))
        .filter(|(_, _, running)| !running.is_empty())
        .collect();
    if differing.is_empty() && start.before.is_none() {
        return None;
    }
    let others = (start.others)();
    let mut parts: Vec<PartRollout> = differing
        .into_iter()
        .filter_map(|(part, workload, running)| part_rollout(part, workload, running, &others))
        .collect();
    let from = match start.before {
        Some(before) => base(before),
        None => matching(&parts, &others),
    };
    let to = start.app.version.clone();
    let is_back = from.as_ref() == Some(&to);
    // Where one goes back to is where it was going to.
    let from = match (is_back, start.before) {
        (true, Some(before)) => Some(before.to.clone()),
        _ => from,
    };
    if let Some(before) = from
        .as_ref()
        .and_then(|from| others.iter().find(|app| app.version == *from))
    {
        for part in &mut parts {
            put_first(part, before);
        }
    }
    let why = format!("version {to} was deployed again");
    let phase = match (parts.is_empty(), is_back) {
        (true, true) => Phase::RolledBack { why },
        (true, false) => Phase::Done,
        (false, true) => Phase::RollingBack {
            why,
            deployed: true,
        },
        (false, false) => Phase::Progressing { since: start.now },
    };
    if parts.is_empty() && start.before.is_none() {
        return None;
    }
    Some(Rollout {
        from,
        to,
        began: start.now,
        phase,
        paused: None,
        retries: start.retries,
        parts,
        at: 0,
    })
}

/// The version to go back to: the last one that was rolled out whole.
fn base(before: &Rollout) -> Option<String> {
    match before.phase {
        Phase::Done | Phase::RolledBack { .. } | Phase::RollingBack { .. } => {
            Some(before.to.clone())
        }
        _ => before.from.clone(),
    }
}

/// The newest version of which everything that differs may come.
fn matching(parts: &[PartRollout], others: &[App]) -> Option<String> {
    let fits = |app: &&App| {
        parts.iter().all(|part| {
            workloads(app).any(|(known, workload)| {
                workload.id == part.id
                    && part
                        .old
                        .iter()
                        .any(|old| *old == Release::of(known, workload))
            })
        })
    };
    let app = others.iter().find(fits)?;
    Some(app.version.clone())
}

/// Puts the release of the version before first, whether it runs or not.
fn put_first(part: &mut PartRollout, before: &App) {
    let Some(release) = workloads(before)
        .find(|(_, workload)| workload.id == part.id)
        .map(|(known, workload)| Release::of(known, workload))
    else {
        return;
    };
    part.old.retain(|old| *old != release);
    if release != part.new {
        part.old.insert(0, release);
    }
}

/// Other releases than the wanted one that run, by image and part, with how many instances.
type Others<'a> = BTreeMap<(Option<&'a str>, Option<&'a str>), u32>;

fn running<'a>(start: &Start<'a>, part: &Part, workload: &Workload) -> Others<'a> {
    let new = Release::of(part, workload);
    let mut others = Others::new();
    let mut note = |image: Option<&'a str>, annotations: &'a Annotations, instances: u32| {
        if names::managed_app(annotations) == Some(start.name) && !new.runs(image, annotations) {
            let scaler = annotations.get(names::SCALER).map(String::as_str);
            let count = others.entry((image, scaler)).or_default();
            *count = count.saturating_add(instances);
        }
    };
    if workload.is_provider {
        for on in start.running.provider(&workload.id) {
            note(on.there.image.as_deref(), &on.there.annotations, 1);
        }
    } else {
        for on in start.running.component(&workload.id) {
            let there = on.there;
            note(Some(&there.image), &there.annotations, there.instances);
        }
    }
    for (_, unseen) in start.observed.counted(workload) {
        if workload.is_provider {
            if let Some(there) = unseen.host.providers.get(&workload.id) {
                note(there.image.as_deref(), &there.annotations, 1);
            }
        } else if let Some(there) = unseen.component(&workload.id) {
            note(Some(&there.image), &there.annotations, there.instances);
        }
    }
    others
}

/// What has to be done about a part: nothing where only another manager's annotations differ.
fn part_rollout(
    part: &Part,
    workload: &Workload,
    running: Others<'_>,
    others: &[App],
) -> Option<PartRollout> {
    let mut running: Vec<_> = running.into_iter().collect();
    running.sort_by_key(|(_, instances)| Reverse(*instances));
    let mut old = Vec::new();
    let mut known = BTreeSet::new();
    for ((image, scaler), _) in running {
        let is_it = |release: &Release| {
            image.is_none_or(|image| same_image(image, &release.image))
                && scaler == Some(release.part.as_str())
        };
        let stored = others
            .iter()
            .flat_map(workloads)
            .filter(|(_, other)| other.id == workload.id)
            .map(|(part, other)| Release::of(part, other))
            .find(is_it);
        let release = match (stored, image) {
            (Some(release), _) => release,
            (None, Some(image)) if !same_image(image, &workload.image) => Release {
                image: image.to_owned(),
                configs: workload.configs.clone(),
                part: scaler.unwrap_or(&part.id).to_owned(),
            },
            (None, _) => continue,
        };
        if known.insert(release.clone()) {
            old.push(release);
        }
    }
    (!old.is_empty()).then(|| PartRollout {
        id: workload.id.clone(),
        new: Release::of(part, workload),
        old,
        updated: BTreeSet::new(),
        hosts: 0,
        step: 0,
        baseline: BTreeMap::new(),
    })
}

fn workloads(app: &App) -> impl Iterator<Item = (&Part, &Workload)> {
    app.parts.iter().filter_map(|part| match &part.want {
        Ok(Want::Workload(workload)) => Some((part, workload)),
        _ => None,
    })
}

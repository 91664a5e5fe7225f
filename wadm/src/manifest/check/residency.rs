//! Residency: what is kept in a region or PoP must not be asked to be elsewhere, nor be linked with what can't be there.

use trellis_lattice::{PopName, RegionName, place::POP};

use crate::manifest::{
    Component, PlacementProperties, Residency, Spread, TraitProperties,
    problem::{Findings, Path},
};

/// Checks a placement's residency against all else that says where the component is to be.
pub(super) fn check(
    component: &Component,
    properties: &PlacementProperties,
    path: &Path,
    findings: &mut Findings,
) {
    let Some(residency) = &properties.residency else {
        return;
    };
    let here = path.field("residency");
    if residency.labels().next().is_none() {
        findings.error(&here, "names nothing: give `region`, `pop` or both");
    }
    for (label, value) in residency.labels() {
        let read = match label {
            POP => value.parse::<PopName>().map(drop),
            _ => value.parse::<RegionName>().map(drop),
        };
        if let Err(error) = read {
            findings.error(&here.field(label), error.to_string());
        }
        if let Some(other) = properties.require.get(label)
            && other != value
        {
            findings.error(
                &path.field("require").field(label),
                format!("is {other}, but `residency` keeps it within {label}={value}"),
            );
        }
        if properties.avoid.get(label).map(String::as_str) == Some(value) {
            findings.error(
                &path.field("avoid").field(label),
                format!("is {value}, but `residency` keeps it within {label}={value}"),
            );
        }
        for spread in spreads(component) {
            if let Some(other) = spread.requirements.get(label)
                && other != value
            {
                findings.error(
                    &here.field(label),
                    format!(
                        "is {value}, but spread {:?} requires {label}={other}: no host could ever meet both",
                        spread.name
                    ),
                );
            }
        }
    }
}

/// Checks that both sides of each link can be where either is kept.
pub(super) fn links(components: &[Component], path: &Path, findings: &mut Findings) {
    let kept = components.iter().any(|one| residency(one).is_some());
    if !kept {
        return;
    }
    for (index, source) in components.iter().enumerate() {
        for (number, trait_) in source.traits().iter().enumerate() {
            let TraitProperties::Link(link) = &trait_.properties else {
                continue;
            };
            let mut others = components.iter();
            let Some(target) = others.find(|other| other.name == link.target.name) else {
                continue;
            };
            if let Some(why) = apart(source, target).or_else(|| apart(target, source)) {
                let path = path.item(index).field("traits").item(number);
                let path = path.field("properties").field("target").field("name");
                findings.error(&path, why);
            }
        }
    }
}

/// Why what is linked with a component that is kept somewhere can never be there.
fn apart(kept: &Component, other: &Component) -> Option<String> {
    let (residency, kept, name) = (residency(kept)?, &kept.name, &other.name);
    residency.labels().find_map(|(label, value)| {
        let (elsewhere, how) = elsewhere(other, label, value)?;
        Some(format!(
            "{kept:?} is kept within {label}={value}, and {name:?} {how} {label}={elsewhere}: no call between them could ever be made"
        ))
    })
}

/// Another value of a label that all of a component's hosts must have, and what says so.
fn elsewhere<'c>(
    component: &'c Component,
    label: &str,
    value: &str,
) -> Option<(&'c str, &'static str)> {
    if let Some(residency) = residency(component)
        && let Some((_, other)) = residency.labels().find(|(known, _)| *known == label)
    {
        return (other != value).then_some((other, "is kept within"));
    }
    if let Some(other) = placement(component).and_then(|rules| rules.require.get(label)) {
        return (other != value).then_some((other.as_str(), "requires"));
    }
    let mut wanted = spreads(component).map(|spread| spread.requirements.get(label));
    let first = wanted.next()??;
    let is_elsewhere = |other: Option<&String>| other.is_some_and(|other| other != value);
    (first != value && wanted.all(is_elsewhere)).then_some((first.as_str(), "requires"))
}

fn placement(component: &Component) -> Option<&PlacementProperties> {
    let mut traits = component.traits().iter();
    traits.find_map(|trait_| match &trait_.properties {
        TraitProperties::Placement(placement) => Some(placement),
        _ => None,
    })
}

fn residency(component: &Component) -> Option<&Residency> {
    placement(component)?.residency.as_ref()
}

fn spreads(component: &Component) -> impl Iterator<Item = &Spread> {
    let traits = component.traits().iter();
    traits.flat_map(|trait_| match &trait_.properties {
        TraitProperties::Spread(scale) => scale.spread.as_slice(),
        _ => &[],
    })
}

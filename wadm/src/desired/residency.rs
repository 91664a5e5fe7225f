//! Where calls over links stay: wherever either side is kept.

use trellis_lattice::{
    IdError, Within,
    place::{POP, REGION},
};

use super::{Builder, rules};
use crate::manifest::{Component, Residency};

impl Builder<'_, '_> {
    /// Where calls of a link between these two stay: wherever either is kept.
    pub(super) fn within(&self, sides: [&Component; 2]) -> Result<Option<Within>, String> {
        let mut within = Within::default();
        for side in sides {
            let Some(residency) = self.residency(side) else {
                continue;
            };
            if let Some(pop) = &residency.pop {
                bound(&mut within.pop, POP, pop)?;
            }
            if let Some(region) = &residency.region {
                bound(&mut within.region, REGION, region)?;
            }
        }
        Ok((!within.is_empty()).then_some(within))
    }

    /// Where a component is kept, or the other application's one that it stands for.
    fn residency(&self, component: &Component) -> Option<Residency> {
        let Some(shared) = &component.properties().application else {
            return rules(component).residency;
        };
        let manifest = (self.shared)(&shared.name)?;
        let mut others = manifest.spec.components.iter();
        let other = others.find(|other| other.name == shared.component)?;
        rules(other).residency
    }
}

/// Sets a bound; it must be the same where it is set already.
fn bound<N>(bound: &mut Option<N>, label: &str, value: &str) -> Result<(), String>
where
    N: std::str::FromStr<Err = IdError> + PartialEq + std::fmt::Display,
{
    let value: N = value.parse().map_err(|error: IdError| error.to_string())?;
    match bound {
        Some(other) if *other != value => Err(format!(
            "one side is kept within {label}={other}, the other within {label}={value}: no call could ever be made"
        )),
        _ => {
            *bound = Some(value);
            Ok(())
        }
    }
}

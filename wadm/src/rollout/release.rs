//! What runs before and after: an image with its configurations.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use trellis_lattice::{HostId, control::Annotations};

use crate::{
    desired::{Part, Workload},
    manifest::same_image,
    names,
};

/// What a component or provider is started from. Two that differ take each other's place host by host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Release {
    /// Its image's reference.
    pub image: String,
    /// Its configurations' names in the lattice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub configs: Vec<String>,
    /// The id of the part of the application that wants it ([`names::SCALER`]): another one where the configurations
    /// are others.
    pub part: String,
}

impl Release {
    /// What a part of an application wants.
    pub fn of(part: &Part, workload: &Workload) -> Self {
        Self {
            image: workload.image.clone(),
            configs: workload.configs.clone(),
            part: part.id.clone(),
        }
    }

    /// Whether what runs with this image and these annotations was started from this. A host that doesn't tell the
    /// image is taken at its annotations.
    pub fn runs(&self, image: Option<&str>, annotations: &Annotations) -> bool {
        image.is_none_or(|image| same_image(image, &self.image))
            && annotations.get(names::SCALER) == Some(&self.part)
    }
}

/// How far a component or provider is from its old releases to the one that its application wants now. What the planner
/// has to know of a rollout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rolling {
    /// The releases that run where the new one may not yet run; the first one is for hosts that run nothing.
    pub old: Vec<Release>,
    /// The hosts that may run the new one.
    pub updated: BTreeSet<HostId>,
    /// How far it is, for people.
    pub status: String,
}

impl Rolling {
    /// The old release that a host has to run, or `None` where the new one, `new`, has to. What runs there now is given
    /// by its image and annotations. Where the new one runs already it stays.
    pub fn old_on(
        &self,
        host: &HostId,
        new: (&Part, &Workload),
        there: Option<(Option<&str>, &Annotations)>,
    ) -> Option<&Release> {
        if self.updated.contains(host) {
            return None;
        }
        let Some((image, annotations)) = there else {
            return self.old.first();
        };
        let (part, workload) = new;
        let is_same_image = image.is_none_or(|image| same_image(image, &workload.image));
        if is_same_image && annotations.get(names::SCALER) == Some(&part.id) {
            return None;
        }
        let old = self
            .old
            .iter()
            .find(|release| release.runs(image, annotations));
        match old {
            Some(release) => Some(release),
            // The same image under annotations that nobody knows: another manager's, which only lack our own.
            None if is_same_image => None,
            None => self.old.first(),
        }
    }
}

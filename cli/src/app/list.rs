//! Applications and versions as lines.

use trellis_lattice::app::{AppSummary, StatusType, VersionInfo};

use crate::output::{Row, or_dash};

impl Row for AppSummary {
    const COLUMNS: &'static [&'static str] = &[
        "NAME",
        "STATUS",
        "DEPLOYED VERSION",
        "NEWEST VERSION",
        "DESCRIPTION",
    ];
    const NONE: &'static str = "no applications: deploy one with `trellis app deploy FILE`";

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            word(self.status).into(),
            or_dash(self.deployed_version.clone().unwrap_or_default()),
            self.version.clone(),
            or_dash(self.description.clone().unwrap_or_default()),
        ]
    }
}

impl Row for VersionInfo {
    const COLUMNS: &'static [&'static str] = &["VERSION", "DEPLOYED"];
    const NONE: &'static str = "no versions";

    fn cells(&self) -> Vec<String> {
        vec![
            self.version.clone(),
            if self.deployed { "yes" } else { "-" }.into(),
        ]
    }
}

/// A status in a word.
pub fn word(status: StatusType) -> &'static str {
    match status {
        StatusType::Undeployed => "undeployed",
        StatusType::Waiting => "waiting",
        StatusType::Reconciling => "reconciling",
        StatusType::Deployed => "deployed",
        StatusType::Failed => "failed",
        StatusType::Unhealthy => "unhealthy",
    }
}

//! Hosts as lines.

use trellis_lattice::control::host::Host;

use crate::output::{Row, pairs};

impl Row for Host {
    const COLUMNS: &'static [&'static str] = &["NAME", "ID", "UPTIME", "VERSION", "LABELS"];
    const NONE: &'static str = "no hosts: start one with `trellis up` or `trellis host`";

    fn cells(&self) -> Vec<String> {
        vec![
            self.friendly_name.clone(),
            self.id.to_string(),
            self.uptime_human.clone(),
            self.version.clone(),
            pairs(&self.labels),
        ]
    }
}

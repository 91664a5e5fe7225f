//! Links as lines.

use trellis_lattice::Link;

use crate::output::{Row, or_dash};

impl Row for Link {
    const COLUMNS: &'static [&'static str] = &[
        "SOURCE",
        "TARGET",
        "INTERFACES",
        "NAME",
        "SOURCE CONFIG",
        "TARGET CONFIG",
    ];
    const NONE: &'static str = "no links";

    fn cells(&self) -> Vec<String> {
        vec![
            self.source_id.to_string(),
            self.target.to_string(),
            format!(
                "{}:{}/{}{}",
                self.wit_namespace,
                self.wit_package,
                self.interfaces.join(","),
                self.within
                    .as_ref()
                    .map(|within| format!(" within {within}"))
                    .unwrap_or_default()
            ),
            self.name.to_string(),
            or_dash(self.source_config.join(",")),
            or_dash(self.target_config.join(",")),
        ]
    }
}

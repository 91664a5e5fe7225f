//! Hosts as lines.

use trellis_lattice::control::{
    Labels,
    host::{CAPACITY, Host, TAINT},
};

use crate::output::{Row, or_dash, pairs};

impl Row for Host {
    const COLUMNS: &'static [&'static str] = &[
        "NAME", "ID", "UPTIME", "VERSION", "CAPACITY", "TAINTS", "LABELS",
    ];
    const NONE: &'static str = "no hosts: start one with `trellis up` or `trellis host`";

    fn cells(&self) -> Vec<String> {
        let mut labels = self.labels.clone();
        let capacity = labels.remove(CAPACITY).unwrap_or_default();
        let taints: Labels = labels
            .extract_if(.., |key, _| key.starts_with(TAINT))
            .map(|(key, value)| (key.strip_prefix(TAINT).unwrap_or(&key).to_owned(), value))
            .collect();
        vec![
            self.friendly_name.clone(),
            self.id.to_string(),
            self.uptime_human.clone(),
            self.version.clone(),
            or_dash(capacity),
            pairs(&taints),
            pairs(&labels),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_and_taints_have_columns_of_their_own() {
        let host: Host = serde_json::from_value(serde_json::json!({
            "id": "NA", "lattice": "default", "friendly_name": "edge-1", "uptime_human": "3s", "version": "1",
            "labels": {"pop": "fra", CAPACITY: "40", "trellis.dev/taint.gpu": "yes"},
        }))
        .unwrap();
        assert_eq!(
            host.cells(),
            ["edge-1", "NA", "3s", "1", "40", "gpu=yes", "pop=fra"]
        );
    }
}

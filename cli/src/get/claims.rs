//! Claims as lines.

use serde::Serialize;
use trellis_lattice::control::claims::ClaimsEntry;

use crate::output::{Row, or_dash};

/// The claims of one component or provider.
#[derive(Serialize)]
pub struct KnownClaims {
    /// `component` or `provider`.
    kind: &'static str,
    name: String,
    /// The public key they are about.
    subject: String,
    /// The account that signed.
    issuer: String,
    version: String,
    revision: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
}

/// Reads the lattice's list, in which every value stands under two names.
pub fn read(entries: Vec<ClaimsEntry>) -> Vec<KnownClaims> {
    entries.iter().map(one).collect()
}

fn one(entry: &ClaimsEntry) -> KnownClaims {
    let value = |long: &str, short: &str| {
        entry
            .get(long)
            .or_else(|| entry.get(short))
            .cloned()
            .unwrap_or_default()
    };
    let subject = value("subject", "sub");
    let tags = value("tags", "tags");
    KnownClaims {
        kind: if subject.starts_with('V') {
            "provider"
        } else {
            "component"
        },
        name: value("name", "name"),
        issuer: value("issuer", "iss"),
        version: value("version", "ver"),
        revision: value("revision", "rev"),
        tags: tags
            .split(',')
            .filter(|tag| !tag.is_empty())
            .map(str::to_owned)
            .collect(),
        subject,
    }
}

impl Row for KnownClaims {
    const COLUMNS: &'static [&'static str] =
        &["KIND", "NAME", "VERSION", "REVISION", "SUBJECT", "ISSUER"];
    const NONE: &'static str = "no claims";

    fn cells(&self) -> Vec<String> {
        vec![
            self.kind.into(),
            or_dash(&self.name),
            or_dash(&self.version),
            or_dash(&self.revision),
            self.subject.clone(),
            self.issuer.clone(),
        ]
    }
}

//! What providers may use of NATS beside the lattice's calls: buckets, and subjects of the applications' own.

use super::TopologyError;
use crate::{bucket, id::LatticeName, subject::Subjects};

/// What providers may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Data {
    /// The buckets of keyvalue-nats.
    pub buckets: Buckets,
    /// The subjects of messaging-nats, wildcards allowed.
    pub subjects: Vec<String>,
}

/// The buckets that providers may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Buckets {
    /// All but the lattice's own, and they may make new ones; and streams of all kinds, as messaging-nats needs them. Who may make a stream may make it a copy of another one: to
    /// shut that too, name the buckets.
    #[default]
    Any,
    /// These, which somebody has made.
    Named(Vec<String>),
}

impl Data {
    /// What providers may use, checked.
    ///
    /// # Errors
    /// A name is none, or is the lattice's own.
    pub fn new(
        lattice: &LatticeName,
        buckets: Buckets,
        subjects: Vec<String>,
    ) -> Result<Self, TopologyError> {
        if let Buckets::Named(names) = &buckets {
            for name in names {
                check_bucket(lattice, name).map_err(|problem| TopologyError::Bucket {
                    name: name.clone(),
                    problem,
                })?;
            }
        }
        for subject in &subjects {
            check_subject(lattice, subject).map_err(|problem| TopologyError::Subject {
                subject: subject.clone(),
                problem,
            })?;
        }
        Ok(Self { buckets, subjects })
    }
}

/// The buckets that are the lattice's own.
pub(super) fn own_buckets(lattice: &LatticeName) -> [String; 4] {
    [
        bucket::lattice_data(lattice),
        bucket::config_data(lattice),
        bucket::manager_data(lattice),
        bucket::MANIFESTS.to_owned(),
    ]
}

fn check_bucket(lattice: &LatticeName, name: &str) -> Result<(), &'static str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || !name.chars().all(fits) {
        Err("is no bucket's name: use letters, digits, '-' and '_'")
    } else if own_buckets(lattice).iter().any(|own| own == name) {
        Err("is the lattice's own, and no provider's")
    } else {
        Ok(())
    }
}

fn check_subject(lattice: &LatticeName, subject: &str) -> Result<(), &'static str> {
    if subject.is_empty() || subject.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("is empty, or has white space in it");
    }
    let tokens: Vec<&str> = subject.split('.').collect();
    if tokens.iter().any(|token| token.is_empty()) {
        return Err("has an empty part between dots");
    }
    if tokens.iter().rev().skip(1).any(|token| *token == ">") {
        return Err("has a '>' before its end");
    }
    let first = tokens.first().copied().unwrap_or_default();
    if matches!(first, "*" | ">") {
        return Err(
            "begins with a wildcard, and so means the lattice's own subjects too: begin it with a word",
        );
    }
    let own = Subjects::own_first_tokens();
    if first.starts_with('$') || own.contains(&first) || first == lattice.as_str() {
        return Err(
            "is the lattice's own or NATS' own: providers need no leave for what is theirs of it",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_lattice_s_own_is_given_to_no_provider() {
        let lattice = LatticeName::new("shop").unwrap();
        for subject in [
            "wasmbus.ctl.>",
            "wadm.>",
            "trellis.>",
            "_INBOX.>",
            "$JS.API.>",
            "shop.>",
            ">",
            "*.ctl.>",
            "a..b",
            "a.>.b",
            "a b",
            "",
        ] {
            let refused = Data::new(&lattice, Buckets::Any, vec![subject.to_owned()]);
            assert!(refused.is_err(), "{subject:?}");
        }
        for name in [
            "LATTICEDATA_shop",
            "CONFIGDATA_shop",
            "TRELLISWADM_shop",
            "wadm_manifests",
            "a.b",
            "*",
            "",
        ] {
            let refused = Data::new(&lattice, Buckets::Named(vec![name.to_owned()]), Vec::new());
            assert!(refused.is_err(), "{name:?}");
        }
        let fine = Data::new(
            &lattice,
            Buckets::Named(vec!["LATTICEDATA_other".to_owned(), "counts".to_owned()]),
            vec!["orders.>".to_owned(), "orders.*.new".to_owned()],
        );
        assert!(fine.is_ok(), "{fine:?}");
    }
}

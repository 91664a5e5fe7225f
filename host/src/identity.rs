//! Who a host is: its key, its name for people, its labels.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rand::seq::IndexedRandom as _;
use trellis_lattice::{
    HostId,
    claims::HostKey,
    control::{
        Labels,
        host::{CAPACITY, TAINT},
        label::RESERVED_PREFIX,
    },
};

use crate::{HostConfig, HostError};

/// The longest key or value of a label.
const MAX_LABEL_BYTES: usize = 255;
/// The most labels a host has.
const MAX_LABELS: usize = 100;

/// A host's key, name and labels, and since when it runs.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) id: HostId,
    pub(crate) friendly_name: String,
    labels: Mutex<Labels>,
    started: Instant,
}

/// A label that can't be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LabelError {
    #[error("field `key` is empty")]
    NoKey,
    #[error("field `{0}` has a control character, such as a line's end")]
    Control(&'static str),
    #[error(
        "field `value`: {0:?} is no number, and {CAPACITY} is how many instances the host takes, such as 40"
    )]
    Capacity(String),
    #[error("field `key`: a taint has a name, as in {TAINT}gpu")]
    NoTaint,
    #[error("field `{0}` is longer than {MAX_LABEL_BYTES} bytes")]
    TooLong(&'static str),
    #[error(
        "field `key`: labels that begin with {RESERVED_PREFIX:?} are the host program's own and can't be changed"
    )]
    Reserved,
    #[error("the host has {MAX_LABELS} labels, and no more are taken: delete one first")]
    TooMany,
}

impl Identity {
    pub(crate) fn new(config: &HostConfig) -> Result<Self, HostError> {
        let key = match &config.host_key {
            Some(seed) => HostKey::from_seed(seed).map_err(HostError::HostKey)?,
            None => HostKey::generate(),
        };
        let identity = Self {
            // A public key has nothing that a name can't have.
            id: HostId::new(key.public().as_str())
                .map_err(|error| HostError::Label(error.to_string()))?,
            friendly_name: config.friendly_name.clone().unwrap_or_else(friendly_name),
            labels: Mutex::new(own_labels()),
            started: Instant::now(),
        };
        for (key, value) in &config.labels {
            identity
                .put_label(key, value)
                .map_err(|error| HostError::Label(format!("{key:?}: {error}")))?;
        }
        Ok(identity)
    }

    pub(crate) fn labels(&self) -> Labels {
        self.labels
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Puts a label; gives all labels.
    pub(crate) fn put_label(&self, key: &str, value: &str) -> Result<Labels, LabelError> {
        check_key(key)?;
        check_value(key, value)?;
        let mut labels = self.labels.lock().unwrap_or_else(PoisonError::into_inner);
        if labels.len() >= MAX_LABELS && !labels.contains_key(key) {
            return Err(LabelError::TooMany);
        }
        labels.insert(key.to_owned(), value.to_owned());
        Ok(labels.clone())
    }

    /// Takes a label off; gives all labels when there was one.
    pub(crate) fn delete_label(&self, key: &str) -> Result<Option<Labels>, LabelError> {
        check_key(key)?;
        let mut labels = self.labels.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(labels.remove(key).map(|_| labels.clone()))
    }

    /// Whether the labels are what an auction wants.
    pub(crate) fn meets(&self, constraints: &Labels) -> bool {
        let labels = self.labels.lock().unwrap_or_else(PoisonError::into_inner);
        constraints
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value))
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// How long the host has run, as 1.x shows it: `12m 33s`.
    pub(crate) fn uptime_human(&self) -> String {
        let seconds = self.uptime().as_secs();
        let parts = [
            (seconds / 86_400, "d"),
            (seconds / 3_600 % 24, "h"),
            (seconds / 60 % 60, "m"),
            (seconds % 60, "s"),
        ];
        let shown: Vec<_> = parts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, unit)| format!("{count}{unit}"))
            .collect();
        if shown.is_empty() {
            "0s".to_owned()
        } else {
            shown.join(" ")
        }
    }
}

fn check_key(key: &str) -> Result<(), LabelError> {
    if key.is_empty() {
        Err(LabelError::NoKey)
    } else if key.len() > MAX_LABEL_BYTES {
        Err(LabelError::TooLong("key"))
    } else if key.starts_with(RESERVED_PREFIX) {
        Err(LabelError::Reserved)
    } else {
        Ok(())
    }
}

/// What the scheduler reads must be readable, and what people read must not move their terminal's cursor.
fn check_value(key: &str, value: &str) -> Result<(), LabelError> {
    if key.chars().any(char::is_control) {
        Err(LabelError::Control("key"))
    } else if key == TAINT {
        Err(LabelError::NoTaint)
    } else if value.len() > MAX_LABEL_BYTES {
        Err(LabelError::TooLong("value"))
    } else if value.chars().any(char::is_control) {
        Err(LabelError::Control("value"))
    } else if key == CAPACITY && value.parse::<u32>().is_err() {
        Err(LabelError::Capacity(value.to_owned()))
    } else {
        Ok(())
    }
}

fn own_labels() -> Labels {
    [
        ("hostcore.arch", std::env::consts::ARCH),
        ("hostcore.os", std::env::consts::OS),
        ("hostcore.osfamily", std::env::consts::FAMILY),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// A name that people can tell from another, such as `calm-river-0417`.
fn friendly_name() -> String {
    const QUALITIES: [&str; 16] = [
        "amber", "bold", "calm", "clear", "dry", "early", "fair", "green", "high", "keen", "late",
        "mild", "quiet", "red", "still", "warm",
    ];
    const THINGS: [&str; 16] = [
        "arbor", "brook", "cliff", "dune", "fern", "grove", "hill", "ivy", "lake", "meadow",
        "moss", "reed", "river", "stone", "vine", "wood",
    ];
    let mut rng = rand::rng();
    let mut pick = |words: &[&'static str]| words.choose(&mut rng).copied().unwrap_or("plain");
    let (quality, thing) = (pick(&QUALITIES), pick(&THINGS));
    format!("{quality}-{thing}-{:04}", rand::random_range(0..10_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity::new(&HostConfig::default()).unwrap()
    }

    #[test]
    fn a_host_has_its_own_labels_and_keeps_them() {
        let identity = identity();
        assert!(identity.labels().contains_key("hostcore.arch"));
        assert_eq!(
            identity.put_label("hostcore.arch", "z80"),
            Err(LabelError::Reserved)
        );
        assert_eq!(
            identity.delete_label("hostcore.os"),
            Err(LabelError::Reserved)
        );
        assert_eq!(identity.put_label("", "x"), Err(LabelError::NoKey));
        for number in 0..MAX_LABELS - 3 {
            identity.put_label(&number.to_string(), "x").unwrap();
        }
        assert_eq!(identity.put_label("more", "x"), Err(LabelError::TooMany));
        assert!(identity.put_label("0", "y").is_ok());
    }

    #[test]
    fn labels_that_nobody_could_read_are_refused() {
        let identity = identity();
        let put = |key, value| identity.put_label(key, value).map(drop);
        assert_eq!(put("a\nb", "x"), Err(LabelError::Control("key")));
        assert_eq!(put("a", "x\u{1b}[2J"), Err(LabelError::Control("value")));
        assert_eq!(put("trellis.dev/taint.", "x"), Err(LabelError::NoTaint));
        assert_eq!(put("trellis.dev/taint.gpu", ""), Ok(()));
        for no_number in ["", "many", "-1", "1.5", "4294967296"] {
            assert_eq!(
                put(CAPACITY, no_number),
                Err(LabelError::Capacity(no_number.into()))
            );
        }
        assert_eq!(put(CAPACITY, "0"), Ok(()));
        // One from before the check, or none at all, can always be taken off.
        assert!(identity.delete_label("a\nb").is_ok());
    }

    #[test]
    fn constraints_are_met_by_equal_labels_only() {
        let identity = identity();
        identity.put_label("pop", "fra").unwrap();
        assert!(identity.meets(&Labels::new()));
        assert!(identity.meets(&[("pop".into(), "fra".into())].into()));
        assert!(!identity.meets(&[("pop".into(), "iad".into())].into()));
        assert!(!identity.meets(&[("zone".into(), "fra".into())].into()));
    }

    #[test]
    fn a_seed_gives_the_same_id_and_another_kind_is_refused() {
        let key = HostKey::generate();
        let config = |seed: &str| HostConfig {
            host_key: Some(seed.to_owned()),
            ..HostConfig::default()
        };
        let identity = Identity::new(&config(&key.seed())).unwrap();
        assert_eq!(identity.id.as_str(), key.public().as_str());
        let account = trellis_lattice::claims::AccountKey::generate().seed();
        assert!(matches!(
            Identity::new(&config(&account)),
            Err(HostError::HostKey(_))
        ));
    }
}

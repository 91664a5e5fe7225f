//! Where a process of the lattice is: in which PoP, in which region, and how far it is from others. Ours; 1.x knows of
//! none of this and need not.
//!
//! A host says it with labels, which count from its start: `pop=fra`, `region=eu`, and, where the time that a message
//! takes there and back is known, `trellis.dev/distance.iad=80ms`. Its providers are where it is. A host without the label
//! `pop` is nowhere in particular, and all that is here leaves it as it was.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::control::Labels;
pub use crate::id::{PopName, RegionName};

/// Label: the PoP a host is in.
pub const POP: &str = "pop";
/// Label: the region a host is in.
pub const REGION: &str = "region";
/// Labels that begin so are distances: `trellis.dev/distance.POP=80ms` is the time to that PoP and back.
pub const DISTANCE: &str = "trellis.dev/distance.";
/// The most PoPs that one process has to do with.
pub const MAX_POPS: usize = 256;
/// The longest distance: no round trip on Earth that works takes longer.
pub const MAX_DISTANCE: Duration = Duration::from_secs(60);

/// Where a process is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Its PoP.
    pub pop: PopName,
    /// The PoP's region, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionName>,
    /// The time to other PoPs and back, where it was declared; whole milliseconds on the wire.
    #[serde(
        default,
        with = "milliseconds",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub distances: BTreeMap<PopName, Duration>,
}

/// A label that says where a host is, and can't be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("label `{label}` is {value:?}: {problem}")]
pub struct PlaceError {
    /// The label.
    pub label: String,
    /// Its value.
    pub value: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Place {
    /// A place without distances.
    pub fn new(pop: PopName, region: Option<RegionName>) -> Self {
        Self {
            pop,
            region,
            distances: BTreeMap::new(),
        }
    }

    /// The place that a host's labels tell; none without the label [`POP`].
    ///
    /// # Errors
    /// Names the label that can't be right, and why.
    pub fn of_labels(labels: &Labels) -> Result<Option<Self>, PlaceError> {
        let Some(pop) = labels.get(POP) else {
            return Ok(None);
        };
        let mut place = Self::new(named(POP, pop)?, None);
        if let Some(region) = labels.get(REGION) {
            place.region = Some(named(REGION, region)?);
        }
        for (label, value) in labels {
            let Some(other) = label.strip_prefix(DISTANCE) else {
                continue;
            };
            let wrong = |problem: String| PlaceError {
                label: label.clone(),
                value: value.clone(),
                problem,
            };
            let other: PopName = other.parse().map_err(|error| wrong(format!("{error}")))?;
            let distance = distance(value).map_err(|problem| wrong(problem.into()))?;
            if place.distances.len() >= MAX_POPS {
                return Err(wrong(format!("there are more than {MAX_POPS} distances")));
            }
            place.distances.insert(other, distance);
        }
        Ok(Some(place))
    }

    /// The label that declares a distance.
    pub fn distance_label(pop: &PopName) -> String {
        format!("{DISTANCE}{pop}")
    }
}

impl fmt::Display for Place {
    /// `fra (eu)`, or `fra` without a region.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.region {
            Some(region) => write!(f, "{} ({region})", self.pop),
            None => write!(f, "{}", self.pop),
        }
    }
}

fn named<N: std::str::FromStr<Err: fmt::Display>>(
    label: &str,
    value: &str,
) -> Result<N, PlaceError> {
    value.parse().map_err(|error: N::Err| PlaceError {
        label: label.to_owned(),
        value: value.to_owned(),
        problem: error.to_string(),
    })
}

/// A distance as a label has it: a whole number of milliseconds or seconds.
///
/// # Errors
/// What is wrong with it.
pub fn distance(text: &str) -> Result<Duration, &'static str> {
    const FORM: &str = "a distance is the time there and back, such as 80ms or 1s";
    let text = text.trim();
    let (number, unit) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => (number, 1),
        (None, Some(number)) => (number, 1000),
        (None, None) => return Err(FORM),
    };
    let milliseconds = number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit))
        .ok_or(FORM)?;
    let distance = Duration::from_millis(milliseconds);
    match distance <= MAX_DISTANCE {
        true => Ok(distance),
        false => Err("it is longer than 60s"),
    }
}

/// A residency bound: calls over a link that has one are made and answered within it, also when nobody answers there.
/// As JSON `{"region": "eu"}` or `{"pop": "fra"}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Within {
    /// The PoP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pop: Option<PopName>,
    /// The region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionName>,
}

/// Somebody outside a residency bound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is kept within {within}; {who} is {place}")]
pub struct Outside {
    /// What has the bound.
    pub what: String,
    /// The bound.
    pub within: Within,
    /// Who is outside.
    pub who: &'static str,
    /// Where that is.
    pub place: String,
}

impl Within {
    /// One region.
    pub fn region(region: RegionName) -> Self {
        Self {
            pop: None,
            region: Some(region),
        }
    }

    /// One PoP.
    pub fn pop(pop: PopName) -> Self {
        Self {
            pop: Some(pop),
            region: None,
        }
    }

    /// Whether it bounds nothing.
    pub fn is_empty(&self) -> bool {
        self.pop.is_none() && self.region.is_none()
    }

    /// Whether a place is within. One whose region is not known is in none.
    pub fn holds(&self, place: &Place) -> bool {
        self.pop.as_ref().is_none_or(|pop| *pop == place.pop)
            && (self.region.is_none() || self.region == place.region)
    }

    /// Makes sure that a process is within. One that is nowhere in particular is not.
    ///
    /// # Errors
    /// [`Outside`], in the words that people see: what has the bound, and where `who` is.
    pub fn check(
        &self,
        place: Option<&Place>,
        what: impl fmt::Display,
        who: &'static str,
    ) -> Result<(), Outside> {
        if place.is_some_and(|place| self.holds(place)) {
            return Ok(());
        }
        let place = match place {
            Some(place) => match (&self.region, &place.region) {
                (Some(_), Some(region)) => format!("in {region} (PoP {})", place.pop),
                (Some(_), None) => format!("in PoP {}, which has no label `{REGION}`", place.pop),
                (None, _) => format!("in PoP {}", place.pop),
            },
            None => format!("in no PoP: it has no label `{POP}`"),
        };
        Err(Outside {
            what: what.to_string(),
            within: self.clone(),
            who,
            place,
        })
    }
}

impl fmt::Display for Within {
    /// `region=eu`, `pop=fra` or both.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.pop, &self.region) {
            (Some(pop), Some(region)) => write!(f, "{POP}={pop}, {REGION}={region}"),
            (Some(pop), None) => write!(f, "{POP}={pop}"),
            (None, Some(region)) => write!(f, "{REGION}={region}"),
            (None, None) => f.write_str("nothing"),
        }
    }
}

/// A text that is no residency bound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no residency bound: {problem}; write region=NAME, pop=NAME or both with a comma between"
)]
pub struct WithinError {
    text: String,
    problem: String,
}

impl std::str::FromStr for Within {
    type Err = WithinError;

    /// The reverse of its [`fmt::Display`].
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |problem: String| WithinError {
            text: text.chars().take(80).collect(),
            problem,
        };
        let mut within = Self::default();
        for part in text.split(',') {
            let (key, value) = part
                .trim()
                .split_once('=')
                .ok_or_else(|| wrong("there is no '='".into()))?;
            let twice = match key {
                POP => {
                    let pop = value.parse().map_err(|error| wrong(format!("{error}")))?;
                    within.pop.replace(pop).is_some()
                }
                REGION => {
                    let region = value.parse().map_err(|error| wrong(format!("{error}")))?;
                    within.region.replace(region).is_some()
                }
                _ => return Err(wrong(format!("nothing is kept within a {key:?}"))),
            };
            if twice {
                return Err(wrong(format!("{key} is there twice")));
            }
        }
        Ok(within)
    }
}

/// What a PoP answers when another asks who is there ([`crate::subject::Subjects::pops`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PopPresence {
    /// The PoP.
    pub pop: PopName,
    /// Its region, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionName>,
}

/// Durations as whole milliseconds.
mod milliseconds {
    use std::{collections::BTreeMap, time::Duration};

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use super::{MAX_POPS, PopName};

    pub(super) fn serialize<S: Serializer>(
        distances: &BTreeMap<PopName, Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(distances.iter().map(|(pop, distance)| {
            let milliseconds = u64::try_from(distance.as_millis()).unwrap_or(u64::MAX);
            (pop, milliseconds)
        }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<PopName, Duration>, D::Error> {
        let distances = BTreeMap::<PopName, u64>::deserialize(deserializer)?;
        if distances.len() > MAX_POPS {
            return Err(D::Error::custom(format!("more than {MAX_POPS} distances")));
        }
        let durations = distances
            .into_iter()
            .map(|(pop, distance)| (pop, Duration::from_millis(distance)));
        Ok(durations.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(of: &[(&str, &str)]) -> Labels {
        of.iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn place(pop: &str, region: Option<&str>) -> Place {
        Place::new(
            pop.parse().unwrap(),
            region.map(|region| region.parse().unwrap()),
        )
    }

    #[test]
    fn labels_tell_the_place() {
        let told = labels(&[
            ("pop", "fra"),
            ("region", "eu"),
            ("trellis.dev/distance.iad", "80ms"),
            ("trellis.dev/distance.sin", "1s"),
            ("disk", "fast"),
        ]);
        let place = Place::of_labels(&told).unwrap().unwrap();
        assert_eq!(place.to_string(), "fra (eu)");
        let distances: Vec<_> = place
            .distances
            .iter()
            .map(|(pop, distance)| (pop.as_str(), distance.as_millis()))
            .collect();
        assert_eq!(distances, [("iad", 80), ("sin", 1000)]);
        let region_only = labels(&[("region", "eu")]);
        assert_eq!(Place::of_labels(&region_only), Ok(None));
    }

    #[test]
    fn a_label_that_can_t_be_right_is_named() {
        for (label, value, words) in [
            ("pop", "a.b", "label `pop` is \"a.b\": PoP name"),
            ("pop", "", "label `pop` is \"\""),
            ("region", "eu west", "label `region` is \"eu west\""),
            (
                "trellis.dev/distance.iad",
                "80",
                "there and back, such as 80ms",
            ),
            ("trellis.dev/distance.iad", "61s", "longer than 60s"),
            ("trellis.dev/distance.iad", "99999999999999999999ms", "such"),
            ("trellis.dev/distance.i d", "1ms", "distance.i d"),
        ] {
            let mut told = labels(&[("pop", "fra")]);
            told.insert(label.to_owned(), value.to_owned());
            let error = Place::of_labels(&told).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_place_travels_as_json_and_says_nothing_that_it_does_not_have() {
        let mut place = place("fra", Some("eu"));
        let json = serde_json::to_string(&place).unwrap();
        assert_eq!(json, r#"{"pop":"fra","region":"eu"}"#);
        place
            .distances
            .insert("iad".parse().unwrap(), Duration::from_millis(80));
        let json = serde_json::to_string(&place).unwrap();
        assert_eq!(
            json,
            r#"{"pop":"fra","region":"eu","distances":{"iad":80}}"#
        );
        assert_eq!(serde_json::from_str::<Place>(&json).unwrap(), place);
    }

    #[test]
    fn a_bound_holds_what_is_certainly_inside() {
        let eu = Within::region("eu".parse().unwrap());
        assert!(eu.holds(&place("fra", Some("eu"))));
        assert!(!eu.holds(&place("iad", Some("us"))));
        assert!(!eu.holds(&place("fra", None)), "its region is not known");
        assert!(Within::pop("fra".parse().unwrap()).holds(&place("fra", None)));
        assert!(!Within::pop("fra".parse().unwrap()).holds(&place("iad", None)));
        assert_eq!(serde_json::to_string(&eu).unwrap(), r#"{"region":"eu"}"#);
        assert!(
            serde_json::from_str::<Within>(r#"{"regoin":"eu"}"#).is_err(),
            "a bound that isn't understood must not be left out"
        );
    }

    #[test]
    fn a_bound_is_written_as_it_is_read() {
        for text in ["region=eu", "pop=fra", "pop=fra, region=eu"] {
            assert_eq!(text.parse::<Within>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "eu",
            "region=",
            "zone=a",
            "region=eu,region=us",
            "region=eu,",
        ] {
            assert!(text.parse::<Within>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn who_is_outside_is_told_so() {
        let eu = Within::region("eu".parse().unwrap());
        let told = |place: Option<&Place>| {
            let outside = eu.check(place, "link a -> b", "this host").unwrap_err();
            outside.to_string()
        };
        assert_eq!(
            told(Some(&place("iad", Some("us")))),
            "link a -> b is kept within region=eu; this host is in us (PoP iad)"
        );
        assert_eq!(
            told(Some(&place("iad", None))),
            "link a -> b is kept within region=eu; this host is in PoP iad, which has no label `region`"
        );
        assert_eq!(
            told(None),
            "link a -> b is kept within region=eu; this host is in no PoP: it has no label `pop`"
        );
        assert!(eu.check(Some(&place("fra", Some("eu"))), "a", "b").is_ok());
    }
}

//! How far PoPs are from the hub, made of how far they are to be from each other.
//!
//! Each PoP has one link, to the hub, so the round trip between two is the sum of theirs. What is told may leave a choice:
//! then the nearer half is as long as the farther one.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    time::Duration,
};

use trellis_lattice::{PopName, topology::HUB};

use crate::exit::Usage;

/// The longest round trip.
const MAX: Duration = Duration::from_secs(60);

/// The round trip between two: `fra-sin=120ms`. Which two, is known only with the PoPs' names, which may have dashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latency {
    between: String,
    time: Duration,
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = humantime::format_duration(self.time);
        write!(f, "--latency {}={time}", self.between)
    }
}

impl std::str::FromStr for Latency {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (between, time) = text
            .split_once('=')
            .ok_or("write it as fra-sin=120ms, or fra-hub=40ms")?;
        let time = humantime::parse_duration(time).map_err(|error| error.to_string())?;
        if time > MAX {
            return Err(format!(
                "longer than {} is no link",
                humantime::format_duration(MAX)
            ));
        }
        Ok(Self {
            between: between.to_owned(),
            time,
        })
    }
}

/// A time as unknowns have it: `constant + sign * t`, in microseconds.
#[derive(Clone, Copy, Debug)]
struct Term {
    constant: i64,
    sign: i64,
}

/// Two ends by their places among the PoPs, none for the hub, and the time between.
type Edge = (Option<usize>, Option<usize>, i64);

/// The round trip of each PoP's link to the hub.
///
/// # Errors
/// A name is unknown, or what is told doesn't fit together.
pub fn links(pops: &[PopName], told: &[Latency]) -> anyhow::Result<BTreeMap<PopName, Duration>> {
    let edges = told
        .iter()
        .map(|latency| edge(pops, latency))
        .collect::<Result<Vec<_>, _>>()?;
    let mut known: Vec<Option<i64>> = vec![None; pops.len()];
    // From the hub outwards everything is known; then part by part what hangs together.
    let mut starts = vec![None];
    starts.extend((0..pops.len()).map(Some));
    let mut done = vec![false; pops.len()];
    for start in starts {
        if start.is_some_and(|start| done.get(start).copied().unwrap_or(true)) {
            continue;
        }
        let terms = walk(start, &edges);
        let t = fit(&terms, &edges).ok_or_else(|| conflict(told))?;
        for (place, term) in terms {
            let Some(place) = place else { continue };
            if let (Some(known), Some(done)) = (known.get_mut(place), done.get_mut(place)) {
                *known = Some(term.constant + term.sign * t);
                *done = true;
            }
        }
    }
    Ok(pops
        .iter()
        .zip(known)
        .map(|(pop, micros)| {
            let micros = u64::try_from(micros.unwrap_or_default()).unwrap_or_default();
            (pop.clone(), Duration::from_micros(micros))
        })
        .collect())
}

fn edge(pops: &[PopName], latency: &Latency) -> Result<Edge, Usage> {
    let place = |name: &str| {
        let at = pops.iter().position(|pop| pop.as_str() == name);
        (name == HUB || at.is_some()).then_some(at)
    };
    let text = &latency.between;
    let mut found = text
        .match_indices('-')
        .filter_map(|(dash, _)| Some((place(text.get(..dash)?)?, place(text.get(dash + 1..)?)?)));
    let Some((one, other)) = found.next().filter(|(one, other)| one != other) else {
        let names: Vec<_> = pops.iter().map(PopName::as_str).collect();
        return Err(Usage(format!(
            "{latency}: write it as ONE-OTHER=TIME with two of {}, {HUB}",
            names.join(", ")
        )));
    };
    let micros = i64::try_from(latency.time.as_micros()).unwrap_or(i64::MAX);
    Ok((one, other, micros))
}

/// What is reached from a start, each in terms of the start's own time `t`; the hub's is nothing.
fn walk(start: Option<usize>, edges: &[Edge]) -> BTreeMap<Option<usize>, Term> {
    let sign = i64::from(start.is_some());
    let mut terms = BTreeMap::from([(start, Term { constant: 0, sign })]);
    let mut next = VecDeque::from([start]);
    while let Some(at) = next.pop_front() {
        let Some(term) = terms.get(&at).copied() else {
            continue;
        };
        for &(one, other, time) in edges {
            let there = match at {
                at if at == one => other,
                at if at == other => one,
                _ => continue,
            };
            terms.entry(there).or_insert_with(|| {
                next.push_back(there);
                Term {
                    constant: time - term.constant,
                    sign: -term.sign,
                }
            });
        }
    }
    terms
}

/// The `t` with which every edge is as long as told and nothing is shorter than nothing. None: there is none.
fn fit(terms: &BTreeMap<Option<usize>, Term>, edges: &[Edge]) -> Option<i64> {
    let (mut low, mut high) = (0, i64::MAX);
    for term in terms.values() {
        match term.sign {
            1 => low = low.max(-term.constant),
            -1 => high = high.min(term.constant),
            _ if term.constant < 0 => return None,
            _ => {}
        }
    }
    let mut fixed = None;
    for (one, other, time) in edges {
        let (Some(one), Some(other)) = (terms.get(one), terms.get(other)) else {
            continue;
        };
        let (rest, factor) = (time - one.constant - other.constant, one.sign + other.sign);
        if factor == 0 {
            if rest != 0 {
                return None;
            }
            continue;
        }
        let t = rest / factor;
        if fixed.is_some_and(|fixed| fixed != t) {
            return None;
        }
        fixed = Some(t);
    }
    let free = if high == i64::MAX {
        low
    } else {
        low.midpoint(high)
    };
    let t = fixed.unwrap_or(free);
    (low <= t && t <= high).then_some(t)
}

fn conflict(told: &[Latency]) -> Usage {
    let told: Vec<_> = told.iter().map(ToString::to_string).collect();
    Usage(format!(
        "{} don't fit together: each PoP has one link, to the hub, so the round trip between two is the sum of theirs. \
         Tell each one's own instead, as in --latency fra-hub=40ms",
        told.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn solved(told: &[&str]) -> Result<Vec<u128>, String> {
        let pops = ["fra", "iad", "sin", "us-east"].map(|name| PopName::new(name).unwrap());
        let told: Vec<Latency> = told.iter().map(|text| text.parse().unwrap()).collect();
        match links(&pops, &told) {
            Ok(links) => Ok(pops.iter().map(|pop| links[pop].as_millis()).collect()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn a_round_trip_is_shared_between_two_links() {
        assert_eq!(solved(&[]), Ok(vec![0, 0, 0, 0]));
        assert_eq!(solved(&["fra-sin=120ms"]), Ok(vec![60, 0, 60, 0]));
        assert_eq!(solved(&["fra-hub=40ms"]), Ok(vec![40, 0, 0, 0]));
        assert_eq!(solved(&["fra-us-east=100ms"]), Ok(vec![50, 0, 0, 50]));
        // With the hub there is no choice.
        assert_eq!(
            solved(&["hub-fra=40ms", "fra-sin=120ms"]),
            Ok(vec![40, 0, 80, 0])
        );
        // Nor with three of each other.
        assert_eq!(
            solved(&["fra-sin=120ms", "fra-iad=80ms", "iad-sin=160ms"]),
            Ok(vec![20, 60, 100, 0])
        );
        // A chain leaves one.
        let chain = solved(&["fra-iad=80ms", "iad-sin=160ms"]).unwrap();
        assert_eq!((chain[0] + chain[1], chain[1] + chain[2]), (80, 160));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for told in [
            &["fra-sin=10ms", "fra-hub=40ms"][..],
            &["fra-sin=10ms", "fra-sin=20ms"],
            &["fra-iad=10ms", "iad-sin=10ms", "fra-sin=100ms"],
        ] {
            let refused = solved(told).unwrap_err();
            assert!(refused.contains("fit together"), "{refused}");
        }
        for told in ["fra-fra=1ms", "fra-lhr=1ms", "fra=1ms", "hub-hub=1ms"] {
            let refused = solved(&[told]).unwrap_err();
            assert!(refused.contains("fra, iad, sin, us-east, hub"), "{refused}");
        }
        assert!("fra-sin".parse::<Latency>().is_err());
        assert!("fra-sin=2h".parse::<Latency>().is_err());
    }
}

//! One measurement: a figure of ours beside the same figure of a reference from the same run.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What belongs together, and can be measured alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Requests over HTTP.
    Requests,
    /// Calls on each route.
    Routes,
    /// Instances of actors.
    Instances,
    /// What actors take.
    Memory,
    /// Bodies through HTTP.
    Bodies,
    /// Applications deployed and changed, hosts lost.
    Convergence,
    /// `trellis up`.
    Startup,
    /// wadm's plans.
    Scheduler,
    /// Hosts that only stand there.
    Control,
    /// More requests than can be taken.
    Overload,
    /// Many actors on one host.
    Crowd,
    /// Calls through providers.
    Providers,
}

/// What a figure is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    #[serde(rename = "requests/s")]
    RequestsPerSecond,
    #[serde(rename = "calls/s")]
    CallsPerSecond,
    #[serde(rename = "µs")]
    Micros,
    #[serde(rename = "ms")]
    Millis,
    #[serde(rename = "KiB")]
    Kib,
    #[serde(rename = "MiB")]
    Mib,
    #[serde(rename = "MiB/s")]
    MibPerSecond,
    #[serde(rename = "failed requests")]
    Failed,
    #[serde(rename = "messages/s")]
    MessagesPerSecond,
    #[serde(rename = "bytes/s")]
    BytesPerSecond,
    #[serde(rename = "% of a core")]
    CorePercent,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RequestsPerSecond => "requests/s",
            Self::CallsPerSecond => "calls/s",
            Self::Micros => "µs",
            Self::Millis => "ms",
            Self::Kib => "KiB",
            Self::Mib => "MiB",
            Self::MibPerSecond => "MiB/s",
            Self::Failed => "failed requests",
            Self::MessagesPerSecond => "messages/s",
            Self::BytesPerSecond => "bytes/s",
            Self::CorePercent => "% of a core",
        })
    }
}

/// A figure as it was measured some times.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// The one in the middle.
    pub value: f64,
    /// The lowest.
    pub low: f64,
    /// The highest.
    pub high: f64,
}

impl Figure {
    /// What these come to. None of nothing.
    pub fn of(series: &[f64]) -> Option<Self> {
        let mut sorted = series.to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            value: rounded(*sorted.get(sorted.len() / 2)?),
            low: rounded(*sorted.first()?),
            high: rounded(*sorted.last()?),
        })
    }
}

/// Who was measured beside us.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// What it is.
    pub name: String,
    /// Its figure.
    #[serde(flatten)]
    pub figure: Figure,
}

/// What was set as a goal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Of the reference's figure.
    RatioAtLeast(f64),
    /// Of the reference's figure.
    RatioAtMost(f64),
    /// The figure itself.
    AtMost(f64),
    /// The figure itself.
    Below(f64),
}

/// One measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What it belongs to.
    pub group: Group,
    /// What was measured.
    pub name: String,
    /// What the figures are in.
    pub unit: Unit,
    /// Ours.
    #[serde(flatten)]
    pub ours: Figure,
    /// How often it was measured.
    pub rounds: usize,
    /// Theirs.
    pub reference: Option<Reference>,
    /// Our figure in theirs: round by round, of which it is the one in the middle.
    pub ratio: Option<f64>,
    /// What was set as a goal.
    pub target: Option<Target>,
    /// Whether it was reached.
    pub met: Option<bool>,
}

impl Row {
    /// A row of our figures, of one round each.
    ///
    /// # Errors
    /// There are none.
    pub fn new(
        group: Group,
        name: impl Into<String>,
        unit: Unit,
        ours: &[f64],
    ) -> anyhow::Result<Self> {
        let name = name.into();
        let Some(figure) = Figure::of(ours) else {
            anyhow::bail!("{name}: nothing was measured");
        };
        Ok(Self {
            group,
            name,
            unit,
            ours: figure,
            rounds: ours.len(),
            reference: None,
            ratio: None,
            target: None,
            met: None,
        })
    }

    /// Beside a reference's figures of the same rounds; ours are given again for the ratios.
    ///
    /// # Errors
    /// There are none of theirs.
    pub fn beside(
        mut self,
        name: impl Into<String>,
        ours: &[f64],
        theirs: &[f64],
    ) -> anyhow::Result<Self> {
        let name = name.into();
        let Some(figure) = Figure::of(theirs) else {
            anyhow::bail!("{}: nothing of {name} was measured", self.name);
        };
        let ratios: Vec<f64> = ours
            .iter()
            .zip(theirs)
            .filter(|(_, theirs)| **theirs > 0.0)
            .map(|(ours, theirs)| ours / theirs)
            .collect();
        self.ratio = Figure::of(&ratios).map(|ratio| ratio.value);
        self.reference = Some(Reference { name, figure });
        Ok(self)
    }

    /// With a goal.
    #[must_use]
    pub fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self.met = match target {
            Target::RatioAtLeast(least) => self.ratio.map(|ratio| ratio >= least),
            Target::RatioAtMost(most) => self.ratio.map(|ratio| ratio <= most),
            Target::AtMost(most) => Some(self.ours.value <= most),
            Target::Below(bound) => Some(self.ours.value < bound),
        };
        self
    }

    /// The goal and whether it was reached, for people.
    pub fn goal(&self) -> String {
        let Some(target) = self.target else {
            return String::new();
        };
        let unit = self.unit;
        let goal = match target {
            Target::RatioAtLeast(least) => format!("at least {least} times"),
            Target::RatioAtMost(most) => format!("at most {most} times"),
            Target::AtMost(most) => format!("at most {most} {unit}"),
            Target::Below(bound) => format!("below {bound} {unit}"),
        };
        match self.met {
            Some(true) => format!("{goal}: met"),
            Some(false) => format!("{goal}: **missed**"),
            None => goal,
        }
    }
}

/// To three places: more is noise.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

/// A number as people read it: three digits at least, thousands apart.
pub fn shown(number: f64) -> String {
    let size = number.abs();
    match size {
        _ if size >= 1000.0 => thousands(number),
        _ if !(0.005..100.0).contains(&size) => format!("{number:.0}"),
        _ if size >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

fn thousands(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0.0 {
        text.insert(0, '-');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ours: &[f64], theirs: &[f64]) -> Row {
        Row::new(Group::Routes, "a call", Unit::Micros, ours)
            .unwrap()
            .beside("a raw one", ours, theirs)
            .unwrap()
    }

    #[test]
    fn the_ratio_is_taken_within_each_round() {
        // The machine was busy in the second round: that is no fault of ours.
        let row = row(&[20.0, 90.0, 22.0], &[10.0, 30.0, 11.0]);
        assert_eq!(row.ratio, Some(2.0));
        assert_eq!(
            (row.ours.value, row.ours.low, row.ours.high),
            (22.0, 20.0, 90.0)
        );
        assert_eq!(row.reference.unwrap().figure.value, 11.0);
    }

    #[test]
    fn goals_are_reached_or_missed() {
        let row = row(&[20.0], &[10.0]);
        for (target, met, goal) in [
            (Target::RatioAtMost(2.0), true, "at most 2 times: met"),
            (
                Target::RatioAtMost(1.5),
                false,
                "at most 1.5 times: **missed**",
            ),
            (Target::RatioAtLeast(0.9), true, "at least 0.9 times: met"),
            (Target::AtMost(20.0), true, "at most 20 µs: met"),
            (Target::Below(20.0), false, "below 20 µs: **missed**"),
        ] {
            let row = row.clone().target(target);
            assert_eq!((row.met, row.goal()), (Some(met), goal.to_owned()));
        }
    }

    #[test]
    fn nothing_measured_is_no_row() {
        assert!(Row::new(Group::Memory, "x", Unit::Mib, &[]).is_err());
        // Nor is a ratio to nothing.
        assert_eq!(row(&[1.0], &[0.0]).ratio, None);
    }

    #[test]
    fn numbers_are_shown_with_three_digits_or_more() {
        for (number, text) in [
            (0.0, "0"),
            (0.004, "0"),
            (0.123, "0.12"),
            (9.876, "9.88"),
            (12.34, "12.3"),
            (123.4, "123"),
            (1234.5, "1,234"),
            (1_234_567.0, "1,234,567"),
            (-2345.0, "-2,345"),
        ] {
            assert_eq!(shown(number), text);
        }
    }

    #[test]
    fn json_gives_the_same_row_back() {
        let row = row(&[20.0], &[10.0]).target(Target::RatioAtMost(2.0));
        let json = serde_json::to_value(&row).unwrap();
        assert_eq!(json["reference"]["name"], "a raw one");
        assert_eq!(json["target"]["ratio_at_most"], 2.0);
        assert_eq!(json["unit"], "µs");
        assert_eq!(serde_json::from_value::<Row>(json).unwrap(), row);
    }
}

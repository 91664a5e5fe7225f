//! Results as a table for people and as JSON for programs, from the same rows.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::{
    machine::Machine,
    row::{Figure, Group, Row, shown},
};

/// What one run of the measurements gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// On what.
    pub machine: Machine,
    /// What.
    pub rows: Vec<Row>,
}

impl Report {
    /// Reads one that was written.
    ///
    /// # Errors
    /// It is not there, or not one.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("{} can't be read", path.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{}: measure again with --keep", path.display()))
    }

    /// Writes it as JSON.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, self.json()? + "\n")
            .with_context(|| format!("{} can't be written", path.display()))
    }

    /// As JSON.
    ///
    /// # Errors
    /// A figure is not a number.
    pub fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)?)
    }

    /// With the groups of an earlier report that were not measured this time.
    #[must_use]
    pub fn over(mut self, earlier: Self) -> Self {
        let measured: Vec<Group> = self.rows.iter().map(|row| row.group).collect();
        let kept = earlier.rows.into_iter();
        self.rows
            .extend(kept.filter(|row| !measured.contains(&row.group)));
        self.rows.sort_by_key(|row| row.group);
        self
    }

    /// A table with each figure's spread.
    pub fn table(&self) -> String {
        table(&self.rows, spread)
    }

    /// A table of one group, for the README.
    pub fn brief(&self, group: Group) -> String {
        let rows: Vec<Row> = self
            .rows
            .iter()
            .filter(|row| row.group == group)
            .cloned()
            .collect();
        table(&rows, |figure| shown(figure.value))
    }
}

fn table(rows: &[Row], figure: impl Fn(&Figure) -> String) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut text =
        "| | Trellis | reference | ratio | target |\n| --- | --- | --- | --- | --- |\n".to_owned();
    for row in rows {
        let reference = row.reference.as_ref().map_or_else(String::new, |beside| {
            format!("{} {}, {}", figure(&beside.figure), row.unit, beside.name)
        });
        text += &format!(
            "| {} | {} {} | {reference} | {} | {} |\n",
            row.name,
            figure(&row.ours),
            row.unit,
            row.ratio.map(shown).unwrap_or_default(),
            row.goal()
        );
    }
    text
}

fn spread(figure: &Figure) -> String {
    let Figure { value, low, high } = *figure;
    if low == high {
        return shown(value);
    }
    format!("{} ({} – {})", shown(value), shown(low), shown(high))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::{Target, Unit};

    fn row(group: Group, name: &str, ours: &[f64]) -> Row {
        Row::new(group, name, Unit::Millis, ours).unwrap()
    }

    fn report(rows: Vec<Row>) -> Report {
        Report {
            machine: Machine::here(),
            rows,
        }
    }

    #[test]
    fn a_table_says_figures_references_and_goals() {
        let deploy = row(Group::Convergence, "deploy", &[60.0, 50.0, 70.0])
            .beside("hyper", &[60.0, 50.0, 70.0], &[20.0, 25.0, 20.0])
            .unwrap()
            .target(Target::Below(300.0));
        let table = report(vec![deploy, row(Group::Startup, "up", &[700.0])]).table();
        let lines: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "| deploy | 60.0 (50.0 – 70.0) ms | 20.0 (20.0 – 25.0) ms, hyper | 3.00 | below 300 ms: met |",
                "| up | 700 ms |  |  |  |",
            ]
        );
    }

    #[test]
    fn what_was_not_measured_again_is_kept() {
        let earlier = report(vec![
            row(Group::Requests, "old", &[1.0]),
            row(Group::Startup, "up", &[2.0]),
        ]);
        let now = report(vec![
            row(Group::Requests, "new", &[3.0]),
            row(Group::Requests, "newer", &[4.0]),
        ]);
        let names: Vec<String> = now.over(earlier).rows.into_iter().map(|r| r.name).collect();
        assert_eq!(names, ["new", "newer", "up"]);
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/results.json");
        let report = report(vec![row(Group::Memory, "host", &[1.5])]);
        report.write(&path).unwrap();
        assert_eq!(Report::read(&path).unwrap(), report);
        let missing = Report::read(&directory.path().join("none.json")).unwrap_err();
        assert!(missing.to_string().contains("none.json"));
    }
}

//! Results as a table for people and as JSON for programs, from the same rows.

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;

use crate::{Output, requests::Row};

/// A titled table.
#[derive(Clone, Debug)]
pub struct Report {
    title: &'static str,
    head: Vec<&'static str>,
    lines: Vec<Vec<String>>,
    json: Value,
}

impl Report {
    /// A table of requests.
    ///
    /// # Errors
    /// A number has no JSON form.
    pub fn requests(rows: &[Row]) -> Result<Self> {
        let lines = rows.iter().map(Row::cells).collect();
        let head = vec![
            "work",
            "connections",
            "server",
            "requests/s",
            "p50 µs",
            "p99 µs",
            "of plain hyper",
        ];
        Self::new("requests", head, lines, &rows)
    }

    /// A table of anything.
    ///
    /// # Errors
    /// A row has no JSON form.
    pub fn new(
        title: &'static str,
        head: Vec<&'static str>,
        lines: Vec<Vec<String>>,
        rows: &impl Serialize,
    ) -> Result<Self> {
        Ok(Self {
            title,
            head,
            lines,
            json: serde_json::to_value(rows)?,
        })
    }
}

/// Prints a report.
///
/// # Errors
/// It has no JSON form.
pub fn show(output: Output, report: &Report) -> Result<()> {
    if output == Output::Json {
        println!(
            "{}",
            serde_json::json!({ "report": report.title, "rows": report.json })
        );
        return Ok(());
    }
    println!("| {} |", report.head.join(" | "));
    println!("|{}", " --- |".repeat(report.head.len()));
    for line in &report.lines {
        println!("| {} |", line.join(" | "));
    }
    println!();
    Ok(())
}

//! `cargo xtask test matrix`: what each provider that ships stands, as a table.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// The tests of the matrix begin so; `PROVIDER::ROW` follows.
pub const TESTS: &str = "matrix::";

/// How each test of the matrix ended, by its provider and its row; the rows in the order in which tests ended first.
#[derive(Default)]
struct Matrix {
    rows: Vec<String>,
    ended: BTreeMap<String, BTreeMap<String, String>>,
}

/// Runs tests whose output shows how each ended, and prints the table of those of the matrix.
///
/// # Errors
/// They can't be run, or one failed.
pub fn run(tests: &mut Command) -> Result<()> {
    let mut child = tests
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the tests")?;
    let mut matrix = Matrix::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line.context("cannot read the tests' output")?;
            println!("{line}");
            matrix.take(&line);
        }
    }
    let status = child.wait()?;
    println!("\n{}", matrix.table());
    if !status.success() {
        bail!("the tests ended with {status}");
    }
    if matrix.ended.is_empty() {
        bail!("none of the tests was one of the matrix");
    }
    Ok(())
}

impl Matrix {
    /// `test matrix::PROVIDER::ROW ... ok`; other lines are left alone.
    fn take(&mut self, line: &str) {
        let Some((name, how)) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.strip_prefix(TESTS))
            .and_then(|rest| rest.split_once(" ... "))
        else {
            return;
        };
        let Some((provider, row)) = name.split_once("::") else {
            return;
        };
        if !self.rows.iter().any(|known| known == row) {
            self.rows.push(row.to_owned());
        }
        let ended = self.ended.entry(provider.replace('_', "-")).or_default();
        ended.insert(row.to_owned(), how.to_owned());
    }

    /// In Markdown: a line for each provider, a column for each row.
    fn table(&self) -> String {
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort();
        let titles: Vec<_> = rows.iter().map(|row| row.replace('_', " ")).collect();
        let mut text = format!("| provider | {} |\n", titles.join(" | "));
        text += &"| --- ".repeat(rows.len() + 1);
        text += "|\n";
        for (provider, ended) in &self.ended {
            let cells: Vec<_> = rows
                .iter()
                .map(|row| ended.get(*row).map_or("not run", String::as_str))
                .collect();
            // A String takes everything.
            let _ = writeln!(text, "| {provider} | {} |", cells.join(" | "));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_each_provider_and_a_column_for_each_row() {
        let mut matrix = Matrix::default();
        for line in [
            "running 4 tests",
            "test matrix::every_provider_that_ships_has_its_line ... ok",
            "test matrix::keyvalue_redis::starts ... ok",
            "test matrix::keyvalue_redis::backend_down_at_start ... ok",
            "test matrix::blobstore_fs::starts ... FAILED",
            "test faults::one ... ok",
        ] {
            matrix.take(line);
        }
        assert_eq!(
            matrix.table(),
            "| provider | backend down at start | starts |\n\
             | --- | --- | --- |\n\
             | blobstore-fs | not run | FAILED |\n\
             | keyvalue-redis | ok | ok |\n"
        );
    }
}

//! The README's section on what Trellis costs: written from the results that are kept, never by hand.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use trellis_tests::actors::project;

use crate::{report::Report, row::Group};

const BEGIN: &str =
    "<!-- figures: written by `cargo xtask bench readme` from benches/results.json -->\n";
const END: &str = "<!-- end of figures -->\n";

/// The groups in their order, and what is said above each.
const GROUPS: [(Group, &str); 12] = [
    (
        Group::Requests,
        "HTTP requests through the http-server provider to an actor, a fresh instance for each:",
    ),
    (
        Group::Routes,
        "One call on each route, of 64 bytes each way:",
    ),
    (Group::Instances, "Instances:"),
    (Group::Memory, "Memory:"),
    (
        Group::Bodies,
        "Bodies through the http-server provider and an actor, over one connection; the memory is the host's and the provider's together:",
    ),
    (
        Group::Convergence,
        "How fast a lattice becomes what was declared:",
    ),
    (Group::Startup, "On a developer's machine:"),
    (Group::Scheduler, "wadm's plans, on one core:"),
    (
        Group::Control,
        "1,000 light-weight hosts on one nats-server, once all is deployed; 100 % is one core:",
    ),
    (
        Group::Overload,
        "An actor with 8 instances of 10 ms each, and 1,400 connections that ask it:",
    ),
    (Group::Crowd, "Many actors on one host:"),
    (
        Group::Providers,
        "Calls through each provider by socket, 32 at a time, beside as many by its own client; what is behind both is the same:",
    ),
];

/// The results that are kept with the project.
pub fn results() -> PathBuf {
    project().join("benches/results.json")
}

/// Writes the README's section from the kept results.
///
/// # Errors
/// There are none, or the README has no such section.
pub fn write() -> Result<()> {
    let path = project().join("README.md");
    let text = fs::read_to_string(&path)?;
    let written = replaced(&text, &section(&Report::read(&results())?))?;
    if written != text {
        fs::write(&path, written)?;
    }
    Ok(())
}

/// The README with another section.
fn replaced(text: &str, section: &str) -> Result<String> {
    let (before, rest) = text
        .split_once(BEGIN)
        .with_context(|| format!("README.md has no line {BEGIN}"))?;
    let (_, after) = rest
        .split_once(END)
        .with_context(|| format!("README.md has no line {END}"))?;
    Ok(format!("{before}{BEGIN}{section}{END}{after}"))
}

/// The section's text.
fn section(report: &Report) -> String {
    let machine = &report.machine;
    let mut text = format!(
        "\nMeasured on {}: {} cores ({}) for everything, load and servers included, Linux {}; {}. Each figure is the median of \
         {} rounds, Trellis and the reference by turns; the ratio is ours to theirs, the median of the rounds' own.\n",
        machine.day,
        machine.cores,
        machine.processor,
        machine.kernel,
        machine.programs.join(", "),
        report
            .rows
            .iter()
            .map(|row| row.rounds)
            .max()
            .unwrap_or_default(),
    );
    for (group, title) in GROUPS {
        let table = report.brief(group);
        if !table.is_empty() {
            text += &format!("\n{title}\n\n{table}");
        }
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_has_the_figures_that_were_kept() {
        let text = fs::read_to_string(project().join("README.md")).unwrap();
        let report = Report::read(&results()).unwrap();
        assert_eq!(
            text,
            replaced(&text, &section(&report)).unwrap(),
            "run `cargo xtask bench readme`"
        );
    }

    #[test]
    fn only_what_is_between_the_marks_is_written() {
        let text = format!("above\n{BEGIN}old\n{END}below\n");
        let written = replaced(&text, "new\n").unwrap();
        assert_eq!(written, format!("above\n{BEGIN}new\n{END}below\n"));
        assert!(replaced("no marks", "new").is_err());
    }

    #[test]
    fn every_group_has_its_title() {
        let report = Report::read(&results()).unwrap();
        for row in report.rows {
            assert!(
                GROUPS.iter().any(|(group, _)| *group == row.group),
                "{row:?}"
            );
        }
    }
}

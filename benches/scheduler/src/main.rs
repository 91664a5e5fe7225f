//! What a plan costs in a large lattice: time on one core and memory. Nothing runs but the scheduler: the lattice is a
//! model that does at once what it is told. A crate of its own, so that it is built without hosts and servers.

mod lattice;
mod manifests;
mod measure;

use std::io::Write as _;

use anyhow::Result;
use clap::{Parser, ValueEnum};

use measure::Report;

/// Measures how long a plan takes.
#[derive(Clone, Copy, Debug, Parser)]
#[command(
    name = "trellis-bench-scheduler",
    after_help = "Example:\n  cargo xtask bench scheduler -- --hosts 100 --pops 10 --actors 1000 --output json"
)]
struct Arguments {
    /// Hosts in the lattice.
    #[arg(long, default_value_t = 1000)]
    hosts: usize,
    /// Points of presence that the hosts are in.
    #[arg(long, default_value_t = 100)]
    pops: usize,
    /// Components of all applications together; each has 1 to 5 instances.
    #[arg(long, default_value_t = 10_000)]
    actors: usize,
    /// Applications that the components belong to.
    #[arg(long, default_value_t = 200)]
    applications: usize,
    /// How often each plan is made; the median and the longest are told.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// A table, or JSON for a program.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// How results are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A table.
    Text,
    /// One JSON document.
    Json,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let report = measure::measure(arguments)?;
    let mut out = std::io::stdout().lock();
    match arguments.output {
        Output::Text => write!(out, "{}", table(&report))?,
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
    }
    Ok(())
}

fn table(report: &Report) -> String {
    let mut text = format!(
        "{} hosts in {} PoPs, {} components of {} applications, {} instances; one core\n\n{:<24} {:>10} {:>10} {:>10} {:>10} {:>12}\n",
        report.hosts,
        report.pops,
        report.actors,
        report.applications,
        report.instances,
        "plan",
        "median ms",
        "worst ms",
        "clock ms",
        "commands",
        "until done",
    );
    for row in &report.plans {
        text += &format!(
            "{:<24} {:>10.1} {:>10.1} {:>10.1} {:>10} {:>12}\n",
            row.plan,
            row.median_ms,
            row.worst_ms,
            row.clock_median_ms,
            row.commands,
            row.commands_until_done
        );
    }
    text += &format!(
        "\nreading and checking all manifests {:.0} ms, working out the applications {:.0} ms; peak memory {} MiB\n",
        report.manifests_ms, report.desire_ms, report.peak_memory_mib
    );
    text
}

//! What Trellis costs, each figure beside a reference's from the same run, so that the ratio says something on any machine.
//!
//! What is measured:
//! - [`requests`]: hello over HTTP and the counter over Redis, beside plain hyper and `wasmtime serve`.
//! - [`routes`]: a call on each route, beside the same bytes sent without it.
//! - [`instances`]: making an instance, beside wasmtime with WASI alone.
//! - [`memory`]: a host, an actor, an instance.
//! - [`bodies`]: bodies through HTTP, and what they take of memory.
//! - [`convergence`]: an application deployed, a host killed, an image replaced under load.
//! - [`startup`]: from `trellis up` to the first answer.
//! - [`scheduler`]: wadm's plans.
//! - [`control`]: 1,000 hosts that only stand there, and wadm that watches them.
//! - [`overload`]: far more requests than an actor can take.
//! - [`crowd`]: 10,000 actors on one host.
//! - [`providers`]: calls through each provider, beside its own client.
//!
//! With what:
//! - [`row`], [`report`], [`machine`], [`readme`]: a figure, all of them, on what, and for whom.
//! - [`rounds`], [`latency`], [`load`], [`process_memory`]: how it is measured.
//! - [`reference`], [`wasmtime_serve`], [`plain_wasmtime`], [`block`]: who is measured beside us.

mod block;
mod bodies;
mod control;
mod convergence;
mod crowd;
mod instances;
mod latency;
mod load;
mod machine;
mod memory;
mod overload;
mod plain_wasmtime;
mod process_memory;
mod providers;
mod readme;
mod reference;
mod report;
mod requests;
mod rounds;
mod routes;
mod row;
mod scheduler;
mod startup;
mod wasmtime_serve;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Result, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};

use machine::Machine;
use report::Report;
use rounds::Plan;
use row::{Group, Row};

/// Measures Trellis. Needs `cargo build --release` and `cargo xtask guests` before; `cargo xtask bench` does all of it.
#[derive(Debug, Parser)]
#[command(
    name = "trellis-bench",
    after_help = "Examples:\n  trellis-bench requests --quick\n  trellis-bench routes --rounds 3 --output json\n  trellis-bench --keep"
)]
struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    how: How,
}

/// How it is measured, and where results go.
#[derive(Debug, Args)]
struct How {
    /// Few and short rounds: to see whether it works, and roughly.
    #[arg(long, global = true)]
    quick: bool,
    /// How long one measurement of a load lasts [default: 2]
    #[arg(long, global = true, value_name = "SECONDS")]
    seconds: Option<f64>,
    /// How often each load is measured; the median counts [default: 5]
    #[arg(long, global = true, value_name = "NUMBER")]
    rounds: Option<usize>,
    /// How often a deploy or the loss of a host is tried [default: 7]
    #[arg(long, global = true, value_name = "NUMBER")]
    trials: Option<usize>,
    /// What is printed: a table, or JSON for a program.
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Writes the results as JSON to this file too.
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Keeps the results with the project, in benches/results.json, and writes the README's figures from them. Groups that
    /// are not measured this time keep their earlier ones.
    #[arg(long, global = true)]
    keep: bool,
}

/// How results are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A table.
    Text,
    /// One JSON document.
    Json,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Everything below, one after the other; so it is without a subcommand.
    All,
    /// Requests over HTTP, to an actor alone and to one with a Redis.
    Requests,
    /// Calls on each route.
    Routes,
    /// Making an instance.
    Instances,
    /// Memory of a host, an actor, an instance.
    Memory,
    /// Bodies through HTTP: how fast, and how much memory they take.
    Bodies,
    /// How fast a lattice becomes as declared: a deploy, a host killed, an update under load.
    Convergence,
    /// Time from `trellis up` to the first answer.
    Startup,
    /// Plans for a lattice of 1,000 hosts.
    Scheduler,
    /// Messages and processor time of 1,000 hosts that only stand there.
    Control,
    /// Far more requests than an actor can take.
    Overload,
    /// 10,000 different actors on one host (1,000 with `--quick`). Takes some ten minutes and 4 GiB, and is measured only
    /// when it is named.
    Crowd,
    /// Calls through each provider, beside the client that it is made of. Some two minutes; measured only when it is named.
    Providers,
    /// Only writes the README's figures from the results that were kept.
    Readme,
    /// The plain hyper server itself.
    #[command(hide = true)]
    Reference {
        /// The port on the loopback.
        port: u16,
        /// Counts in the Redis at that URL.
        #[arg(long)]
        redis: Option<String>,
    },
    /// The other process of a call.
    #[command(hide = true, subcommand)]
    Peer(routes::peer::Peer),
}

const ALL: [Group; 10] = [
    Group::Requests,
    Group::Routes,
    Group::Instances,
    Group::Memory,
    Group::Bodies,
    Group::Convergence,
    Group::Startup,
    Group::Scheduler,
    Group::Control,
    Group::Overload,
];

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let Arguments { what, how } = Arguments::parse();
    let group = match what.unwrap_or(What::All) {
        What::All => return how.measure(&ALL).await,
        What::Requests => Group::Requests,
        What::Routes => Group::Routes,
        What::Instances => Group::Instances,
        What::Memory => Group::Memory,
        What::Bodies => Group::Bodies,
        What::Convergence => Group::Convergence,
        What::Startup => Group::Startup,
        What::Scheduler => Group::Scheduler,
        What::Control => Group::Control,
        What::Overload => Group::Overload,
        What::Crowd => Group::Crowd,
        What::Providers => Group::Providers,
        What::Readme => return readme::write(),
        What::Reference { port, redis } => return reference::serve(port, redis).await,
        What::Peer(peer) => return peer.run().await,
    };
    how.measure(&[group]).await
}

impl How {
    /// Measures groups one after the other. One that fails does not keep the others from being measured.
    async fn measure(self, groups: &[Group]) -> Result<()> {
        let plan = self.plan();
        let machine = Machine::here();
        let (mut rows, mut failed) = (Vec::new(), Vec::new());
        for group in groups {
            eprintln!("measuring {group:?}");
            match measure(*group, &plan).await {
                Ok(measured) => rows.extend(measured),
                Err(error) => {
                    eprintln!("{group:?}: {error:#}");
                    failed.push(group);
                }
            }
        }
        let report = Report { machine, rows };
        match self.output {
            Output::Text => println!("{}", report.table()),
            Output::Json => println!("{}", report.json()?),
        }
        if let Some(path) = &self.json {
            report.write(path)?;
        }
        if self.keep {
            let path = readme::results();
            let kept = match Report::read(&path) {
                Ok(earlier) => report.over(earlier),
                Err(_) if !path.exists() => report,
                Err(error) => return Err(error),
            };
            kept.write(&path)?;
            readme::write()?;
        }
        if !failed.is_empty() {
            bail!("could not be measured: {failed:?}");
        }
        Ok(())
    }

    fn plan(&self) -> Plan {
        let (seconds, rounds, trials) = if self.quick { (0.3, 3, 1) } else { (2.0, 5, 7) };
        let seconds = self.seconds.unwrap_or(seconds).clamp(0.05, 3600.0);
        Plan {
            lasting: Duration::from_secs_f64(seconds),
            rounds: self.rounds.unwrap_or(rounds).max(1),
            trials: self.trials.unwrap_or(trials).max(1),
            crowd: if self.quick { 1000 } else { 10_000 },
        }
    }
}

async fn measure(group: Group, plan: &Plan) -> Result<Vec<Row>> {
    match group {
        Group::Requests => requests::measure(plan).await,
        Group::Routes => routes::measure(plan).await,
        Group::Instances => instances::measure(plan).await,
        Group::Memory => memory::measure(plan).await,
        Group::Bodies => bodies::measure(plan).await,
        Group::Convergence => convergence::measure(plan).await,
        Group::Startup => startup::measure(plan).await,
        Group::Scheduler => scheduler::measure(plan).await,
        Group::Control => control::measure(plan).await,
        Group::Overload => overload::measure(plan).await,
        Group::Crowd => crowd::measure(plan).await,
        Group::Providers => providers::measure(plan).await,
    }
}

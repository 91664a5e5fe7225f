//! What Trellis costs, measured against a plain hyper server in the same run, so that the ratio says
//! something on any machine.
//!
//! - [`requests`]: hello over HTTP and the counter over Redis, at 1 and 32 connections.
//! - [`startup`]: from `trellis up` to the first answer, cold and warm.
//! - [`convergence`]: a host killed, an application deployed, an image replaced under load.
//! - [`memory`]: an idle host, and one with 100 different actors.

mod convergence;
mod load;
mod memory;
mod reference;
mod report;
mod requests;
mod startup;

use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};

/// Measures Trellis. Needs `cargo build --release` and `cargo xtask guests` before; `cargo xtask bench` does all of it.
#[derive(Debug, Parser)]
#[command(
    name = "trellis-bench",
    after_help = "Example:\n  trellis-bench requests --seconds 5 --rounds 3 --output json"
)]
struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    /// A table, or JSON for a program.
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
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

#[derive(Debug, Subcommand)]
enum What {
    /// Everything below, one after the other; so it is without a subcommand.
    All,
    /// Requests a second and latency, of Trellis and of the reference by turns.
    Requests {
        /// How long each measurement lasts, in seconds.
        #[arg(long, default_value_t = 5)]
        seconds: u64,
        /// How often each is measured; the median counts.
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
    /// Time from `trellis up` to the first answer.
    Startup,
    /// Memory of a host.
    Memory,
    /// How fast a lattice becomes as declared: a host killed, a deploy, an update under load.
    Convergence {
        /// How often each is tried.
        #[arg(long, default_value_t = 10)]
        trials: usize,
    },
    /// The plain hyper server itself: answers a greeting, or counts in the Redis at that URL.
    #[command(hide = true)]
    Reference {
        /// The port on the loopback.
        port: u16,
        /// Where Redis is.
        #[arg(long)]
        redis: Option<String>,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let output = arguments.output;
    match arguments.what.unwrap_or(What::All) {
        What::All => {
            report::show(output, &requests::measure(Duration::from_secs(5), 3).await?)?;
            report::show(output, &startup::measure().await?)?;
            report::show(output, &memory::measure().await?)?;
            report::show(output, &convergence::measure(10).await?)
        }
        What::Requests { seconds, rounds } => report::show(
            output,
            &requests::measure(Duration::from_secs(seconds.max(1)), rounds.max(1)).await?,
        ),
        What::Startup => report::show(output, &startup::measure().await?),
        What::Memory => report::show(output, &memory::measure().await?),
        What::Convergence { trials } => {
            report::show(output, &convergence::measure(trials.max(1)).await?)
        }
        What::Reference { port, redis } => reference::serve(port, redis).await,
    }
}

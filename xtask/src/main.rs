//! `cargo xtask`: everything that is done to this repository, from the first
//! run on a bare machine to the checks of the continuous integration.

use std::process::ExitCode;

use clap::Parser;

mod bench;
mod build;
mod compose;
mod guests;
mod layout;
mod matrix;
mod process;
mod progress;
mod setup;
mod sign;
mod sim;
mod test;
mod up;

use layout::Layout;
use progress::say;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Sets up, builds, runs, tests and measures Trellis",
    after_help = "Examples:\n  \
        cargo xtask up                     a lattice on this machine, with the counter deployed\n  \
        cargo xtask test                   every check and every test, as in CI\n  \
        cargo xtask test two_hosts         only the tests whose name holds 'two_hosts'\n  \
        cargo xtask test matrix            what each provider that ships stands, as a table\n  \
        cargo xtask guests                 only the actors, into target/actors"
)]
enum Command {
    /// Build everything that is missing, start a lattice here and deploy an application
    Up(up::Up),
    /// Install what is missing on this machine: nats-server, the actors' toolchain, Redis
    Setup(setup::Setup),
    /// Build the trellis binary (release)
    Build,
    /// Build the actors into target/actors
    Guests,
    /// Run every check and every test, as CI does
    Test(test::Test),
    /// Build and run the measurements
    Bench(bench::Bench),
    /// Run the application manager's simulator: random faults, each run repeatable by its seed
    Sim(sim::Sim),
}

fn main() -> ExitCode {
    match run(Command::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not with Debug: a backtrace of this program helps nobody.
            say(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    let layout = Layout::find()?;
    match command {
        Command::Up(up) => up.run(&layout),
        Command::Setup(setup) => setup.run(&layout),
        Command::Build => build::trellis(&layout),
        Command::Guests => {
            let toolchain = setup::guest_toolchain(&layout)?;
            guests::build(&layout, &toolchain).map(drop)
        }
        Command::Test(test) => test.run(&layout),
        Command::Bench(bench) => bench.run(&layout),
        Command::Sim(sim) => sim.run(&layout),
    }
}

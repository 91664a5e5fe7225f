//! `cargo xtask bench`: the measurements that the README quotes.

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::layout::Layout;
use crate::process::{clean, run, with_programs};
use crate::{build, guests, setup};

/// The measuring program.
const BENCH: &str = "trellis-bench";
/// The one for wadm's scheduler, which needs no host built.
const SCHEDULER: &str = "trellis-bench-scheduler";

#[derive(Args)]
#[command(after_help = "Examples:\n  \
        cargo xtask bench                          all of it, as a table and in target/bench.json\n  \
        cargo xtask bench -- --keep                also into benches/results.json and the README\n  \
        cargo xtask bench -- requests --quick      a part of it, roughly\n  \
        cargo xtask bench -- providers             each provider beside its own client\n  \
        cargo xtask bench scheduler -- --output json")]
pub struct Bench {
    /// Something that needs no actors and no servers; without it all is measured
    what: Option<Alone>,
    /// Arguments for the measuring program
    #[arg(last = true)]
    args: Vec<String>,
}

/// What is done alone.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Alone {
    /// Only plans for a lattice of 1,000 hosts, with all that can be set
    Scheduler,
    /// Nothing is measured: the README's figures are written from benches/results.json
    Readme,
}

impl Bench {
    pub fn run(self, layout: &Layout) -> Result<()> {
        match self.what {
            Some(Alone::Scheduler) => {
                build::binary(layout, SCHEDULER)?;
                return run(clean(layout.binary(SCHEDULER)).args(&self.args));
            }
            Some(Alone::Readme) => {
                build::binary(layout, BENCH)?;
                return run(clean(layout.binary(BENCH)).arg("readme"));
            }
            None => {}
        }
        let nats_server = setup::nats_server(layout)?;
        setup::redis_server()?;
        // The only part that needs them.
        if self.args.iter().any(|arg| arg == "providers") {
            setup::postgres_server()?;
            setup::mosquitto_broker()?;
            setup::s3_server(layout)?;
        }
        let toolchain = setup::guest_toolchain(layout)?;
        guests::build(layout, &toolchain)?;
        build::trellis(layout)?;
        build::binary(layout, BENCH)?;
        build::binary(layout, SCHEDULER)?;
        let mut bench = clean(layout.binary(BENCH));
        bench
            .current_dir(layout.root())
            .arg("--json")
            .arg(layout.measured())
            .args(&self.args);
        with_programs(&mut bench, layout, &nats_server)?;
        run(&mut bench)
    }
}

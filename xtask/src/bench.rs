//! `cargo xtask bench`: the measurements that the README quotes.

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::layout::Layout;
use crate::process::{clean, run, with_programs};
use crate::{build, guests, setup};

#[derive(Args)]
#[command(
    after_help = "Examples:\n  cargo xtask bench\n  cargo xtask bench -- --help\n  cargo xtask bench scheduler -- --output json"
)]
pub struct Bench {
    /// Something that needs no actors and no servers; without it all else is measured
    what: Option<Alone>,
    /// Arguments for the measuring program
    #[arg(last = true)]
    args: Vec<String>,
}

/// What is measured alone.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Alone {
    /// Plans for a lattice of 1,000 hosts
    Scheduler,
}

impl Bench {
    pub fn run(self, layout: &Layout) -> Result<()> {
        if let Some(Alone::Scheduler) = self.what {
            build::binary(layout, "trellis-bench-scheduler")?;
            return run(clean(layout.binary("trellis-bench-scheduler")).args(&self.args));
        }
        let nats_server = setup::nats_server(layout)?;
        setup::redis_server()?;
        let toolchain = setup::guest_toolchain(layout)?;
        guests::build(layout, &toolchain)?;
        build::trellis(layout)?;
        build::binary(layout, "trellis-bench")?;
        let mut bench = clean(layout.binary("trellis-bench"));
        bench.current_dir(layout.root()).args(&self.args);
        with_programs(&mut bench, layout, &nats_server)?;
        run(&mut bench)
    }
}

//! `cargo xtask sim`: the application manager's simulator, by seed.

use anyhow::Result;
use clap::Args;

use crate::layout::Layout;
use crate::process::{cargo, run};

#[derive(Args)]
#[command(
    after_help = "Examples:\n  cargo xtask sim                      as many runs as in CI\n  cargo xtask sim --runs 20000         more of them\n  cargo xtask sim --seed 17            one run, with all that happens in it"
)]
pub struct Sim {
    /// The first run's seed; alone, that run with all that happens in it
    #[arg(long)]
    seed: Option<u64>,
    /// How many runs, one seed after the other
    #[arg(long)]
    runs: Option<u64>,
}

impl Sim {
    pub fn run(self, layout: &Layout) -> Result<()> {
        let mut command = cargo(layout);
        command
            .args(["test", "--release", "--package", "trellis-wadm"])
            .args([
                "--test",
                "sim",
                "--",
                "--nocapture",
                "whatever_happens",
                "pops_that_are_cut_off",
            ]);
        for (name, value) in [
            ("TRELLIS_SIM_SEED", self.seed),
            ("TRELLIS_SIM_RUNS", self.runs),
        ] {
            match value {
                Some(value) => command.env(name, value.to_string()),
                None => command.env_remove(name),
            };
        }
        run(&mut command)
    }
}

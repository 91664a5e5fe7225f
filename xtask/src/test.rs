//! `cargo xtask test`: every check and every test, cheapest first. It ends at
//! the first step that fails and says how long each took.

use std::path::Path;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::layout::Layout;
use crate::process::{cargo, clean, probe, run, with_programs};
use crate::progress::{Steps, say};
use crate::{build, compose, guests, matrix, setup};

#[derive(Args)]
#[command(
    after_help = "Examples:\n  cargo xtask test\n  cargo xtask test two_hosts\n  cargo xtask test matrix\n  \
        cargo xtask test compose",
    args_conflicts_with_subcommands = true
)]
pub struct Test {
    #[command(subcommand)]
    apart: Option<Apart>,
    /// Run only the tests whose name holds this; the other checks are left out
    filter: Option<String>,
}

/// What is tested apart from everything else.
#[derive(Subcommand)]
enum Apart {
    /// The Dockerfile and docker-compose.yml, on a Docker engine
    Compose(compose::Compose),
    /// What each provider that ships stands, as a table
    Matrix,
}

impl Test {
    pub fn run(self, layout: &Layout) -> Result<()> {
        let (is_matrix, filter) = match self.apart {
            Some(Apart::Compose(compose)) => return compose.run(layout),
            Some(Apart::Matrix) => (true, Some(matrix::TESTS.to_owned())),
            None => (false, self.filter),
        };
        let mut steps = Steps::begin();
        let nats_server = steps.step("setup: nats-server", || setup::nats_server(layout))?;
        steps.step("setup: redis-server", setup::redis_server)?;
        steps.step("setup: mosquitto", setup::mosquitto_broker)?;
        steps.step("setup: postgresql", setup::postgres_server)?;
        steps.step("setup: rclone, for S3", || setup::s3_server(layout))?;
        steps.step("setup: docker-registry", setup::docker_registry)?;
        let toolchain = steps.step("setup: actors' toolchain", || {
            setup::guest_toolchain(layout)
        })?;
        let advisories = match &filter {
            Some(filter) => {
                say(format_args!(
                    "only the tests that match '{filter}': no format, licence and lint checks"
                ));
                None
            }
            None => {
                steps.step("format", || format(layout))?;
                let deny = steps.step("setup: cargo-deny", || setup::cargo_deny(layout))?;
                Some(steps.step("dependencies", || dependencies(layout, &deny))?)
            }
        };
        steps.step("actors", || guests::build(layout, &toolchain))?;
        if filter.is_none() {
            steps.step("clippy", || clippy(layout))?;
        }
        if is_matrix {
            steps.step("build", || build::trellis(layout))?;
            steps.step("matrix", || {
                let mut command = cargo(layout);
                with_programs(&mut command, layout, &nats_server)?;
                let tests = ["test", "--release", "--workspace", "--test", "lattice"];
                matrix::run(command.args(tests).arg(matrix::TESTS))
            })?;
            steps.end();
            return Ok(());
        }
        let tests = |args: &[&str]| tests(layout, &nats_server, args);
        steps.step("build", || build::with_tests(layout))?;
        let filter: Vec<&str> = filter.iter().map(String::as_str).collect();
        // Every failure of a run counts, not only the first one's.
        let all = [&["--no-fail-fast"], &filter[..]].concat();
        steps.step("tests", || tests(&[&PROGRAMS[..], &all].concat()))?;
        steps.step("documentation's examples", || {
            tests(&[&["--doc"], &all[..]].concat())
        })?;
        steps.end();
        if let Some(Advisories::OutOfReach) = advisories {
            // Again, where it is not lost above thousands of lines.
            say(Advisories::OUT_OF_REACH);
        }
        Ok(())
    }
}

fn format(layout: &Layout) -> Result<()> {
    run(cargo(layout).args(["fmt", "--all", "--check"]))?;
    run(cargo(layout)
        .args(["fmt", "--all", "--check", "--manifest-path"])
        .arg(layout.actors_workspace()))
}

/// Whether the list of known advisories could be had.
enum Advisories {
    Checked,
    OutOfReach,
}

impl Advisories {
    const OUT_OF_REACH: &str = "!! THE ADVISORIES WERE NOT CHECKED: their database cannot be \
        fetched here. Run `cargo xtask test` where it can.";
}

/// Licences, bans and sources always; advisories where their database can be fetched.
fn dependencies(layout: &Layout, deny: &Path) -> Result<Advisories> {
    let deny = |args: &[&str]| {
        let mut command = clean(deny);
        command.current_dir(layout.root()).args(args);
        command
    };
    run(&mut deny(&[
        "--workspace",
        "check",
        "licenses",
        "bans",
        "sources",
    ]))?;
    if probe(&mut deny(&["fetch", "db"])).is_none() {
        say(Advisories::OUT_OF_REACH);
        return Ok(Advisories::OutOfReach);
    }
    run(&mut deny(&["--workspace", "check", "advisories"]))?;
    Ok(Advisories::Checked)
}

fn clippy(layout: &Layout) -> Result<()> {
    let fatal = ["--", "--deny", "warnings"];
    run(cargo(layout)
        .args(["clippy", "--release", "--workspace", "--all-targets"])
        .args(fatal))?;
    // For the host, not for WebAssembly: that target's toolchain may have no clippy.
    run(cargo(layout)
        .args(["clippy", "--release", "--manifest-path"])
        .arg(layout.actors_workspace())
        .arg("--target-dir")
        .arg(layout.guests())
        .args(fatal))
}

/// What has tests in it. The programs in `examples/` have none: that they compile is clippy's business, and to link them
/// would cost minutes.
const PROGRAMS: [&str; 3] = ["--lib", "--bins", "--tests"];

/// Runs the workspace's tests, those that are asked for.
fn tests(layout: &Layout, nats_server: &Path, args: &[&str]) -> Result<()> {
    let mut command = cargo(layout);
    with_programs(&mut command, layout, nats_server)?;
    run(command
        .args(["test", "--release", "--workspace"])
        .args(args))
}

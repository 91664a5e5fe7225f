//! The trellis binary: a whole lattice (`trellis up`), each of its roles, and the tools to look at it
//! and to change it.
//!
//! - [`command`]: every command, and which room carries it out.
//! - [`session`]: the options that all share, and the connection to the lattice they name.
//! - [`output`], [`exit`], [`log`]: what is printed, what the exit code says, what is logged; [`environment`]: where a wrong
//!   argument is from.
//! - [`health`]: whether a role does its work.
//! - [`get`], [`app`], [`link`], [`config`], [`label`], [`run`]: the lattice, looked at and changed.
//! - [`up`]: a lattice of its own; [`host`], [`wadm`], [`provider`]: one role each; [`ending`]: how they end.
//! - [`call`]: one call of a component's function.
//! - [`lattice`]: the NATS servers that a lattice in many points of presence is made of.
//! - [`new`]: projects to begin with.
//! - [`keys`], [`sign`], [`pack`], [`inspect`], [`state`]: files, without a lattice.
//! - [`push`], [`pull`], [`registry`]: files to registries and back.

mod app;
mod call;
mod command;
mod config;
mod ending;
mod environment;
mod exit;
mod get;
mod health;
mod host;
mod inspect;
mod keys;
mod label;
mod lattice;
mod link;
mod log;
mod new;
mod output;
mod pack;
mod provider;
mod pull;
mod push;
mod registry;
mod run;
mod session;
mod sign;
mod state;
mod up;
mod wadm;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

/// A call makes and drops many small things, often on different threads: that is what this one is good at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    spare_memory();
    let cli = match command::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let variable = environment::to_blame(&error, &command::Cli::command());
            return exit::parsed(&error, variable.as_deref(), output::Format::asked_for());
        }
    };
    let format = cli.format();
    match command::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report(&error, format),
    }
}

/// The allocator asks for huge pages, which are taken whole for a few bytes: a host with a hundred actors takes a third less
/// memory without them. Children keep to it, too.
fn spare_memory() {
    // Where the kernel refuses, it decides as it does for every program. There is no log yet to tell it.
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_thp_disable(true);
}

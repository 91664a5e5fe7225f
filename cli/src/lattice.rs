//! `trellis lattice`: what a lattice in many points of presence is made of.

mod address;
pub mod config;
pub mod files;
pub mod keys;

use clap::Subcommand;

use crate::session::Options;

/// What to do with it.
#[derive(Subcommand, Debug)]
pub enum LatticeCommand {
    /// Make the configuration of the hub's NATS server, or of a PoP's, with its users and what each may do.
    #[command(after_help = "Example:\n  \
            trellis lattice config --hub --pops fra,iad --out hub\n  \
            trellis lattice config --pop fra --region eu --hub-url nats-leaf://hub.example.com:7422 --out fra\n\n\
            Keys are made once, in the state's folder, and kept; a configuration holds public keys only. After a new PoP, \
            make the hub's configuration again and have its server read it (`nats-server --signal reload`).")]
    Config(Box<config::ServerConfig>),
}

impl LatticeCommand {
    /// Does it.
    ///
    /// # Errors
    /// An argument doesn't fit, or a file can't be written.
    pub fn run(self, options: &Options) -> anyhow::Result<()> {
        match self {
            Self::Config(config) => config.run(options),
        }
    }
}

//! `trellis new`: projects to begin with.

mod provider;
mod source;

use clap::Subcommand;

use crate::session::Options;

/// What to begin.
#[derive(Subcommand, Debug)]
pub enum New {
    /// Write a capability provider with an interface of its own, its test and a manifest; nothing is overwritten.
    #[command(
        after_help = "Example:\n  trellis new provider parking\n  cd parking && cargo test\n\ndocs/providers.md goes on from there."
    )]
    Provider(provider::Provider),
}

impl New {
    /// Does it.
    ///
    /// # Errors
    /// The name can't be one, something of that name is there, or it can't be written.
    pub fn run(self, options: &Options) -> anyhow::Result<()> {
        match self {
            Self::Provider(provider) => provider.run(options),
        }
    }
}

//! `trellis provider`: a built-in provider, in this process. A host starts it so, and gives it its host data on
//! standard input. Providers of one's own are packed here.

use std::{future::Future, io::IsTerminal as _, pin::Pin};

use clap::{Args, Subcommand};
use trellis_provider::RunError;

use crate::{
    exit::{NotFound, Usage},
    pack::Pack,
    session::Options,
};

/// A provider's whole life.
type Run = fn() -> Pin<Box<dyn Future<Output = Result<(), RunError>>>>;

/// Every built-in provider by its name in `builtin:NAME`.
const PROVIDERS: &[(&str, Run)] = &[
    (trellis_blobstore_fs::NAME, || {
        Box::pin(trellis_blobstore_fs::run())
    }),
    (trellis_blobstore_s3::NAME, || {
        Box::pin(trellis_blobstore_s3::run())
    }),
    (trellis_http_client::NAME, || {
        Box::pin(trellis_http_client::run())
    }),
    (trellis_http_server::NAME, || {
        Box::pin(trellis_http_server::run())
    }),
    (trellis_keyvalue_nats::NAME, || {
        Box::pin(trellis_keyvalue_nats::run())
    }),
    (trellis_keyvalue_redis::NAME, || {
        Box::pin(trellis_keyvalue_redis::run())
    }),
    (trellis_messaging_mqtt::NAME, || {
        Box::pin(trellis_messaging_mqtt::run())
    }),
    (trellis_messaging_nats::NAME, || {
        Box::pin(trellis_messaging_nats::run())
    }),
    (trellis_sqldb_postgres::NAME, || {
        Box::pin(trellis_sqldb_postgres::run())
    }),
];

/// A built-in provider to run.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Provider {
    #[command(subcommand)]
    tool: Option<Tool>,
    /// Its name.
    #[arg(required = true)]
    name: Option<String>,
}

/// What is done with providers before a host has them.
#[derive(Debug, Subcommand)]
enum Tool {
    /// Pack a provider's binaries, one for each kind of machine, into one signed archive.
    Pack(Box<Pack>),
}

/// The names of the built-in providers.
pub fn names() -> impl Iterator<Item = &'static str> {
    PROVIDERS.iter().map(|(name, _)| *name)
}

impl Provider {
    /// Runs it until its host tells it to end, or packs one.
    ///
    /// # Errors
    /// There is no such provider, nobody gives it host data, or it can't start.
    pub async fn run(self, options: &Options) -> anyhow::Result<()> {
        if let Some(Tool::Pack(pack)) = self.tool {
            return pack.run(options);
        }
        let wanted = self.name.unwrap_or_default();
        let Some((name, run)) = PROVIDERS.iter().find(|(name, _)| *name == wanted) else {
            let known = names().collect::<Vec<_>>().join(", ");
            return Err(NotFound(format!(
                "no built-in provider {:?}: there is {known}",
                wanted
            ))
            .into());
        };
        if std::io::stdin().is_terminal() {
            return Err(Usage(format!(
                "a provider is started by a host, which gives it its host data on standard input; to have one \
                 start it: `trellis start provider ID builtin:{name}`"
            ))
            .into());
        }
        Ok(run().await?)
    }
}

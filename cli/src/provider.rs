//! `trellis provider`: a built-in provider, in this process. A host starts it so, and gives it its host data on
//! standard input. Providers of one's own are packed here.

use std::{fmt, future::Future, io::IsTerminal as _, pin::Pin};

use clap::{Args, Subcommand};
use serde::Serialize;
use trellis_provider::RunError;

use crate::{
    exit::{NotFound, Usage},
    pack::Pack,
    session::Options,
};

/// A provider's whole life.
type Run = fn() -> Pin<Box<dyn Future<Output = Result<(), RunError>>>>;

/// A built-in provider.
struct BuiltIn {
    /// Its name in `builtin:NAME`.
    name: &'static str,
    run: Run,
    /// What it does, and how it and its links are configured.
    readme: &'static str,
}

/// A built-in provider by its crate and folder.
macro_rules! built_in {
    ($provider:ident, $folder:literal) => {
        BuiltIn {
            name: $provider::NAME,
            run: || Box::pin($provider::run()),
            readme: include_str!(concat!("../../providers/", $folder, "/README.md")),
        }
    };
}

/// Every one of them.
const PROVIDERS: &[BuiltIn] = &[
    built_in!(trellis_blobstore_fs, "blobstore-fs"),
    built_in!(trellis_blobstore_s3, "blobstore-s3"),
    built_in!(trellis_http_client, "http-client"),
    built_in!(trellis_http_server, "http-server"),
    built_in!(trellis_keyvalue_nats, "keyvalue-nats"),
    built_in!(trellis_keyvalue_redis, "keyvalue-redis"),
    built_in!(trellis_messaging_mqtt, "messaging-mqtt"),
    built_in!(trellis_messaging_nats, "messaging-nats"),
    built_in!(trellis_sqldb_postgres, "sqldb-postgres"),
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
    /// Print what it does and each key of its configuration and its links', instead of running it.
    #[arg(long)]
    explain: bool,
}

/// What `--explain` prints.
#[derive(Serialize)]
struct Explanation {
    name: &'static str,
    readme: &'static str,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.readme)
    }
}

/// What is done with providers before a host has them.
#[derive(Debug, Subcommand)]
enum Tool {
    /// Pack a provider's binaries, one for each kind of machine, into one signed archive.
    Pack(Box<Pack>),
}

/// The names of the built-in providers.
pub fn names() -> impl Iterator<Item = &'static str> {
    PROVIDERS.iter().map(|built_in| built_in.name)
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
        let Some(built_in) = PROVIDERS.iter().find(|built_in| built_in.name == wanted) else {
            let known = names().collect::<Vec<_>>().join(", ");
            return Err(NotFound(format!(
                "no built-in provider {:?}: there is {known}",
                wanted
            ))
            .into());
        };
        let BuiltIn { name, run, readme } = built_in;
        if self.explain {
            return Ok(options.output.print(&Explanation { name, readme })?);
        }
        if std::io::stdin().is_terminal() {
            return Err(Usage(format!(
                "a provider is started by a host, which gives it its host data on standard input; to have one \
                 start it: `trellis start provider ID builtin:{name}`; how it is configured: `trellis provider {name} --explain`"
            ))
            .into());
        }
        Ok(run().await?)
    }
}

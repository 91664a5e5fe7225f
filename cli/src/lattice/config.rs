//! `trellis lattice config`: a NATS server's configuration.

use std::{fmt, path::PathBuf};

use clap::{ArgGroup, Args};
use serde::Serialize;
use trellis_lattice::{
    PopName, RegionName,
    topology::{Buckets, Data, HUB, Hub, LEAF_FILE, Pop, Role, Server, Tls, check_pop},
};

use super::{address, files, keys::Keys};
use crate::session::Options;

/// Which server's, and how it is.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("server").required(true).args(["hub", "pop"])))]
pub struct ServerConfig {
    /// The hub's.
    #[arg(long)]
    hub: bool,
    /// That PoP's.
    #[arg(long, value_name = "NAME")]
    pop: Option<PopName>,
    /// With --hub: PoPs whose leaf nodes may connect, beside those whose keys are there.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "NAMES",
        conflicts_with = "pop"
    )]
    pops: Vec<PopName>,
    /// With --pop: its region.
    #[arg(long, value_name = "NAME", conflicts_with = "hub")]
    region: Option<RegionName>,
    /// With --pop: where the hub's leaf node port is; repeatable, for a hub of several servers [default:
    /// nats-leaf://hub:7422].
    #[arg(long = "hub-url", value_name = "URL", conflicts_with = "hub", value_parser = address::hub_url)]
    hub_urls: Vec<String>,
    /// Where clients connect.
    #[arg(long, default_value = "0.0.0.0:4222", value_name = "ADDRESS:PORT", value_parser = address::listen)]
    listen: String,
    /// With --hub: where leaf nodes connect [default: 0.0.0.0:7422].
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "pop", value_parser = address::listen)]
    leaf_listen: Option<String>,
    /// Where the server tells of itself over HTTP, which says much and asks nobody who he is [default: nowhere].
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address::listen)]
    monitor: Option<String>,
    /// The folder of the server's JetStream.
    #[arg(long, default_value = "/var/lib/nats", value_name = "FOLDER")]
    store: String,
    /// The file of the server's certificate (PEM), as the server finds it: it then speaks TLS with clients and leaf nodes.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<String>,
    /// The file of the certificate's key.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<String>,
    /// With --pop: the file of the authority (PEM) that vouches for the hub's certificate; the URL is then tls://.
    #[arg(long, value_name = "FILE", conflicts_with = "hub")]
    hub_ca: Option<String>,
    #[command(flatten)]
    data: DataSettings,
    /// Write it as nats.conf into this folder, with the seeds of those who connect to it, instead of printing it.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// What providers may use of NATS beside the lattice's calls. The same for the hub and the PoPs.
#[derive(Args, Clone, Debug)]
pub struct DataSettings {
    /// A bucket that keyvalue-nats may use, which you have made; repeatable [default: all but the lattice's own, which it
    /// may make too].
    #[arg(long = "bucket", value_name = "NAME", conflicts_with = "no_buckets")]
    buckets: Vec<String>,
    /// Providers use no bucket.
    #[arg(long)]
    no_buckets: bool,
    /// A subject that messaging-nats may use, such as 'orders.>'; repeatable.
    #[arg(long = "provider-subject", value_name = "SUBJECT")]
    provider_subjects: Vec<String>,
}

impl DataSettings {
    /// It, checked.
    ///
    /// # Errors
    /// A name is none, or the lattice's own.
    pub fn data(&self, options: &Options) -> anyhow::Result<Data> {
        let buckets = if self.no_buckets || !self.buckets.is_empty() {
            Buckets::Named(self.buckets.clone())
        } else {
            Buckets::Any
        };
        Ok(Data::new(
            &options.lattice,
            buckets,
            self.provider_subjects.clone(),
        )?)
    }
}

impl ServerConfig {
    /// Makes it, and prints or writes it.
    ///
    /// # Errors
    /// A name doesn't fit, or a file can't be read or written.
    pub fn run(self, options: &Options) -> anyhow::Result<()> {
        let keys = Keys::of(&options.state())?;
        let name = self.pop.as_ref().map_or(HUB, PopName::as_str).to_owned();
        let server = Server {
            lattice: options.lattice.clone(),
            listen: self.listen,
            monitor: self.monitor,
            store: self.store,
            tls: self
                .tls_cert
                .zip(self.tls_key)
                .map(|(cert, key)| Tls { cert, key }),
            data: self.data.data(options)?,
            users: keys.clients(&name)?,
        };
        let mut made = Made {
            server: name.clone(),
            lattice: options.lattice.to_string(),
            ..Made::default()
        };
        let config = match self.pop {
            None => {
                self.pops.iter().try_for_each(check_pop)?;
                let leaves = keys.leaves(&self.pops)?;
                if leaves.is_empty() {
                    eprintln!(
                        "no PoP's leaf node may connect yet: name them with --pops, or make their configurations first"
                    );
                }
                made.pops = leaves.keys().map(ToString::to_string).collect();
                let leaf_listen = self.leaf_listen.unwrap_or_else(|| "0.0.0.0:7422".into());
                Hub {
                    server,
                    leaf_listen,
                    leaves,
                }
                .to_string()
            }
            Some(pop) => {
                check_pop(&pop)?;
                // Made now, so that the hub's configuration has it whichever is made first.
                keys.key(pop.as_str(), Role::Leaf)?;
                let mut hub_urls = self.hub_urls;
                if hub_urls.is_empty() {
                    hub_urls.push(format!("nats-leaf://{HUB}:7422"));
                }
                Pop {
                    server,
                    pop,
                    region: self.region,
                    hub_urls,
                    hub_ca: self.hub_ca,
                }
                .to_string()
            }
        };
        let leaf = (name != HUB).then_some(name.as_str());
        for role in Role::CLIENTS.into_iter().chain(leaf.map(|_| Role::Leaf)) {
            made.users.push(User {
                role: role.to_string(),
                public_key: keys.key(&name, role)?.public().to_string(),
                seed_file: keys.file(&name, role),
            });
        }
        match self.out {
            Some(folder) => {
                // First what may be refused.
                made.files = files::seeds(&folder, &name, &keys)?;
                made.files
                    .extend(files::server(&folder, &config, &keys, leaf)?);
            }
            None => {
                if let Some(pop) = leaf {
                    eprintln!(
                        "it includes {LEAF_FILE}, a file beside it with the line `nkey: ` and the seed in {}; --out FOLDER writes both",
                        keys.file(pop, Role::Leaf).display()
                    );
                }
                made.configuration = Some(config);
            }
        }
        Ok(options.output.print(&made)?)
    }
}

/// What was made.
#[derive(Default, Serialize)]
struct Made {
    /// The server's name.
    server: String,
    lattice: String,
    /// At the hub: the PoPs that may connect.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pops: Vec<String>,
    users: Vec<User>,
    /// What was written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<PathBuf>,
    /// The configuration, where it wasn't written.
    #[serde(skip_serializing_if = "Option::is_none")]
    configuration: Option<String>,
}

/// A user of the server.
#[derive(Serialize)]
struct User {
    role: String,
    public_key: String,
    seed_file: PathBuf,
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(configuration) = &self.configuration {
            return f.write_str(configuration);
        }
        self.files
            .iter()
            .try_for_each(|file| writeln!(f, "{}", file.display()))
    }
}

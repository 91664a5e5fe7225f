//! A child process: its log in a bounded file, ended in order, and started again when it ends by itself.

use std::{
    collections::VecDeque,
    io::Write as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
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
    process::{Child as Process, Command},
    task::JoinSet,
    time::{Instant, timeout},
};

use super::rotating::RotatingFile;

/// One that ends sooner will hardly live longer the next time.
const SHORT_LIFE: Duration = Duration::from_secs(5);
/// How many such in a row are enough.
const MAX_SHORT_LIVES: u32 = 3;
/// How many of its last lines an error shows.
const SHOWN_LINES: usize = 5;
/// Longer lines of its log are cut.
const MAX_LINE_BYTES: u64 = 8 * 1024;

/// A running child.
pub struct Child {
    name: String,
    log: PathBuf,
    begun: Instant,
    short_lives: u32,
    process: Process,
    lines: LastLines,
    reader: JoinSet<()>,
}

type LastLines = Arc<Mutex<VecDeque<String>>>;

impl Child {
    /// Starts a command; what it says on standard error goes to `log`.
    ///
    /// It ends with this process whatever happens, as long as the calling thread is the process' first one.
    ///
    /// # Errors
    /// It doesn't start, or its log can't be opened.
    pub fn start(name: &str, mut command: Command, log: &Path) -> anyhow::Result<Self> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C is for us: what we started we end in order.
            .process_group(0)
            .kill_on_drop(true);
        end_with_this_process(&mut command);
        let file = RotatingFile::open(log).with_context(|| format!("log {}", log.display()))?;
        let program = command.as_std().get_program().to_owned();
        let mut process = command
            .spawn()
            .with_context(|| format!("starting {}", Path::new(&program).display()))?;
        let lines = LastLines::default();
        let mut reader = JoinSet::new();
        if let Some(stderr) = process.stderr.take() {
            reader.spawn(log_lines(stderr, file, lines.clone()));
        }
        Ok(Self {
            name: name.to_owned(),
            log: log.to_owned(),
            begun: Instant::now(),
            short_lives: 0,
            process,
            lines,
            reader,
        })
    }

    /// Waits until it ends by itself, which it shouldn't; why.
    ///
    /// # Errors
    /// The system doesn't say.
    pub async fn ended(&mut self) -> anyhow::Result<String> {
        let status = self.process.wait().await;
        let status = status.with_context(|| self.name.clone())?;
        Ok(format!("ended ({status})"))
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// The system doesn't say.
    pub fn has_ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.process.try_wait().with_context(|| self.name.clone())
    }

    /// Looks whether another may take its place, now that it has ended: how many in a row ended soon.
    ///
    /// # Errors
    /// They end soon, again and again.
    pub fn may_follow(&self) -> anyhow::Result<u32> {
        let short_lives = if self.begun.elapsed() < SHORT_LIFE {
            self.short_lives + 1
        } else {
            0
        };
        if short_lives == MAX_SHORT_LIVES {
            bail!(
                "{} ends again and again; its log is {}",
                self.name,
                self.log.display()
            );
        }
        Ok(short_lives)
    }

    /// Says that it took the place of one, as [`Self::may_follow`] counted.
    pub fn follows(&mut self, short_lives: u32) {
        self.short_lives = short_lives;
    }

    /// Asks it to end, and kills it when it doesn't in time.
    pub async fn stop(&mut self, within: Duration) {
        let pid = self.process.id().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        if timeout(within, self.process.wait()).await.is_err() {
            tracing::warn!(child = self.name, "doesn't end, it is killed");
            let _ = self.process.kill().await;
        }
        // Its log ends with it.
        let _ = timeout(Duration::from_secs(1), self.reader.join_next()).await;
    }

    /// What it said last, when it is worth showing.
    pub async fn last_lines(&mut self) -> String {
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

/// Elsewhere a child that lost its parent has to be ended by hand.
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

//! The thread that starts provider processes.
//!
//! On Linux a child is told by the kernel when its parent is gone (`PR_SET_PDEATHSIG`), and its parent is, for this,
//! the *thread* that forked it. Threads of tokio's pools come and go; this one lives as long as the host.

use std::{io, process::Stdio};

use nix::unistd::Pid;
use tokio::{
    process::{Child, Command},
    runtime::Handle,
    sync::{mpsc, oneshot},
};

/// How many starts may wait.
const QUEUE: usize = 64;

/// Starts processes that end when the host does, however that ends.
#[derive(Clone, Debug)]
pub(crate) struct Spawner {
    jobs: mpsc::Sender<Job>,
}

struct Job {
    command: Command,
    reply: oneshot::Sender<io::Result<Child>>,
}

impl Spawner {
    /// Starts the thread. It ends with the last `Spawner`, and so do all children.
    pub(crate) fn new() -> io::Result<Self> {
        let (jobs, mut queue) = mpsc::channel::<Job>(QUEUE);
        let runtime = Handle::current();
        std::thread::Builder::new()
            .name("provider-spawner".into())
            .spawn(move || {
                let _entered = runtime.enter();
                while let Some(mut job) = queue.blocking_recv() {
                    // Nobody waits for it any more: a child that is dropped is killed.
                    let _ = job.reply.send(job.command.spawn());
                }
            })?;
        Ok(Self { jobs })
    }

    /// Starts a process: in a process group of its own, its streams piped, ended with the host.
    pub(crate) async fn spawn(&self, mut command: Command) -> io::Result<Child> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        end_with_this_process(&mut command);
        let (reply, child) = oneshot::channel();
        let gone = || io::Error::other("the host is stopping");
        self.jobs
            .send(Job { command, reply })
            .await
            .map_err(|_| gone())?;
        child.await.map_err(|_| gone())?
    }
}

#[cfg(target_os = "linux")]
fn end_with_this_process(command: &mut Command) {
    let parent = Pid::this();
    // SAFETY: between fork and exec only system calls are made, no allocation and no lock.
    unsafe {
        command.pre_exec(move || {
            nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
            // The host may have gone before the kernel knew that we want to hear of it.
            if Pid::parent() == parent {
                Ok(())
            } else {
                Err(io::Error::from_raw_os_error(nix::libc::ESRCH))
            }
        });
    }
}

/// Elsewhere a provider learns of the host's end by the end of its standard input (`keep_stdin`).
#[cfg(not(target_os = "linux"))]
fn end_with_this_process(_command: &mut Command) {}

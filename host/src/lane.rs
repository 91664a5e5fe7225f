//! A thread for the connection that control, events and beats go over. Actors may keep all of the process's other threads
//! busy; the host must be heard all the same, or it is taken for lost and what it runs is started elsewhere.

use std::{future::Future, io, thread};

use tokio::runtime::{Builder, Handle};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::AbortOnDropHandle,
};

/// The thread. Dropping it ends all that runs there.
#[derive(Debug)]
pub(crate) struct Lane {
    runtime: Handle,
    _ended: DropGuard,
}

impl Lane {
    /// Starts the thread.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let end = CancellationToken::new();
        let ended = end.clone();
        // It ends with the token; what it ran is dropped there, where waiting for it holds nobody up.
        thread::Builder::new()
            .name("control-lane".into())
            .spawn(move || runtime.block_on(ended.cancelled()))?;
        Ok(Self {
            runtime: handle,
            _ended: end.drop_guard(),
        })
    }

    /// Where tasks of this thread are spawned.
    pub(crate) fn handle(&self) -> &Handle {
        &self.runtime
    }

    /// Does something there, and waits for it. A connection's own tasks run where it was made.
    ///
    /// # Errors
    /// It broke down.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> io::Result<T> {
        let task = AbortOnDropHandle::new(self.runtime.spawn(work));
        task.await.map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn it_goes_on_while_all_other_threads_are_busy_and_ends_with_its_owner() {
        let lane = Lane::start().unwrap();
        let name = lane.run(async { thread::current().name().map(str::to_owned) });
        assert_eq!(name.await.unwrap().as_deref(), Some("control-lane"));

        let (beat, beats) = std::sync::mpsc::channel();
        let task = lane.handle().spawn(async move {
            while beat.send(()).is_ok() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        // This test's only thread does nothing else meanwhile.
        for _ in 0..5 {
            beats.recv_timeout(Duration::from_secs(10)).unwrap();
        }
        drop(lane);
        assert!(task.await.unwrap_err().is_cancelled());
    }
}

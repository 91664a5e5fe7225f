//! What runs for a client's connections: it ends with the client and the last response that is still being read.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use hyper::rt::Executor;
use tokio::task::JoinSet;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The tasks. Whoever holds it keeps them running.
#[derive(Debug, Default)]
pub struct Tasks(Mutex<JoinSet<()>>);

/// What hyper starts tasks with. It does not keep them running: its own tasks hold it.
#[derive(Clone, Debug)]
pub struct Starter(Weak<Tasks>);

impl Tasks {
    /// What starts tasks here.
    pub fn starter(self: &Arc<Self>) -> Starter {
        Starter(Arc::downgrade(self))
    }
}

impl Executor<Task> for Starter {
    fn execute(&self, task: Task) {
        // Else nobody is there that a connection could be of use to.
        let Some(tasks) = self.0.upgrade() else {
            return;
        };
        let mut tasks = tasks.0.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}

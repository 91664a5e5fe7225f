//! Requests without a pause to several ports, each counted: who serves on while something else is gone?

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};

use super::http::{self, Answer};

/// Between two requests to one port: a steady stream, and a processor left for the containers.
const PAUSE: Duration = Duration::from_millis(20);

/// A stream of requests to each port, until it is ended.
pub struct Load {
    stop: Arc<AtomicBool>,
    streams: BTreeMap<u16, JoinHandle<Count>>,
}

/// What one port answered.
#[derive(Default)]
pub struct Count {
    pub asked: u64,
    pub failed: u64,
    /// The first failure.
    pub why: Option<String>,
}

impl Load {
    pub fn start(ports: impl IntoIterator<Item = u16>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let streams = ports
            .into_iter()
            .map(|port| {
                let stop = Arc::clone(&stop);
                (port, std::thread::spawn(move || stream(port, &stop)))
            })
            .collect();
        Self { stop, streams }
    }

    /// Ends it and says what each port answered.
    pub fn end(mut self) -> Result<BTreeMap<u16, Count>> {
        self.stop.store(true, Ordering::Relaxed);
        std::mem::take(&mut self.streams)
            .into_iter()
            .map(|(port, stream)| match stream.join() {
                Ok(count) => Ok((port, count)),
                Err(_) => Err(anyhow!("the stream of requests to port {port} panicked")),
            })
            .collect()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn stream(port: u16, stop: &AtomicBool) -> Count {
    let mut count = Count::default();
    while !stop.load(Ordering::Relaxed) {
        count.asked += 1;
        if let Err(error) = served(port) {
            count.failed += 1;
            count.why.get_or_insert_with(|| format!("{error:#}"));
        }
        std::thread::sleep(PAUSE);
    }
    count
}

/// One request that was answered as it should be.
pub fn served(port: u16) -> Result<Answer> {
    let answer = http::get(port, "/")?;
    if answer.status != 200 {
        bail!("port {port} answered {}: {}", answer.status, answer.body);
    }
    Ok(answer)
}

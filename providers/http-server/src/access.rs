//! The access log: a line for each request, when its answer is over.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{StatusCode, Version, request::Parts};
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use trellis_provider::{contract::PopName, rpc::trail::Who};

use crate::forwarded::asked_host;

/// How many lines may wait to be written; more are lost, and counted, rather than hold requests up.
const MAX_WAITING: usize = 8192;
/// How many lines are written at once.
const BATCH: usize = 256;
/// What is logged for a client that went away before there was an answer; no status of HTTP, but one that logs have.
const CLIENT_GONE: u16 = 499;
/// How long the last lines may take at the provider's end.
const LAST_LINES: Duration = Duration::from_millis(500);

/// How a link's requests are logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Not at all.
    #[default]
    Off,
    /// As web servers have done for ever: the Common Log Format.
    Common,
    /// As a JSON object, with all that is known.
    Json,
}

/// Where lines go. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AccessLog {
    lines: mpsc::Sender<String>,
    lost: Arc<AtomicU64>,
}

/// Who writes the lines. Dropping it ends the log.
#[derive(Debug)]
pub struct Writer {
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl AccessLog {
    /// A log on standard output, or at the end of a file.
    ///
    /// # Errors
    /// The file can't be opened.
    pub async fn start(file: Option<&Path>) -> std::io::Result<(Self, Writer)> {
        let out: Box<dyn AsyncWrite + Send + Unpin> = match file {
            None => Box::new(tokio::io::stdout()),
            Some(path) => {
                let mut options = tokio::fs::OpenOptions::new();
                Box::new(options.create(true).append(true).open(path).await?)
            }
        };
        let (lines, waiting) = mpsc::channel(MAX_WAITING);
        let (lost, stop) = (Arc::new(AtomicU64::new(0)), CancellationToken::new());
        let path = file.map(Path::to_owned);
        let task = tokio::spawn(write(waiting, out, path, lost.clone(), stop.clone()));
        let writer = Writer {
            stop,
            task: AbortOnDropHandle::new(task),
        };
        Ok((Self { lines, lost }, writer))
    }

    fn say(&self, line: String) {
        if self.lines.try_send(line).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Writer {
    /// Writes what waits, and ends.
    pub async fn finish(&mut self) {
        self.stop.cancel();
        if tokio::time::timeout(LAST_LINES, &mut self.task)
            .await
            .is_err()
        {
            tracing::warn!("the access log's last lines could not be written in time");
        }
    }
}

async fn write(
    mut waiting: mpsc::Receiver<String>,
    mut out: Box<dyn AsyncWrite + Send + Unpin>,
    path: Option<PathBuf>,
    lost: Arc<AtomicU64>,
    stop: CancellationToken,
) {
    let mut lines = Vec::with_capacity(BATCH);
    loop {
        // What waits comes before the end.
        let read = tokio::select! {
            biased;
            read = waiting.recv_many(&mut lines, BATCH) => read,
            () = stop.cancelled() => 0,
        };
        if read == 0 {
            return;
        }
        let written = async {
            out.write_all(lines.concat().as_bytes()).await?;
            out.flush().await
        };
        if let Err(error) = written.await {
            lost.fetch_add(lines.len() as u64, Ordering::Relaxed);
            tracing::warn!(%error, ?path, "the access log can't be written");
        }
        lines.clear();
        let lost = lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(
                lost,
                "lines of the access log are lost: it can't be written as fast"
            );
        }
    }
}

/// A request and its answer, as far as they are known; logged when it is dropped, which is when the answer is over.
#[derive(Debug)]
pub struct Entry {
    log: AccessLog,
    format: Format,
    begun: Instant,
    line: Line,
}

#[derive(Debug, Serialize)]
struct Line {
    time: String,
    client: IpAddr,
    method: String,
    scheme: &'static str,
    host: Option<String>,
    path: String,
    version: &'static str,
    status: u16,
    bytes: u64,
    duration_ms: f64,
    /// Whether the answer came to its end.
    complete: bool,
    request_id: Option<String>,
    actor: Option<String>,
    /// Where the actor ran, as far as that is known.
    pop: Option<String>,
    served_by: Option<String>,
}

impl Entry {
    /// An entry for a request of that client.
    pub fn new(
        log: &AccessLog,
        format: Format,
        parts: &Parts,
        client: IpAddr,
        encrypted: bool,
    ) -> Self {
        let text = |name: &str| Some(parts.headers.get(name)?.to_str().ok()?.to_owned());
        Self {
            log: log.clone(),
            format,
            begun: Instant::now(),
            line: Line {
                time: String::new(),
                client,
                method: parts.method.as_str().to_owned(),
                scheme: if encrypted { "https" } else { "http" },
                host: asked_host(parts).map(str::to_owned),
                // A query may hold what is nobody's business.
                path: parts.uri.path().to_owned(),
                version: version(parts.version),
                status: CLIENT_GONE,
                bytes: 0,
                duration_ms: 0.0,
                complete: false,
                request_id: text("x-request-id"),
                actor: None,
                pop: None,
                served_by: None,
            },
        }
    }

    /// Who is to answer.
    pub fn actor(&mut self, id: &str) {
        self.line.actor = Some(id.to_owned());
    }

    /// Who answered.
    pub fn served_by(&mut self, who: &Who) {
        self.line.pop = who.pop.as_ref().map(PopName::as_str).map(str::to_owned);
        self.line.served_by = who.host.as_deref().map(str::to_owned);
    }

    /// With which status.
    pub fn status(&mut self, status: StatusCode) {
        self.line.status = status.as_u16();
    }

    /// A part of the body went to the client.
    pub fn sent(&mut self, bytes: usize) {
        self.line.bytes += bytes as u64;
    }

    /// The answer is whole.
    pub fn complete(&mut self) {
        self.line.complete = true;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let line = &mut self.line;
        let now = OffsetDateTime::now_utc();
        line.duration_ms = self.begun.elapsed().as_micros() as f64 / 1000.0;
        let text = match self.format {
            Format::Off => return,
            Format::Common => {
                line.time = common_time(now);
                common(line)
            }
            Format::Json => {
                line.time = now.format(&Rfc3339).unwrap_or_default();
                serde_json::to_string(line).unwrap_or_default()
            }
        };
        self.log.say(text + "\n");
    }
}

/// `127.0.0.1 - - [10/Oct/2000:13:55:36 +0000] "GET /index.html HTTP/1.1" 200 2326`
fn common(line: &Line) -> String {
    let path = line.path.replace('\\', "\\\\").replace('"', "\\\"");
    format!(
        "{} - - [{}] \"{} {path} {}\" {} {}",
        line.client, line.time, line.method, line.version, line.status, line.bytes
    )
}

fn common_time(time: OffsetDateTime) -> String {
    let month: String = time.month().to_string().chars().take(3).collect();
    format!(
        "{:02}/{month}/{}:{:02}:{:02}:{:02} +0000",
        time.day(),
        time.year(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_common_line_is_as_everybody_reads_it() {
        let time = OffsetDateTime::from_unix_timestamp(971_186_136).unwrap();
        let line = Line {
            time: common_time(time),
            client: "127.0.0.1".parse().unwrap(),
            method: "GET".into(),
            scheme: "http",
            host: None,
            path: "/a\"b".into(),
            version: "HTTP/1.1",
            status: 200,
            bytes: 2326,
            duration_ms: 0.0,
            complete: true,
            request_id: None,
            actor: None,
            pop: None,
            served_by: None,
        };
        assert_eq!(
            common(&line),
            r#"127.0.0.1 - - [10/Oct/2000:13:55:36 +0000] "GET /a\"b HTTP/1.1" 200 2326"#
        );
    }
}

//! From `trellis up` to the first answer: cold, with nothing kept from before, and warm.

use std::{fs, time::Instant};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use serde::Serialize;
use tempfile::TempDir;
use trellis_tests::{actors, http::Http, port, up};

use crate::report::Report;

/// One start.
#[derive(Clone, Debug, Serialize)]
struct Row {
    start: &'static str,
    first_answer_ms: u128,
}

/// Starts twice in a new folder.
///
/// # Errors
/// It does not start or answer.
pub async fn measure() -> Result<Report> {
    let directory = TempDir::new()?;
    let at = port::free()?;
    let example = fs::read_to_string(actors::project().join("examples/http-counter/app.yaml"))?;
    fs::write(
        directory.path().join("counter.wasm"),
        actors::built("http_counter")?,
    )?;
    let manifest = replace_line(&example, "image: file://", "file://./counter.wasm");
    let manifest = replace_line(&manifest, "address: ", &format!("127.0.0.1:{at}"));
    fs::write(directory.path().join("app.yaml"), manifest)?;

    let http = Http::new(([127, 0, 0, 1], at).into());
    let mut rows = Vec::new();
    for start in ["cold", "warm"] {
        let begun = Instant::now();
        let mut up = up::start(start, directory.path())?;
        http.get_until_good("/")
            .await
            .with_context(|| up.output())?;
        rows.push(Row {
            start,
            first_answer_ms: begun.elapsed().as_millis(),
        });
        up.signal(Signal::SIGINT)?;
        up.ended().await?;
    }
    let lines = rows
        .iter()
        .map(|row| vec![row.start.to_owned(), row.first_answer_ms.to_string()])
        .collect();
    Report::new(
        "startup",
        vec!["`trellis up` of the counter", "first answer after, ms"],
        lines,
        &rows,
    )
}

/// The text with whatever follows `key` on its line replaced.
fn replace_line(text: &str, key: &str, value: &str) -> String {
    let kept = key.trim_end_matches("file://");
    let lines = text.lines().map(|line| match line.find(key) {
        Some(at) => format!("{}{kept}{value}", &line[..at]),
        None => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

//! From `trellis up` to the first answer: cold, with nothing kept from before, and warm.

use std::{fs, time::Instant};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use trellis_tests::{actors, port, up};

use crate::{
    load,
    rounds::Plan,
    row::{Group, Row, Unit},
};

/// Starts in new folders, twice in each.
///
/// # Errors
/// It does not start or answer.
pub async fn measure(plan: &Plan) -> Result<Vec<Row>> {
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        let [first, second] = starts().await?;
        cold.push(first);
        warm.push(second);
    }
    Ok(vec![
        Row::new(
            Group::Startup,
            "`trellis up` of the counter to its first answer, cold",
            Unit::Millis,
            &cold,
        )?,
        Row::new(Group::Startup, "the same, warm", Unit::Millis, &warm)?,
    ])
}

/// The first start and the second, in milliseconds.
async fn starts() -> Result<[f64; 2]> {
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

    let mut times = [0.0; 2];
    for (start, time) in ["cold", "warm"].into_iter().zip(&mut times) {
        let begun = Instant::now();
        let mut up = up::start(start, directory.path())?;
        load::first_answer(([127, 0, 0, 1], at).into(), "/")
            .await
            .with_context(|| up.output())?;
        *time = begun.elapsed().as_secs_f64() * 1000.0;
        up.signal(Signal::SIGINT)?;
        up.ended().await?;
    }
    Ok(times)
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

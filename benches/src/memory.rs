//! Memory of a host process: idle, and with 100 different actors loaded and each called once.

use std::fs;

use anyhow::{Context as _, Result};
use serde::Serialize;
use time::OffsetDateTime;
use trellis_lattice::{
    ComponentId,
    claims::{ComponentDetails, ComponentKey, Validity, sign_component},
};
use trellis_tests::{actors, lattice::Lattice};

use crate::report::Report;

/// How many different actors.
const ACTORS: usize = 100;

/// One state of the host.
#[derive(Clone, Debug, Serialize)]
struct Row {
    host: String,
    resident_kb: u64,
}

/// Measures one host.
///
/// # Errors
/// It does not start, or refuses an actor.
pub async fn measure() -> Result<Report> {
    let lattice = Lattice::start().await?;
    let process = lattice.host()?.process.id();
    let mut rows = vec![Row {
        host: "idle".into(),
        resident_kb: resident_kb(process)?,
    }];

    // Signed by keys of their own, their bytes differ: none shares code with another.
    let greeter = actors::built("greeter")?;
    let host = lattice.host()?.id.clone();
    for index in 0..ACTORS {
        let id = format!("greeter-{index}");
        let path = lattice.directory().join(format!("{id}.wasm"));
        let details = ComponentDetails {
            name: Some(id.clone()),
            ..ComponentDetails::default()
        };
        let subject = ComponentKey::generate().public();
        let validity = Validity::unlimited(OffsetDateTime::now_utc());
        fs::write(
            &path,
            sign_component(&greeter, &lattice.issuer, &subject, &details, &validity)?,
        )?;
        lattice
            .scale(&host, &id, &format!("file://{}", path.display()), 10, &[])
            .await?;
    }
    lattice
        .inventory_until(&host, "all actors run", |inventory| {
            inventory.components.len() == ACTORS
        })
        .await?;
    rows.push(Row {
        host: format!("{ACTORS} different actors"),
        resident_kb: resident_kb(process)?,
    });
    for index in 0..ACTORS {
        let id = ComponentId::new(format!("greeter-{index}"))?;
        lattice
            .succeed(&[
                "call",
                id.as_str(),
                "trellis:example/greeter@0.1.0.greet",
                "\"Ada\"",
            ])
            .await?;
    }
    rows.push(Row {
        host: format!("{ACTORS} different actors, each called"),
        resident_kb: resident_kb(process)?,
    });

    let lines = rows
        .iter()
        .map(|row| {
            vec![
                row.host.clone(),
                format!("{:.1}", row.resident_kb as f64 / 1024.0),
            ]
        })
        .collect();
    Report::new("memory", vec!["host", "resident MiB"], lines, &rows)
}

/// A process' resident memory, as the kernel counts it.
fn resident_kb(process: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

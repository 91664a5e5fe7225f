//! Bodies of any size through HTTP to an actor and back: how fast, and how much memory the host and the HTTP server take
//! for it.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use trellis_tests::{lattice::Lattice, process::children_of};

use crate::{
    block::Blocks,
    load::{self, Connection},
    process_memory::{forget_peak, peak_kib, resident_kib},
    reference::Reference,
    requests::HYPER,
    rounds::{Plan, by_turns},
    row::{Group, Row, Target, Unit},
};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// How large bodies are.
const SIZES: [u64; 3] = [KIB, MIB, 100 * MIB];
/// What the largest may take beyond what was there before.
const MOST_EXTRA_MIB: f64 = 32.0;

/// Which way a body goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// To the actor, which counts its bytes.
    Up,
    /// From the actor.
    Down,
}

/// Who takes and gives them.
struct Party {
    at: SocketAddr,
    /// The processes they go through.
    processes: Vec<u32>,
    /// What those had together before the first body.
    idle_kib: u64,
}

/// What one round gave.
struct Moved {
    mib_per_second: f64,
    extra_mib: f64,
}

/// Measures all sizes in both ways.
///
/// # Errors
/// Something does not start, or a body does not arrive whole.
pub async fn measure(plan: &Plan) -> Result<Vec<Row>> {
    let lattice = Lattice::start().await?;
    let hyper = Reference::start(lattice.directory(), None).await?;
    lattice.run_actor("bodies", "misbehave", 8).await?;
    let at = lattice
        .serve_http_with(
            "http",
            "bodies",
            &[("max_body_bytes", &(1024 * MIB).to_string())],
        )
        .await?;
    let host = lattice.host()?.process.id();
    let mut processes = children_of(host, "provider http-server")?;
    ensure!(processes.len() == 1, "HTTP servers: {processes:?}");
    processes.push(host);
    let parties = [
        Party::ready(at, processes).await?,
        Party::ready(hyper.at, vec![hyper.process.id()]).await?,
    ];
    let mut rows = Vec::new();
    for way in [Way::Up, Way::Down] {
        for size in SIZES {
            let moved = by_turns(plan, &parties, async |party| {
                party.moves(way, size, plan.lasting).await
            });
            let moved = moved.await.with_context(|| lattice.logs())?;
            let [ours, theirs] = moved.as_slice() else {
                anyhow::bail!("{} parties", moved.len());
            };
            rows.extend(rows_of(way, size, ours, theirs)?);
        }
    }
    Ok(rows)
}

fn rows_of(way: Way, size: u64, ours: &[Moved], theirs: &[Moved]) -> Result<Vec<Row>> {
    let name = match (way, size) {
        (Way::Up, KIB) => "1 KiB up".to_owned(),
        (Way::Down, KIB) => "1 KiB down".to_owned(),
        (Way::Up, _) => format!("{} MiB up", size / MIB),
        (Way::Down, _) => format!("{} MiB down", size / MIB),
    };
    let series = |of: &[Moved], figure: fn(&Moved) -> f64| of.iter().map(figure).collect();
    let (ours_fast, theirs_fast): (Vec<f64>, Vec<f64>) = (
        series(ours, |moved| moved.mib_per_second),
        series(theirs, |moved| moved.mib_per_second),
    );
    let mut rows = vec![
        Row::new(Group::Bodies, &name, Unit::MibPerSecond, &ours_fast)?.beside(
            HYPER,
            &ours_fast,
            &theirs_fast,
        )?,
    ];
    if size > MIB {
        let (ours, theirs): (Vec<f64>, Vec<f64>) = (
            series(ours, |moved| moved.extra_mib),
            series(theirs, |moved| moved.extra_mib),
        );
        let name = format!("{name}, peak of extra memory");
        let mut row =
            Row::new(Group::Bodies, name, Unit::Mib, &ours)?.beside(HYPER, &ours, &theirs)?;
        // Beside next to nothing, a ratio says nothing.
        row.ratio = None;
        // The highest counts: it is a bound.
        row.ours.value = row.ours.high;
        rows.push(row.target(Target::Below(MOST_EXTRA_MIB)));
    }
    Ok(rows)
}

impl Party {
    /// Has answered once.
    async fn ready(at: SocketAddr, processes: Vec<u32>) -> Result<Self> {
        load::first_answer(at, "/big?bytes=1").await?;
        let resident: Result<u64> = processes.iter().map(|&of| resident_kib(of)).sum();
        Ok(Self {
            at,
            processes,
            idle_kib: resident?,
        })
    }

    /// Moves bodies one after the other over one connection for some time.
    async fn moves(&self, way: Way, size: u64, lasting: Duration) -> Result<Moved> {
        let mut connection = Connection::open(self.at).await?;
        for process in &self.processes {
            forget_peak(*process)?;
        }
        let (begun, mut bytes) = (Instant::now(), 0);
        while bytes == 0 || begun.elapsed() < lasting {
            match way {
                Way::Up => {
                    let body = Blocks::new(size);
                    let (_, answer) = connection.send("POST", "/count", body).await?;
                    ensure!(answer == format!("{size}\n"), "{answer:?} of {size} bytes");
                }
                Way::Down => {
                    let path = format!("/big?bytes={size}");
                    let (length, _) = connection.send("GET", &path, Blocks::new(0)).await?;
                    ensure!(length == size, "{length} of {size} bytes");
                }
            }
            bytes += size;
        }
        let took = begun.elapsed();
        let mut peak = 0;
        for process in &self.processes {
            peak += peak_kib(*process)?;
        }
        Ok(Moved {
            mib_per_second: bytes as f64 / MIB as f64 / took.as_secs_f64(),
            extra_mib: peak.saturating_sub(self.idle_kib) as f64 / 1024.0,
        })
    }
}

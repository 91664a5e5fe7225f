//! How long wadm plans for a large lattice: what `trellis-bench-scheduler` measures, a program of its own.

use std::{env, process::Command};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::{
    rounds::Plan,
    row::{Group, Row, Unit},
};

/// What is read of its report.
#[derive(Debug, Deserialize)]
struct Scheduler {
    hosts: usize,
    pops: usize,
    actors: usize,
    plans: Vec<Planned>,
}

#[derive(Debug, Deserialize)]
struct Planned {
    plan: String,
    median_ms: f64,
    worst_ms: f64,
}

/// Runs it; nothing when it was not built beside this program.
///
/// # Errors
/// It fails.
pub async fn measure(plan: &Plan) -> Result<Vec<Row>> {
    let program = env::current_exe()?.with_file_name("trellis-bench-scheduler");
    if !program.exists() {
        return Ok(Vec::new());
    }
    let mut command = Command::new(&program);
    command.args(["--output", "json", "--rounds", &plan.rounds.to_string()]);
    let output = tokio::process::Command::from(command).output().await?;
    ensure!(
        output.status.success(),
        "trellis-bench-scheduler: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    rows(&output.stdout, plan.rounds).context("what trellis-bench-scheduler printed")
}

fn rows(json: &[u8], rounds: usize) -> Result<Vec<Row>> {
    let Scheduler {
        hosts,
        pops,
        actors,
        plans,
    } = serde_json::from_slice(json)?;
    plans
        .into_iter()
        .map(|planned| {
            let name = format!(
                "a plan for {actors} components on {hosts} hosts in {pops} PoPs: {}",
                planned.plan
            );
            let mut row = Row::new(Group::Scheduler, name, Unit::Millis, &[planned.median_ms])?;
            (row.ours.high, row.rounds) = (planned.worst_ms, rounds);
            Ok(row)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_plans_become_rows() {
        let json = br#"{"hosts": 10, "pops": 2, "actors": 30, "instances": 60,
            "plans": [{"plan": "first", "median_ms": 1.5, "worst_ms": 2.0, "commands": 3}]}"#;
        let rows = rows(json, 5).unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(
            rows[0].name,
            "a plan for 30 components on 10 hosts in 2 PoPs: first"
        );
        assert_eq!((rows[0].ours.value, rows[0].ours.high), (1.5, 2.0));
    }
}

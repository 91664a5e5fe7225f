//! On what it was measured: enough to judge the figures, nothing that names the machine.

use std::{fs, process::Command};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use trellis_tests::nats;

use crate::wasmtime_serve;

/// What the figures depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The day, as in `2026-11-21`.
    pub day: String,
    /// Processors that this program may use.
    pub cores: usize,
    /// What kind they are.
    pub processor: String,
    /// The kernel's version.
    pub kernel: String,
    /// Processes that ran or wanted to when it began, on average over a minute: more than a few tenths means that it was
    /// not measured alone.
    pub load: f64,
    /// The programs beside ours, as they name their versions.
    pub programs: Vec<String>,
}

impl Machine {
    /// This one, now.
    pub fn here() -> Self {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let programs = [
            version(Command::new(nats::program()).arg("--version")),
            version(Command::new("redis-server").arg("--version")),
            wasmtime_serve::version(),
        ];
        Self {
            day: OffsetDateTime::now_utc().date().to_string(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: processor(),
            // Without what whoever built it added.
            kernel: kernel
                .trim()
                .split('-')
                .next()
                .unwrap_or_default()
                .to_owned(),
            load: load
                .split_whitespace()
                .next()
                .and_then(|first| first.parse().ok())
                .unwrap_or_default(),
            programs: programs.into_iter().flatten().collect(),
        }
    }
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        // Not every architecture has a name there.
        ["model name", "Model", "CPU part"]
            .contains(&key.trim())
            .then(|| value.trim().to_owned())
    });
    model.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// Name and version, of what a program says of itself.
pub fn version(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next()?;
    let name = line.split([':', ' ']).next()?;
    let version = line.split([' ', '=']).find(|word| {
        word.trim_start_matches('v')
            .starts_with(|c: char| c.is_ascii_digit())
    })?;
    Some(format!(
        "{} {}",
        name.to_lowercase(),
        version.trim_start_matches('v')
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_named_with_their_versions() {
        for (says, named) in [
            ("nats-server: v2.12.1", "nats-server 2.12.1"),
            ("wasmtime 48.0.8", "wasmtime 48.0.8"),
            ("Redis server v=7.0.15 sha=0", "redis 7.0.15"),
        ] {
            assert_eq!(
                version(Command::new("echo").arg(says)).as_deref(),
                Some(named)
            );
        }
        assert_eq!(version(&mut Command::new("no-such-program-here")), None);
    }

    #[test]
    fn the_machine_is_described_without_its_name() {
        let machine = Machine::here();
        assert!(machine.cores > 0 && !machine.kernel.is_empty());
        assert_eq!(machine.day.len(), 10);
        assert!(!machine.processor.is_empty() && machine.processor.len() < 100);
    }
}

//! What the person at the terminal sees: what is being done and why, and at the
//! end of a long run how long each step took.

use std::fmt::{Display, Write as _};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Says one thing, on standard error: standard output belongs to what is run.
pub fn say(message: impl Display) {
    eprintln!("xtask: {message}");
}

/// A run of named steps that ends at the first one to fail.
pub struct Steps {
    began: Instant,
    finished: Vec<(&'static str, Duration)>,
}

impl Steps {
    pub fn begin() -> Self {
        Self {
            began: Instant::now(),
            finished: Vec::new(),
        }
    }

    /// Runs one step.
    ///
    /// # Errors
    /// The step's own, headed by the step's name; the times so far are printed.
    pub fn step<T>(&mut self, name: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        eprintln!();
        say(format_args!("== {name}"));
        let began = Instant::now();
        let result = work();
        self.finished.push((name, began.elapsed()));
        if result.is_err() {
            self.report(Some(name));
        }
        result.with_context(|| format!("the step '{name}' failed"))
    }

    /// Prints what each step took.
    pub fn end(self) {
        self.report(None);
    }

    fn report(&self, failed: Option<&str>) {
        eprintln!();
        eprint!("{}", table(&self.finished, self.began.elapsed(), failed));
    }
}

fn table(finished: &[(&str, Duration)], total: Duration, failed: Option<&str>) -> String {
    let mut text = String::new();
    let rows = finished
        .iter()
        .copied()
        .chain(std::iter::once(("total", total)));
    for (name, took) in rows {
        let mark = if failed == Some(name) { "  FAILED" } else { "" };
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "xtask: {name:<28} {:>8.1} s{mark}",
            took.as_secs_f64()
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_the_failed_step() {
        let steps = [
            ("format", Duration::from_millis(1_240)),
            ("clippy", Duration::from_secs(71)),
        ];
        let text = table(&steps, Duration::from_secs(73), Some("clippy"));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[0].ends_with("1.2 s"), "{text}");
        assert!(
            lines[1].contains("clippy") && lines[1].ends_with("71.0 s  FAILED"),
            "{text}"
        );
        assert!(lines[2].contains("total"), "{text}");
    }

    #[test]
    fn a_failed_step_ends_the_run_under_its_name() {
        let mut steps = Steps::begin();
        let error = steps
            .step("format", || -> Result<()> {
                anyhow::bail!("two files differ")
            })
            .unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "the step 'format' failed: two files differ"
        );
    }
}

//! What a start tells: a line a step on standard error, and the whole on standard output at its end.

use std::{fmt, time::Instant};

use serde::Serialize;

use crate::output::Format;

/// Tells how far a start is.
pub struct Progress {
    begun: Instant,
}

impl Progress {
    /// Begins now.
    pub fn begin() -> Self {
        Self {
            begun: Instant::now(),
        }
    }

    /// Since the beginning, in seconds.
    pub fn seconds(&self) -> f64 {
        (self.begun.elapsed().as_secs_f64() * 1000.0).round() / 1000.0
    }

    /// Tells a step.
    pub fn step(&self, what: &str, text: impl fmt::Display) {
        eprintln!("{:>7.3} s  {what:<12} {text}", self.seconds());
    }
}

/// A lattice that is up.
#[derive(Serialize)]
pub struct Ready {
    /// The lattice.
    pub lattice: String,
    /// Where NATS is.
    pub nats_url: String,
    /// The host's id.
    pub host_id: String,
    /// The issuer whose signatures count.
    pub issuer: String,
    /// The applications that were deployed.
    pub applications: Vec<String>,
    /// Where they answer.
    pub urls: Vec<String>,
    /// How long it took.
    pub seconds: f64,
}

impl Ready {
    /// Prints it.
    ///
    /// # Errors
    /// Standard output can't be written.
    pub fn print(&self, format: Format) -> std::io::Result<()> {
        format.print(self)
    }
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "up after {:.1} s; Ctrl-C ends it", self.seconds)?;
        self.urls.iter().try_for_each(|url| writeln!(f, "{url}"))
    }
}

//! A bar that shows how far a transfer is, where somebody may be looking.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use trellis_registry::{Progress, RegistryError};

use crate::output::Format;

/// The bar's look: what is moved, how far it is, how fast.
const TEMPLATE: &str = "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";

/// A progress bar on standard error.
#[derive(Debug)]
pub struct Bar(ProgressBar);

impl Bar {
    /// A bar that says what is done. It is not seen unless standard error is a terminal, and results are for people.
    pub fn new(what: &str, format: Format) -> Self {
        let seen = std::io::stderr().is_terminal() && format == Format::Text;
        let target = if seen {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(0), target).with_message(what.to_owned());
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self(bar)
    }

    /// Takes it away: what came of it is printed now.
    pub fn end(&self) {
        self.0.finish_and_clear();
    }
}

impl Progress for Bar {
    fn begins(&self, total_bytes: u64) {
        self.0.set_length(total_bytes);
    }

    fn is_at(&self, bytes: u64) {
        self.0.set_position(bytes);
    }

    fn again(&self, after: &RegistryError) {
        self.0.println(format!("{after}; trying again"));
    }
}

//! An application's status and that of each of its parts.

use std::fmt;

use serde::Serialize;
use trellis_lattice::app::AppStatus;

use super::list::word;
use crate::output::{or_dash, table};

/// An application's status.
#[derive(Serialize)]
pub struct AppReport {
    /// The application.
    pub name: String,
    /// Its status.
    #[serde(flatten)]
    pub status: AppStatus,
}

impl fmt::Display for AppReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = &self.status.status;
        write!(f, "{}: {}", self.name, word(whole.ty))?;
        if whole.message.is_empty() {
            writeln!(f)?;
        } else {
            writeln!(f, ": {}", whole.message)?;
        }
        if self.status.scalers.is_empty() {
            return Ok(());
        }
        let rows = self.status.scalers.iter().map(|scaler| {
            let message = or_dash(scaler.status.message.replace('\n', " "));
            vec![
                scaler.kind.clone(),
                scaler.name.clone(),
                word(scaler.status.ty).into(),
                message,
            ]
        });
        table(f, "  ", &["KIND", "NAME", "STATUS", "MESSAGE"], rows)
    }
}

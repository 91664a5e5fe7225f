//! `trellis app status`: an application, each of its parts on each host, and what is not as it ought to be.

use std::{fmt, io::IsTerminal as _, time::Duration};

use clap::Args;
use serde::Serialize;
use serde_json::Value;
use trellis_lattice::app::{
    AppStatus, Explanation, HostReport, StatusInfo, StatusType, WorkloadReport,
};

use super::{client::AppClient, explain::outcome, list::word};
use crate::{
    output::{self, Format, or_dash, table},
    session::Options,
};

/// How often it is asked for while it is watched.
const INTERVAL: Duration = Duration::from_millis(500);

/// To the first column of the first line, and away with all that was below.
const CLEAR: &str = "\x1b[H\x1b[J";

/// Whose status.
#[derive(Args, Debug)]
pub struct Status {
    /// The application.
    name: String,
    /// Go on and show each change, until Ctrl-C. JSON is one line a change.
    #[arg(long)]
    watch: bool,
}

impl Status {
    /// Shows it.
    ///
    /// # Errors
    /// Nothing of that name, or no answer.
    pub async fn run(self, options: &Options) -> anyhow::Result<()> {
        let session = options.connect().await?;
        let apps = AppClient::new(&session);
        let report = AppReport::ask(&apps, &self.name).await?;
        if !self.watch {
            return Ok(session.output.print(&report)?);
        }
        let is_screen = session.output == Format::Text && std::io::stdout().is_terminal();
        let mut shown = None;
        let mut report = Some(report);
        loop {
            if let Some(report) = report.take() {
                let now = report.without_times()?;
                // On a screen times go on; elsewhere only what changes is printed.
                if is_screen || shown.as_ref() != Some(&now) {
                    let text = report.line_or_table(session.output)?;
                    let before = if is_screen { CLEAR } else { "" };
                    output::write(format!("{before}{text}\n").as_bytes())?;
                    shown = Some(now);
                }
            }
            tokio::select! {
                ended = tokio::signal::ctrl_c() => return Ok(ended?),
                () = tokio::time::sleep(INTERVAL) => {}
            }
            match AppReport::ask(&apps, &self.name).await {
                Ok(now) => report = Some(now),
                // Watching goes on over what passes: a manager that is followed by another, a connection that comes back.
                Err(error) if error.is::<crate::exit::NoAnswer>() => {
                    tracing::warn!(%error, "no status");
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// An application's status.
#[derive(Serialize)]
pub struct AppReport {
    /// The application.
    pub name: String,
    /// Its status, as 1.x has it.
    #[serde(flatten)]
    pub status: AppStatus,
    /// Each part of it in detail; none when no manager of ours leads.
    pub detail: Option<Explanation>,
}

impl AppReport {
    async fn ask(apps: &AppClient, name: &str) -> anyhow::Result<Self> {
        let status = apps.status(name).await?;
        let detail = match apps.explain(name, None).await {
            Ok(detail) => Some(detail),
            Err(error) => {
                tracing::debug!(%error, "no details");
                None
            }
        };
        Ok(Self {
            name: name.to_owned(),
            status,
            detail,
        })
    }

    /// All but how long ago something was, and how soon something will be.
    fn without_times(&self) -> serde_json::Result<Value> {
        fn strip(value: &mut Value) {
            match value {
                Value::Object(fields) => {
                    fields.remove("retry_in_ms");
                    fields.remove("ago_ms");
                    fields.values_mut().for_each(strip);
                }
                Value::Array(items) => items.iter_mut().for_each(strip),
                _ => {}
            }
        }
        let mut value = serde_json::to_value(self)?;
        strip(&mut value);
        Ok(value)
    }

    fn line_or_table(&self, format: Format) -> anyhow::Result<String> {
        Ok(match format {
            Format::Text => self.to_string(),
            Format::Json => serde_json::to_string(self)?,
        })
    }
}

impl fmt::Display for AppReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = &self.status.status;
        write!(f, "{}: {}", self.name, word(whole.ty))?;
        if whole.message.is_empty() {
            writeln!(f)?;
        } else {
            writeln!(f, ": {}", one_line(&whole.message))?;
        }
        match &self.detail {
            Some(detail) => self.detailed(f, detail),
            None => self.parts(f),
        }
    }
}

impl AppReport {
    /// As much as 1.x's manager tells.
    fn parts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.status.scalers.is_empty() {
            return Ok(());
        }
        let rows = self.status.scalers.iter().map(|scaler| {
            vec![
                scaler.kind.clone(),
                scaler.name.clone(),
                word(scaler.status.ty).into(),
                or_dash(one_line(&scaler.status.message)),
            ]
        });
        table(f, "  ", &["KIND", "NAME", "STATUS", "MESSAGE"], rows)
    }

    fn detailed(&self, f: &mut fmt::Formatter<'_>, detail: &Explanation) -> fmt::Result {
        let mut rows = Vec::new();
        for component in &detail.components {
            rows.extend(workload(component));
        }
        for link in &detail.links {
            let why = match &link.attempt {
                Some(attempt) if attempt.error.is_some() => outcome(attempt),
                _ => why_not(&link.status),
            };
            rows.push(row(
                "link",
                &link.link,
                "-",
                "1",
                u32::from(link.there),
                &why,
            ));
        }
        for config in detail.configs.iter().filter(|config| !config.there) {
            let why = match &config.attempt {
                Some(attempt) if attempt.error.is_some() => outcome(attempt),
                _ => config.why.clone(),
            };
            rows.push(row("config", &config.name, "-", "1", 0, &why));
        }
        rows.extend(
            detail
                .leftovers
                .iter()
                .map(|left| row("leftover", left, "-", "0", 1, "being removed")),
        );
        if rows.is_empty() {
            return Ok(());
        }
        let columns = ["KIND", "NAME", "HOST", "DESIRED", "RUNNING", "WHY NOT"];
        table(f, "  ", &columns, rows.into_iter())
    }
}

/// A component's or provider's lines: one a host, and one for what has no host.
fn workload(report: &WorkloadReport) -> Vec<Vec<String>> {
    let kind = if report.is_provider {
        "provider"
    } else {
        "component"
    };
    let mut rows: Vec<_> = report
        .hosts
        .iter()
        .map(|host| {
            let (desired, why) = (host.desired.to_string(), on_host(host));
            row(kind, &report.id, &host.name, &desired, host.running, &why)
        })
        .collect();
    rows.extend(report.missing.iter().map(|missing| {
        let desired = missing.instances.to_string();
        row(kind, &report.id, "(none)", &desired, 0, &missing.why)
    }));
    if rows.is_empty() {
        let (desired, why) = (report.desired.to_string(), why_not(&report.status));
        rows.push(row(kind, &report.id, "-", &desired, report.running, &why));
    }
    rows
}

/// What is not as it ought to be on a host.
fn on_host(host: &HostReport) -> String {
    let attempt = host.attempt.as_ref().map(outcome);
    let is_as_wanted = host.desired == host.running;
    match (&host.problem, attempt) {
        (Some(problem), Some(attempt)) => format!("{}; {attempt}", one_line(problem)),
        (Some(problem), None) => one_line(problem),
        (None, Some(attempt)) => attempt,
        (None, None) if host.unseen => host.why.clone(),
        (None, None) if is_as_wanted => String::new(),
        (None, None) => host.why.clone(),
    }
}

fn why_not(status: &StatusInfo) -> String {
    match status.ty {
        StatusType::Deployed => String::new(),
        ty if status.message.is_empty() => word(ty).to_owned(),
        _ => one_line(&status.message),
    }
}

fn row(kind: &str, name: &str, host: &str, desired: &str, running: u32, why: &str) -> Vec<String> {
    vec![
        kind.to_owned(),
        name.to_owned(),
        host.to_owned(),
        desired.to_owned(),
        running.to_string(),
        or_dash(why),
    ]
}

fn one_line(text: &str) -> String {
    text.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_part_and_host_is_a_line() {
        let detail = json!({
            "name": "shop", "version": "v1", "hosts": 2, "status": {"type": "reconciling"},
            "components": [
                {
                    "id": "shop-cart", "is_provider": false, "scaler": "SpreadScaler", "status": {"type": "reconciling"},
                    "desired": 3, "running": 1,
                    "hosts": [
                        {"host": "HA", "name": "a", "desired": 1, "running": 1, "why": "x"},
                        {"host": "HB", "name": "b", "desired": 1, "running": 0, "why": "x", "attempt": {"command": "scale", "failures": 1, "error": "no", "retry_in_ms": 2000}},
                    ],
                    "missing": [{"instances": 1, "spread": "eu", "rule": "labels", "why": "no host has region=eu"}],
                },
                {"id": "shop-http", "is_provider": true, "scaler": "SpreadScaler", "status": {"type": "failed", "message": "no config"}, "desired": 0, "running": 0},
            ],
            "links": [{"link": "a -(x:y)-> b", "there": true, "status": {"type": "deployed"}}],
        });
        let report = AppReport {
            name: "shop".into(),
            status: AppStatus::default(),
            detail: serde_json::from_value(detail).unwrap(),
        };
        let without = report.without_times().unwrap();
        let host = &without["detail"]["components"][0]["hosts"][1];
        assert_eq!(
            host["attempt"],
            json!({"command": "scale", "failures": 1, "error": "no"})
        );
        assert_eq!(
            report.to_string(),
            "\
shop: undeployed
  KIND       NAME          HOST    DESIRED  RUNNING  WHY NOT
  component  shop-cart     a       1        1        -
  component  shop-cart     b       1        0        failed 1 time(s), last: no; tried again in 2s
  component  shop-cart     (none)  1        0        no host has region=eu
  provider   shop-http     -       0        0        no config
  link       a -(x:y)-> b  -       1        1        -
"
        );
    }
}

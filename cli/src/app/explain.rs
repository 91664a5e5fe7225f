//! `trellis app explain`: why an application is as it is.

use std::{collections::BTreeSet, fmt};

use clap::Args;
use serde::Serialize;
use trellis_lattice::app::{AttemptReport, Explanation, StatusInfo, StatusType, WorkloadReport};

use super::{client::AppClient, list::word};
use crate::{
    output::{or_dash, table},
    session::Options,
};

/// What to explain.
#[derive(Args, Debug)]
pub struct Explain {
    /// The application.
    name: String,
    /// Only this component or provider: its name in the manifest, or its id.
    #[arg(long, value_name = "NAME")]
    component: Option<String>,
}

impl Explain {
    /// Asks, and prints the answer.
    ///
    /// # Errors
    /// Nothing of that name, no manager leads, or no answer.
    pub async fn run(self, options: &Options) -> anyhow::Result<()> {
        let session = options.connect().await?;
        let apps = AppClient::new(&session);
        let explanation = apps.explain(&self.name, self.component).await?;
        Ok(session.output.print(&Explained(explanation))?)
    }
}

/// An explanation for people.
#[derive(Serialize)]
#[serde(transparent)]
struct Explained(Explanation);

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Explanation {
            name,
            version,
            status,
            hosts,
            components,
            links,
            configs,
            leftovers,
            lost_hosts,
            unseen_pops,
        } = &self.0;
        write!(f, "{name}: {}", told(status))?;
        match version {
            Some(version) => writeln!(f, " (version {version}; {hosts} host(s) in the lattice)")?,
            None => writeln!(f, " ({hosts} host(s) in the lattice)")?,
        }
        for component in components {
            writeln!(f)?;
            workload(f, component)?;
        }
        if !links.is_empty() {
            writeln!(f, "\nlinks")?;
        }
        for link in links {
            writeln!(f, "  {}: {}", link.link, told(&link.status))?;
            attempt(f, "    ", link.attempt.as_ref())?;
        }
        if !configs.is_empty() {
            writeln!(f, "\nconfigs")?;
        }
        for config in configs {
            let whose = if config.is_own {
                ""
            } else {
                " (somebody else's)"
            };
            let how = match config.there {
                true => "there",
                false => config.why.as_str(),
            };
            writeln!(f, "  {}{whose}: {how}", config.name)?;
            attempt(f, "    ", config.attempt.as_ref())?;
        }
        if !leftovers.is_empty() {
            writeln!(f, "\nto be removed\n  {}", leftovers.join("\n  "))?;
        }
        if !lost_hosts.is_empty() {
            writeln!(f, "\nlost hosts")?;
        }
        for lost in lost_hosts {
            let ran: Vec<&str> = lost.ran.iter().map(|id| id.as_str()).collect();
            let ran = match ran.is_empty() {
                true => "it ran nothing of this application".to_owned(),
                false => format!("it ran {}", ran.join(", ")),
            };
            writeln!(f, "  {} {} ago: {ran}", lost.name, time(lost.ago_ms))?;
        }
        if !unseen_pops.is_empty() {
            writeln!(f, "\nPoPs that can't be seen")?;
        }
        for unseen in unseen_pops {
            let ran: Vec<&str> = unseen.ran.iter().map(|id| id.as_str()).collect();
            let ran = match ran.is_empty() {
                true => "nothing of this application ran there".to_owned(),
                false => format!("{} ran there", ran.join(", ")),
            };
            writeln!(
                f,
                "  {} since {} (hosts {}): {ran}",
                unseen.pop,
                unseen.since,
                unseen.hosts.join(", ")
            )?;
        }
        Ok(())
    }
}

fn workload(f: &mut fmt::Formatter<'_>, report: &WorkloadReport) -> fmt::Result {
    let kind = if report.is_provider {
        "provider"
    } else {
        "component"
    };
    // What failed is told of the host where it did.
    let is_told = report
        .hosts
        .iter()
        .filter_map(|host| host.attempt.as_ref())
        .any(|attempt| attempt.error.is_some());
    let how = match is_told {
        true => word(report.status.ty).to_owned(),
        false => told(&report.status),
    };
    writeln!(
        f,
        "{kind} {}: {} of {} running, {how}",
        report.id, report.running, report.desired
    )?;
    if let Some(image) = &report.image {
        writeln!(f, "  image {image}")?;
    }
    if !report.hosts.is_empty() {
        let rows = report.hosts.iter().map(|host| {
            vec![
                host.name.clone(),
                host.desired.to_string(),
                host.running.to_string(),
                or_dash(host.why.clone()),
            ]
        });
        table(f, "  ", &["HOST", "DESIRED", "RUNNING", "WHY THERE"], rows)?;
    }
    for host in &report.hosts {
        if let Some(problem) = &host.problem {
            writeln!(f, "  on {}: {}", host.name, one_line(problem))?;
        }
        if let Some(attempt) = &host.attempt {
            writeln!(f, "  on {}: {}", host.name, tried(attempt))?;
        }
    }
    for missing in &report.missing {
        writeln!(
            f,
            "  missing {} of spread {}: {}",
            missing.instances, missing.spread, missing.why
        )?;
    }
    let spreads: BTreeSet<&str> = report
        .others
        .iter()
        .map(|others| others.spread.as_str())
        .collect();
    let spreads = spreads.len();
    for others in &report.others {
        let more = others.count.saturating_sub(others.names.len());
        let more = match more {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let of = match spreads {
            0 | 1 => String::new(),
            _ => format!(" for spread {}", others.spread),
        };
        writeln!(
            f,
            "  not on {}{more}{of}: {}",
            others.names.join(", "),
            others.why
        )?;
    }
    for note in &report.notes {
        writeln!(f, "  {note}")?;
    }
    Ok(())
}

fn attempt(
    f: &mut fmt::Formatter<'_>,
    indent: &str,
    attempt: Option<&AttemptReport>,
) -> fmt::Result {
    match attempt {
        Some(attempt) => writeln!(f, "{indent}{}", tried(attempt)),
        None => Ok(()),
    }
}

/// What is being done, and how it went so far.
fn tried(attempt: &AttemptReport) -> String {
    format!("{}: {}", attempt.command, outcome(attempt))
}

/// How it went so far.
pub fn outcome(attempt: &AttemptReport) -> String {
    let mut text = String::new();
    if let Some(error) = &attempt.error {
        text.push_str(&format!(
            "failed {} time(s), last: {}",
            attempt.failures,
            one_line(error)
        ));
    }
    match attempt.retry_in_ms {
        Some(0) => text.push_str("; tried again now"),
        Some(ms) => text.push_str(&format!("; tried again in {}", time(ms))),
        None if attempt.error.is_some() => text.push_str("; being tried again"),
        None => text.push_str("on its way"),
    }
    text
}

fn told(status: &StatusInfo) -> String {
    match (status.ty, status.message.as_str()) {
        (StatusType::Deployed, _) | (_, "") => word(status.ty).to_owned(),
        (ty, message) => format!("{}: {}", word(ty), one_line(message)),
    }
}

/// A time in whole seconds, or in milliseconds where it is shorter.
fn time(ms: u64) -> String {
    let ms = if ms >= 1000 { ms / 1000 * 1000 } else { ms };
    humantime::format_duration(std::time::Duration::from_millis(ms)).to_string()
}

fn one_line(text: &str) -> String {
    text.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_is_told_as_one_reads() {
        let explanation = json!({
            "name": "shop", "version": "v2", "hosts": 3,
            "status": {"type": "reconciling", "message": "Scaling component on 1 host(s)"},
            "components": [{
                "id": "shop-cart", "is_provider": false, "image": "file:///cart.wasm", "scaler": "SpreadScaler",
                "status": {"type": "failed", "message": "no"}, "desired": 3, "running": 1,
                "hosts": [
                    {"host": "HA", "name": "a", "desired": 1, "running": 1, "why": "it runs there already"},
                    {"host": "HB", "name": "b", "desired": 1, "running": 0, "why": "it fits", "attempt": {
                        "command": "scale component shop-cart to 1 on HB", "failures": 2, "error": "no such\nfile", "retry_in_ms": 2500,
                    }},
                ],
                "others": [{"spread": "eu", "rule": "labels", "why": "it has no pop", "count": 10, "names": ["c", "d"]}],
                "missing": [{"instances": 1, "spread": "eu", "rule": "noHost", "why": "no host"}],
            }],
            "links": [{"link": "a -(x:y)-> b", "there": true, "status": {"type": "deployed"}}],
            "configs": [{"name": "shop-url", "is_own": true, "there": false, "why": "not put yet"}],
            "lost_hosts": [{"host": "HC", "name": "edge", "ago_ms": 3400, "ran": ["shop-cart"]}],
            "unseen_pops": [{"pop": "fra", "since": "2026-11-21T18:20:03Z", "hosts": ["d", "e"], "ran": ["shop-cart"]}],
        });
        let explained = Explained(serde_json::from_value(explanation).unwrap());
        assert_eq!(
            explained.to_string(),
            "\
shop: reconciling: Scaling component on 1 host(s) (version v2; 3 host(s) in the lattice)

component shop-cart: 1 of 3 running, failed
  image file:///cart.wasm
  HOST  DESIRED  RUNNING  WHY THERE
  a     1        1        it runs there already
  b     1        0        it fits
  on b: scale component shop-cart to 1 on HB: failed 2 time(s), last: no such file; tried again in 2s
  missing 1 of spread eu: no host
  not on c, d and 8 more: it has no pop

links
  a -(x:y)-> b: deployed

configs
  shop-url: not put yet

lost hosts
  edge 3s ago: it ran shop-cart

PoPs that can't be seen
  fra since 2026-11-21T18:20:03Z (hosts d, e): shop-cart ran there
"
        );
    }
}

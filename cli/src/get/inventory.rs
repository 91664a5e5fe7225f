//! What hosts run.

use std::fmt;

use serde::Serialize;
use trellis_lattice::control::host::{
    CallsMade, ComponentDescription, ComponentStats, Host, HostInventory, ProviderDescription,
};

use crate::output::{Row as _, or_dash, pairs, table};

/// What one host runs.
#[derive(Serialize)]
#[serde(transparent)]
pub struct Inventory(pub HostInventory);

/// What several hosts run.
#[derive(Serialize)]
#[serde(transparent)]
pub struct Inventories(Vec<Inventory>);

impl Inventories {
    /// Of these hosts.
    pub fn new(inventories: Vec<HostInventory>) -> Self {
        Self(inventories.into_iter().map(Inventory).collect())
    }
}

impl fmt::Display for Inventories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(Host::NONE);
        }
        for (index, inventory) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{inventory}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Inventory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = &self.0;
        writeln!(f, "{} {}", host.friendly_name, host.host_id)?;
        writeln!(
            f,
            "  version {}, up {}, labels {}",
            host.version,
            host.uptime_human,
            pairs(&host.labels)
        )?;
        if host.components.is_empty() {
            writeln!(f, "  no components")?;
        } else {
            const COLUMNS: &[&str] = &["COMPONENT", "NAME", "REVISION", "MAX INSTANCES", "IMAGE"];
            table(f, "  ", COLUMNS, host.components.iter().map(component))?;
            for component in &host.components {
                if let Some(made) = component.stats.as_ref().map(|stats| stats.made)
                    && !made.is_none()
                {
                    writeln!(f, "  calls made by {}: {}", component.id, calls(made))?;
                }
            }
        }
        if host.providers.is_empty() {
            return writeln!(f, "  no providers");
        }
        const COLUMNS: &[&str] = &["PROVIDER", "NAME", "REVISION", "IMAGE"];
        table(f, "  ", COLUMNS, host.providers.iter().map(provider))?;
        for provider in &host.providers {
            if let Some(why) = provider.not_ready.as_ref().or(provider.unhealthy.as_ref()) {
                writeln!(f, "  {} does not work: {why}", provider.id)?;
            }
            let Some(stats) = &provider.stats else {
                continue;
            };
            if stats.calls > 0 {
                writeln!(f, "  calls of {}: {}", provider.id, answered(stats))?;
            }
            if !stats.made.is_none() {
                writeln!(f, "  calls made by {}: {}", provider.id, calls(stats.made))?;
            }
        }
        Ok(())
    }
}

/// Calls by the way they went.
fn calls(made: CallsMade) -> String {
    let CallsMade {
        in_process,
        socket,
        own_pop,
        other_pop,
        unknown_pop,
    } = made;
    [
        (in_process, "in process"),
        (socket, "over the socket"),
        (own_pop, "over NATS in this PoP"),
        (other_pop, "over NATS in other PoPs"),
        (unknown_pop, "over NATS without a word from where"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, way)| format!("{count} {way}"))
    .collect::<Vec<_>>()
    .join(", ")
}

/// How calls went that were answered.
fn answered(stats: &ComponentStats) -> String {
    let mut text = format!("{} answered, {} failed", stats.calls, stats.errors);
    if let Some(within) = stats.within(0.99) {
        text.push_str(&format!(", 99 of 100 within {within:.1?}"));
    }
    text
}

fn component(component: &ComponentDescription) -> Vec<String> {
    vec![
        component.id.to_string(),
        or_dash(component.name.clone().unwrap_or_default()),
        component.revision.to_string(),
        component.max_instances.to_string(),
        component.image_ref.clone(),
    ]
}

fn provider(provider: &ProviderDescription) -> Vec<String> {
    vec![
        provider.id.to_string(),
        or_dash(provider.name.clone().unwrap_or_default()),
        provider.revision.to_string(),
        or_dash(provider.image_ref.clone().unwrap_or_default()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_with_how_long_they_took() {
        let mut stats = ComponentStats {
            calls: 200,
            errors: 3,
            latency: vec![0, 0, 150, 47, 0, 3],
            ..ComponentStats::default()
        };
        assert_eq!(
            answered(&stats),
            "200 answered, 3 failed, 99 of 100 within 32.0µs"
        );
        stats.latency = vec![0, 10];
        assert!(
            answered(&stats).ends_with("within 2.0µs"),
            "{}",
            answered(&stats)
        );
        // Longer than is counted.
        stats.latency = vec![1; ComponentStats::BUCKETS];
        assert_eq!(answered(&stats), "200 answered, 3 failed");
    }

    #[test]
    fn calls_are_told_by_the_way_they_went() {
        let made = CallsMade {
            in_process: 3,
            own_pop: 40,
            other_pop: 1,
            ..CallsMade::default()
        };
        assert_eq!(
            calls(made),
            "3 in process, 40 over NATS in this PoP, 1 over NATS in other PoPs"
        );
    }
}

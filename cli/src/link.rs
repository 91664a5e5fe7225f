//! `trellis link`: who calls whom.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;
use trellis_lattice::{
    ComponentId, HostId, Link, LinkKey, LinkName, Within, control::host::ProviderDescription,
    event::Event,
};

use crate::{
    exit::{NoAnswer, Usage},
    output::Done,
    run::outcome::Outcome,
    session::{Options, Session},
};

/// How long a provider has to say what it thinks of a link: its host asks it soon after it told it, and once more when it is not
/// well.
const VERDICT: Duration = Duration::from_secs(3);

/// What to do with a link.
#[derive(Subcommand, Debug)]
pub enum LinkCommand {
    /// Put a link. Where an end of it is a provider, its word is waited for: what it refuses is an error that names the
    /// configuration's key.
    #[command(
        after_help = "Example:\n  trellis link put shop-cart shop-kv wasi:keyvalue/store,atomics --target-config shop-redis"
    )]
    Put(Put),
    /// Delete a link. One that isn't there is no error.
    #[command(after_help = "Example:\n  trellis link del shop-cart wasi:keyvalue")]
    Del(Del),
}

#[derive(Args, Debug)]
pub struct Put {
    /// Who calls: a component's or provider's id.
    source: ComponentId,
    /// Who is called: a component's or provider's id.
    target: ComponentId,
    /// The interfaces, of one WIT package.
    #[arg(
        required = true,
        value_name = "NAMESPACE:PACKAGE/INTERFACE[,INTERFACE]"
    )]
    interfaces: Vec<String>,
    /// The link's name.
    #[arg(long, default_value = "default", value_name = "NAME")]
    name: LinkName,
    /// A named configuration for the source; repeatable, later ones win.
    #[arg(long, value_name = "CONFIG")]
    source_config: Vec<String>,
    /// A named configuration for the target; repeatable, later ones win.
    #[arg(long, value_name = "CONFIG")]
    target_config: Vec<String>,
    /// A residency bound, such as region=eu: its calls never leave it, also when nobody answers within.
    #[arg(long, value_name = "region=NAME|pop=NAME")]
    within: Option<Within>,
    /// Replace a link to another target. Calls in flight finish with the old one.
    #[arg(long)]
    replace: bool,
    /// Don't wait for what the provider says of it.
    #[arg(long)]
    no_wait: bool,
}

#[derive(Args, Debug)]
pub struct Del {
    /// Who calls.
    source: ComponentId,
    /// The WIT package; an interface's name behind it is not looked at.
    #[arg(value_name = "NAMESPACE:PACKAGE")]
    package: String,
    /// The link's name.
    #[arg(long, default_value = "default", value_name = "NAME")]
    name: LinkName,
}

impl LinkCommand {
    /// Does it.
    ///
    /// # Errors
    /// Refused, no answer, or arguments that are no link.
    pub async fn run(self, options: &Options) -> anyhow::Result<()> {
        match self {
            Self::Put(put) => {
                let (replace, no_wait) = (put.replace, put.no_wait);
                let link = put.link()?;
                let session = options.connect().await?;
                let outcome = match no_wait {
                    true => None,
                    false => Some(Outcome::listen(&session).await?),
                };
                if replace {
                    session.control.replace_link(&link).await?;
                } else {
                    session.control.put_link(&link).await?;
                }
                if let Some(outcome) = outcome {
                    accepted(&session, &link, outcome).await?;
                }
                let message = format!("linked {} {}", link.key(), link.target);
                session
                    .output
                    .print(&Done::new(message, json!({ "link": link })))?;
            }
            Self::Del(del) => {
                let key = del.key()?;
                let session = options.connect().await?;
                session.control.delete_link(&key).await?;
                let message = format!("no link any more {key}");
                session
                    .output
                    .print(&Done::new(message, json!({ "deleted": key })))?;
            }
        }
        Ok(())
    }
}

/// Waits for a provider at the link's end to say that it is well with it, where there is one that says anything.
///
/// # Errors
/// It refuses the link.
async fn accepted(session: &Session, link: &Link, outcome: Outcome) -> anyhow::Result<()> {
    let is_end = |id: &ComponentId| *id == link.source_id || *id == link.target;
    let ends = async || -> anyhow::Result<Vec<(HostId, ProviderDescription)>> {
        let inventories = session.inventories().await?.into_iter();
        let ends = inventories.flat_map(|host| {
            let id = host.host_id;
            let providers = host.providers.into_iter();
            providers.map(move |provider| (id.clone(), provider))
        });
        Ok(ends.filter(|(_, provider)| is_end(&provider.id)).collect())
    };
    if ends().await?.is_empty() {
        return Ok(());
    }
    let named = format!("link {} {}", link.key(), link.target);
    // Whoever doesn't name it is well, or ill for a reason of its own.
    let judge = |provider: &ComponentId, host: &HostId, why: &str| match why.contains(&named) {
        true => Err(format!(
            "provider {provider} on host {host} refuses it: {why}; put its configuration right (`trellis config put`) and it is used at once"
        )),
        false => Ok(()),
    };
    let what = format!("the link is kept, but not used: {}", link.key());
    let verdict = outcome.wait(session, &what, |event| match event {
        Event::HealthCheckPassed(check)
        | Event::HealthCheckStatus(check)
        | Event::HealthCheckFailed(check)
            if is_end(&check.provider_id) =>
        {
            let why = check.message.as_deref().unwrap_or_default();
            Some(judge(&check.provider_id, &check.host_id, why))
        }
        _ => None,
    });
    match tokio::time::timeout(VERDICT, verdict).await {
        Ok(Err(error)) if error.is::<NoAnswer>() => {}
        Ok(verdict) => return verdict,
        Err(_) => {}
    }
    // No news: it was put before as it is now. What was said of it then is so still.
    for (host, provider) in ends().await? {
        let why = provider.unhealthy.unwrap_or_default();
        judge(&provider.id, &host, &why).map_err(|why| anyhow::anyhow!("{what}: {why}"))?;
    }
    // One that says nothing, refuses nothing.
    Ok(())
}

impl Put {
    fn link(self) -> Result<Link, Usage> {
        let mut package: Option<(String, String)> = None;
        let mut interfaces = Vec::new();
        for text in &self.interfaces {
            let (namespace, name, rest) = parse(text)?;
            let rest =
                rest.ok_or_else(|| Usage(format!("{text:?} names no interface: write {WANTED}")))?;
            let this = (namespace.to_owned(), name.to_owned());
            if *package.get_or_insert_with(|| this.clone()) != this {
                return Err(Usage(format!(
                    "{text:?} is of another package: a link is about one, put two links"
                )));
            }
            // One version serves the others of its line: links don't name any.
            interfaces.extend(
                rest.split('@')
                    .next()
                    .unwrap_or_default()
                    .split(',')
                    .map(str::to_owned),
            );
        }
        let (wit_namespace, wit_package) = package.unwrap_or_default();
        let link = Link {
            source_id: self.source,
            target: self.target,
            name: self.name,
            wit_namespace,
            wit_package,
            interfaces,
            source_config: self.source_config,
            target_config: self.target_config,
            within: self.within,
        };
        link.check().map_err(|error| Usage(error.to_string()))?;
        Ok(link)
    }
}

impl Del {
    fn key(self) -> Result<LinkKey, Usage> {
        let (namespace, package, _) = parse(&self.package)?;
        Ok(LinkKey {
            source_id: self.source,
            name: self.name,
            wit_namespace: namespace.to_owned(),
            wit_package: package.to_owned(),
        })
    }
}

const WANTED: &str = "NAMESPACE:PACKAGE/INTERFACE, such as wasi:keyvalue/store";

fn parse(text: &str) -> Result<(&str, &str, Option<&str>), Usage> {
    let (namespace, rest) = text
        .split_once(':')
        .ok_or_else(|| Usage(format!("{text:?} is no interface: write {WANTED}")))?;
    Ok(match rest.split_once('/') {
        Some((package, interfaces)) => (namespace, package, Some(interfaces)),
        None => (namespace, rest, None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(interfaces: &[&str]) -> Result<Link, Usage> {
        Put {
            source: ComponentId::new("a").unwrap(),
            target: ComponentId::new("b").unwrap(),
            interfaces: interfaces.iter().map(|text| (*text).to_owned()).collect(),
            name: LinkName::default(),
            source_config: Vec::new(),
            target_config: Vec::new(),
            within: None,
            replace: false,
            no_wait: false,
        }
        .link()
    }

    #[test]
    fn interfaces_are_taken_apart() {
        let link = put(&[
            "wasi:keyvalue/store@0.2.0-draft",
            "wasi:keyvalue/atomics,batch",
        ])
        .unwrap();
        assert_eq!(
            (link.wit_namespace.as_str(), link.wit_package.as_str()),
            ("wasi", "keyvalue")
        );
        assert_eq!(link.interfaces, ["store", "atomics", "batch"]);
    }

    #[test]
    fn what_is_no_interface_is_named() {
        for (interfaces, problem) in [
            (vec!["store"], "\"store\" is no interface"),
            (vec!["wasi:keyvalue"], "names no interface"),
            (
                vec!["wasi:keyvalue/store", "wasi:http/types"],
                "another package",
            ),
            (vec!["wasi:key value/store"], "wit_package"),
        ] {
            let error = put(&interfaces).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }
}

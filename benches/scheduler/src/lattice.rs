//! The lattice: hosts that do at once what they are told.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use trellis_lattice::{
    HostId,
    control::{Annotations, component::ScaleComponent, host::CAPACITY},
};
use trellis_wadm::{
    command::Command,
    observed::{Component, Host, Observed, Provider},
};

/// How many instances the hosts take that take only so many.
const ROOM: u32 = 50;

/// Hosts in PoPs, five regions; every third host has a capacity.
pub fn lattice(hosts: usize, pops: usize) -> Result<Observed> {
    let mut observed = Observed {
        links: Some(BTreeMap::new()),
        ..Observed::default()
    };
    for number in 0..hosts {
        join(&mut observed, number, number % pops)?;
    }
    Ok(observed)
}

/// One more host.
pub fn join(observed: &mut Observed, number: usize, pop: usize) -> Result<()> {
    // As long as a public key.
    let id = HostId::new(format!("N{number:0>55}"))?;
    let mut labels = BTreeMap::from([
        ("hostcore.arch".to_owned(), "x86_64".to_owned()),
        ("hostcore.os".to_owned(), "linux".to_owned()),
        ("pop".to_owned(), format!("pop-{pop}")),
        ("region".to_owned(), format!("region-{}", pop % 5)),
    ]);
    if number.is_multiple_of(3) {
        labels.insert(CAPACITY.to_owned(), ROOM.to_string());
    }
    let host = Host {
        friendly_name: format!("host-{number}"),
        labels,
        ..Host::default()
    };
    observed.hosts.insert(id, host);
    Ok(())
}

/// The hosts in a PoP.
pub fn hosts_of_pop(observed: &Observed, pop: usize) -> Vec<HostId> {
    let pop = format!("pop-{pop}");
    let hosts = observed.hosts.iter();
    hosts
        .filter(|(_, host)| host.labels.get("pop") == Some(&pop))
        .map(|(id, _)| id.clone())
        .collect()
}

/// Does a command.
pub fn carry_out(observed: &mut Observed, command: &Command) -> Result<()> {
    match command {
        Command::Scale(scale) => return self::scale(observed, scale),
        Command::StartProvider(start) => {
            let provider = Provider {
                image: Some(start.provider_ref.clone()),
                annotations: start.annotations.clone().unwrap_or_default(),
                unhealthy: None,
                ..Provider::default()
            };
            let host = host(observed, &start.host_id)?;
            host.providers.insert(start.provider_id.clone(), provider);
        }
        Command::StopProvider(stop) => {
            host(observed, &stop.host_id)?
                .providers
                .remove(&stop.provider_id);
        }
        Command::PutLink { link, .. } => {
            let links = observed.links.get_or_insert_default();
            links.insert(link.key(), link.clone());
        }
        Command::DeleteLink(key) => {
            observed.links.get_or_insert_default().remove(key);
        }
        Command::PutConfig { name, config } => {
            observed.configs.insert(name.clone(), Some(config.clone()));
        }
        Command::DeleteConfig(name) => {
            observed.configs.insert(name.clone(), None);
        }
    }
    Ok(())
}

fn scale(observed: &mut Observed, scale: &ScaleComponent) -> Result<()> {
    let host = host(observed, &scale.host_id)?;
    if scale.count == 0 {
        host.components.remove(&scale.component_id);
        return Ok(());
    }
    let annotations: Annotations = scale.annotations.clone().unwrap_or_default();
    let component = Component {
        image: scale.component_ref.clone(),
        annotations,
        instances: scale.count,
        ..Component::default()
    };
    host.components
        .insert(scale.component_id.clone(), component);
    Ok(())
}

fn host<'a>(observed: &'a mut Observed, id: &HostId) -> Result<&'a mut Host> {
    let host = observed.hosts.get_mut(id);
    host.with_context(|| format!("a command names host {id}, which is not there"))
}

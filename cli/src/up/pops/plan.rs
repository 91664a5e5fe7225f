//! Which PoPs there are, which hosts in them, and where those listen.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use clap::Args;
use trellis_lattice::{PopName, RegionName, topology::check_pop};

use super::latency::{self, Latency};
use crate::{exit::Usage, lattice::config::DataSettings};

/// The most PoPs, and the most hosts of one: each has an address of its own on the loopback.
const MAX_POPS: usize = 100;

/// A lattice in many points of presence.
#[derive(Args, Clone, Debug)]
pub struct PopSettings {
    /// Make these points of presence: a hub, and in each PoP a NATS leaf node and hosts of their own process.
    #[arg(long, value_delimiter = ',', value_name = "NAMES", conflicts_with_all = ["nats_url", "nats_port"])]
    pops: Vec<PopName>,
    /// With --pops: how many hosts each has.
    #[arg(long, default_value_t = 1, requires = "pops", value_name = "N", value_parser = clap::value_parser!(u8).range(1..=50))]
    hosts_per_pop: u8,
    /// With --pops: the region of one, such as fra=eu; repeatable.
    #[arg(long = "region", value_delimiter = ',', requires = "pops", value_name = "POP=REGION", value_parser = region)]
    regions: Vec<(PopName, RegionName)>,
    /// With --pops: the round trip between two, such as fra-sin=120ms, or of one's link to the hub, such as fra-hub=40ms;
    /// repeatable.
    #[arg(
        long = "latency",
        value_delimiter = ',',
        requires = "pops",
        value_name = "ONE-OTHER=TIME"
    )]
    latencies: Vec<Latency>,
    #[command(flatten)]
    pub data: DataSettings,
}

fn region(text: &str) -> Result<(PopName, RegionName), String> {
    let (pop, region) = text
        .split_once('=')
        .ok_or("write it as POP=REGION, such as fra=eu")?;
    let pop = PopName::new(pop).map_err(|error| error.to_string())?;
    let region = RegionName::new(region).map_err(|error| error.to_string())?;
    Ok((pop, region))
}

/// A PoP to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedPop {
    /// Its name.
    pub name: PopName,
    /// Its region.
    pub region: Option<RegionName>,
    /// The round trip of its link to the hub.
    pub round_trip: Duration,
    /// Its hosts.
    pub hosts: Vec<PlannedHost>,
}

/// A host to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedHost {
    /// Its name, such as `fra-1`.
    pub name: String,
    /// Where its providers listen.
    pub address: IpAddr,
}

impl PopSettings {
    /// The PoPs to be made; none where none are asked for.
    ///
    /// # Errors
    /// A name can't be or stands there twice, or latencies don't fit together.
    pub fn plan(&self) -> anyhow::Result<Option<Vec<PlannedPop>>> {
        if self.pops.is_empty() {
            return Ok(None);
        }
        if self.pops.len() > MAX_POPS {
            return Err(Usage(format!("--pops: at most {MAX_POPS} fit on one machine")).into());
        }
        let mut seen = BTreeSet::new();
        for pop in &self.pops {
            check_pop(pop).map_err(|error| Usage(format!("--pops: {error}")))?;
            if !seen.insert(pop) {
                return Err(Usage(format!("--pops names {pop} twice")).into());
            }
        }
        let mut regions = BTreeMap::new();
        for (pop, region) in &self.regions {
            if !seen.contains(pop) {
                return Err(Usage(format!(
                    "--region {pop}={region}: --pops doesn't name {pop}"
                ))
                .into());
            }
            regions.insert(pop, region);
        }
        let links = latency::links(&self.pops, &self.latencies)?;
        let pops = self.pops.iter().zip(1..).map(|(name, number)| PlannedPop {
            name: name.clone(),
            region: regions.get(name).copied().cloned(),
            round_trip: links.get(name).copied().unwrap_or_default(),
            hosts: (1..=self.hosts_per_pop)
                .map(|host| PlannedHost {
                    name: format!("{name}-{host}"),
                    address: Ipv4Addr::new(127, 0, number, host).into(),
                })
                .collect(),
        });
        Ok(Some(pops.collect()))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser, Debug)]
    struct Program {
        #[arg(long)]
        nats_url: Option<String>,
        #[arg(long)]
        nats_port: Option<u16>,
        #[command(flatten)]
        pops: PopSettings,
    }

    fn plan(arguments: &[&str]) -> Result<Option<Vec<PlannedPop>>, String> {
        let arguments = std::iter::once("up").chain(arguments.iter().copied());
        let program = Program::try_parse_from(arguments).map_err(|error| error.to_string())?;
        program.pops.plan().map_err(|error| error.to_string())
    }

    #[test]
    fn every_host_has_its_own_address() {
        let made = plan(&[
            "--pops",
            "fra,iad",
            "--hosts-per-pop=2",
            "--region=fra=eu",
            "--latency=fra-iad=90ms",
        ]);
        let made = made.unwrap().unwrap();
        let hosts: Vec<_> = made
            .iter()
            .flat_map(|pop| &pop.hosts)
            .map(|host| (host.name.as_str(), host.address.to_string()))
            .collect();
        let addresses = ["127.0.1.1", "127.0.1.2", "127.0.2.1", "127.0.2.2"];
        assert_eq!(
            hosts,
            ["fra-1", "fra-2", "iad-1", "iad-2"]
                .into_iter()
                .zip(addresses.map(str::to_owned))
                .collect::<Vec<_>>()
        );
        assert_eq!(made[0].region.as_ref().map(RegionName::as_str), Some("eu"));
        assert_eq!(made[1].region, None);
        assert_eq!(made[1].round_trip, Duration::from_millis(45));
        assert_eq!(plan(&[]), Ok(None));
    }

    #[test]
    fn what_cannot_be_is_refused_and_named() {
        for (arguments, word) in [
            (&["--pops=hub"][..], "hub's name"),
            (&["--pops=fra,fra"], "twice"),
            (&["--pops=f.r"], "f.r"),
            (&["--pops=fra", "--region=iad=us"], "doesn't name iad"),
            (&["--pops=fra", "--region=fra"], "POP=REGION"),
            (&["--pops=fra", "--latency=fra-iad=1ms"], "--latency"),
            (&["--pops=fra", "--hosts-per-pop=0"], "hosts-per-pop"),
            (&["--pops=fra", "--nats-url=nats://h"], "--nats-url"),
            (&["--latency=fra-iad=1ms"], "--pops"),
        ] {
            let refused = plan(arguments).unwrap_err();
            assert!(refused.contains(word), "{arguments:?}: {refused}");
        }
    }
}

//! Every subject of the lattice, in one place (`wasmcloud-v1.md`: Control interface, Events, Providers,
//! Invocation, Application manager).

use std::fmt::Display;

use crate::id::{ComponentId, HostId, LatticeName, PopName, RegionName};

/// The version tokens in every call's subject.
const WRPC: &str = "wrpc.0.0.1";

/// Whom a call is for, of all that serve its target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Tier {
    /// Those in one PoP. Ours.
    Pop(PopName),
    /// Those in one region. Ours.
    Region(RegionName),
    /// All: 1.x's subject.
    Anywhere,
}

impl Display for Tier {
    /// `pop fra`, `region eu` or `anywhere`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pop(pop) => write!(f, "pop {pop}"),
            Self::Region(region) => write!(f, "region {region}"),
            Self::Anywhere => f.write_str("anywhere"),
        }
    }
}

/// The subjects of one lattice.
#[derive(Clone, Debug)]
pub struct Subjects {
    lattice: LatticeName,
}

impl Subjects {
    /// The subjects of that lattice.
    pub fn new(lattice: LatticeName) -> Self {
        Self { lattice }
    }

    /// The lattice.
    pub fn lattice(&self) -> &LatticeName {
        &self.lattice
    }

    fn control(&self, suffix: impl Display) -> String {
        format!("wasmbus.ctl.v1.{}.{suffix}", self.lattice)
    }

    /// Every control request, to whomever.
    pub fn control_all(&self) -> String {
        self.control(">")
    }

    /// Every request to one host: what that host subscribes to.
    pub fn control_of_host(&self, host: &HostId) -> String {
        self.control(format_args!("*.*.{host}"))
    }

    /// Every request of one kind that any host can answer (`link`, `config`, `claims`): subject and queue group.
    /// 1.x's hosts are in the same groups, so that one host of a mixed lattice answers.
    pub fn control_of_any_host(&self, noun: &str) -> (String, String) {
        (
            self.control(format_args!("{noun}.>")),
            self.control(format_args!("{noun}")),
        )
    }

    /// The part of a control request's subject that says what is asked: `noun.verb` and, where it has one, a name.
    pub fn control_suffix<'a>(&self, subject: &'a str) -> Option<&'a str> {
        subject
            .strip_prefix("wasmbus.ctl.v1.")?
            .strip_prefix(self.lattice.as_str())?
            .strip_prefix('.')
    }

    /// All hosts answer with who they are.
    pub fn host_ping(&self) -> String {
        self.control("host.ping")
    }

    /// One host's inventory.
    pub fn host_get(&self, host: &HostId) -> String {
        self.control(format_args!("host.get.{host}"))
    }

    /// Stops one host.
    pub fn host_stop(&self, host: &HostId) -> String {
        self.control(format_args!("host.stop.{host}"))
    }

    /// Hosts that can run a component bid.
    pub fn component_auction(&self) -> String {
        self.control("component.auction")
    }

    /// Hosts that can run a provider bid.
    pub fn provider_auction(&self) -> String {
        self.control("provider.auction")
    }

    /// Scales a component on one host; zero stops it.
    pub fn component_scale(&self, host: &HostId) -> String {
        self.control(format_args!("component.scale.{host}"))
    }

    /// Replaces a component's image on one host.
    pub fn component_update(&self, host: &HostId) -> String {
        self.control(format_args!("component.update.{host}"))
    }

    /// Ours: describes a running component's exports and their types.
    pub fn component_describe(&self, component: &ComponentId) -> String {
        self.control(format_args!("component.describe.{component}"))
    }

    /// Starts a provider on one host.
    pub fn provider_start(&self, host: &HostId) -> String {
        self.control(format_args!("provider.start.{host}"))
    }

    /// Stops a provider on one host.
    pub fn provider_stop(&self, host: &HostId) -> String {
        self.control(format_args!("provider.stop.{host}"))
    }

    /// Puts a link.
    pub fn link_put(&self) -> String {
        self.control("link.put")
    }

    /// Deletes a link.
    pub fn link_del(&self) -> String {
        self.control("link.del")
    }

    /// All links.
    pub fn link_get(&self) -> String {
        self.control("link.get")
    }

    /// Puts a named configuration.
    pub fn config_put(&self, name: &str) -> String {
        self.control(format_args!("config.put.{name}"))
    }

    /// Reads a named configuration.
    pub fn config_get(&self, name: &str) -> String {
        self.control(format_args!("config.get.{name}"))
    }

    /// Deletes a named configuration.
    pub fn config_del(&self, name: &str) -> String {
        self.control(format_args!("config.del.{name}"))
    }

    /// Puts a label on a host.
    pub fn label_put(&self, host: &HostId) -> String {
        self.control(format_args!("label.put.{host}"))
    }

    /// Takes a label off a host.
    pub fn label_del(&self, host: &HostId) -> String {
        self.control(format_args!("label.del.{host}"))
    }

    /// All known claims.
    pub fn claims_get(&self) -> String {
        self.control("claims.get")
    }

    /// An event by its short name, such as `component_scaled`.
    pub fn event(&self, name: &str) -> String {
        format!("wasmbus.evt.{}.{name}", self.lattice)
    }

    /// All events.
    pub fn events(&self) -> String {
        self.event(">")
    }

    /// Where a host says, every [`crate::control::host::BEAT_EVERY`], that it is alive. Ours: 1.x has nothing so small.
    pub fn beat(&self, host: &HostId) -> String {
        format!("trellis.beat.{}.{host}", self.lattice)
    }

    /// All hosts' beats.
    pub fn beats(&self) -> String {
        format!("trellis.beat.{}.*", self.lattice)
    }

    /// The host that a beat is of, by its subject.
    pub fn beat_of<'a>(&self, subject: &'a str) -> Option<&'a str> {
        subject
            .strip_prefix("trellis.beat.")?
            .strip_prefix(self.lattice.as_str())?
            .strip_prefix('.')
    }

    fn provider(&self, provider: &str, suffix: impl Display) -> String {
        format!("wasmbus.rpc.{}.{provider}.{suffix}", self.lattice)
    }

    /// A link is given to a provider (or, as 1.x does too, to a component's id).
    pub fn provider_link_put(&self, provider: &str) -> String {
        self.provider(provider, "linkdefs.put")
    }

    /// Links put and taken, in one subscription so that their order is kept.
    pub fn provider_links(&self, provider: &str) -> String {
        self.provider(provider, "linkdefs.*")
    }

    /// A link is taken from a provider.
    pub fn provider_link_del(&self, provider: &str) -> String {
        self.provider(provider, "linkdefs.del")
    }

    /// Asks a provider for its health.
    pub fn provider_health(&self, provider: &ComponentId) -> String {
        self.provider(provider.as_str(), "health")
    }

    /// Asks that host's provider for its health, and no other of its id. Ours: a 1.x provider doesn't listen there.
    pub fn provider_health_on(&self, provider: &ComponentId, host: &HostId) -> String {
        format!("{}.{host}", self.provider_health(provider))
    }

    /// A provider's own configuration changed.
    pub fn provider_config_update(&self, provider: &ComponentId) -> String {
        self.provider(provider.as_str(), "config.update")
    }

    /// Asks a provider to drain and exit. 1.x always puts the link name `default` there.
    pub fn provider_shutdown(&self, provider: &ComponentId) -> String {
        self.provider(provider.as_str(), "default.shutdown")
    }

    /// Everything called on one target: what its server subscribes to, in the queue group of its id.
    pub fn calls(&self, target: &ComponentId) -> String {
        self.calls_at(target, &Tier::Anywhere)
    }

    /// Everything called on one target of those who serve it in that tier. One that is there subscribes to it beside
    /// [`Self::calls`], in the same queue group.
    pub fn calls_at(&self, target: &ComponentId, tier: &Tier) -> String {
        format!("{}.>", self.calls_to(target, tier))
    }

    /// One call. A function of the world itself has no instance.
    pub fn call(&self, target: &ComponentId, instance: &str, function: &str) -> String {
        self.call_at(target, &Tier::Anywhere, instance, function)
    }

    /// One call for those of a tier.
    pub fn call_at(
        &self,
        target: &ComponentId,
        tier: &Tier,
        instance: &str,
        function: &str,
    ) -> String {
        let to = self.calls_to(target, tier);
        match instance {
            "" => format!("{to}.{function}"),
            _ => format!("{to}.{instance}.{function}"),
        }
    }

    fn calls_to(&self, target: &ComponentId, tier: &Tier) -> String {
        let lattice = &self.lattice;
        match tier {
            Tier::Pop(pop) => format!("{lattice}.{target}.pop.{pop}.{WRPC}"),
            Tier::Region(region) => format!("{lattice}.{target}.region.{region}.{WRPC}"),
            Tier::Anywhere => format!("{lattice}.{target}.{WRPC}"),
        }
    }

    /// Ours: asks every PoP whether it is there. All that serve calls in a PoP are a queue group of its name, so that one
    /// answers, with a [`crate::place::PopPresence`].
    pub fn pops(&self) -> String {
        format!("trellis.pops.{}", self.lattice)
    }

    /// Ours: tells every server of a target that a caller gave up; the payload is that call's inbox.
    pub fn call_cancel(&self, target: &ComponentId) -> String {
        format!("{}.{target}.trellis.cancel", self.lattice)
    }

    /// The part of a call's subject after the version, whatever tier it is for: `instance.function`.
    pub fn call_suffix<'a>(&self, target: &ComponentId, subject: &'a str) -> Option<&'a str> {
        let rest = subject
            .strip_prefix(self.lattice.as_str())?
            .strip_prefix('.')?
            .strip_prefix(target.as_str())?
            .strip_prefix('.')?;
        let tier = rest
            .strip_prefix("pop.")
            .or_else(|| rest.strip_prefix("region."));
        let rest = match tier {
            Some(tier) => tier.split_once('.')?.1,
            None => rest,
        };
        rest.strip_prefix(WRPC)?.strip_prefix('.')
    }

    /// An application manager request: `put` or `list`.
    pub fn app(&self, verb: &str) -> String {
        format!("wadm.api.{}.model.{verb}", self.lattice)
    }

    /// An application manager request about one application: `get`, `del`, `deploy`, `undeploy`, `status`, `versions`.
    pub fn app_named(&self, verb: &str, application: &str) -> String {
        format!("wadm.api.{}.model.{verb}.{application}", self.lattice)
    }

    /// All application manager requests.
    pub fn apps(&self) -> String {
        self.app(">")
    }

    /// Where the application manager tells what it did and what happened to applications, as CloudEvents. Ours.
    pub fn app_event(&self, name: &str) -> String {
        format!("wadm.evt.{}.{name}", self.lattice)
    }

    /// Where the application manager tells of an application's status.
    pub fn app_status(&self, application: &str) -> String {
        format!("wadm.status.{}.{application}", self.lattice)
    }

    /// Every call of every target, in every form, and what goes with calls.
    pub fn every_call(&self) -> String {
        format!("{}.>", self.lattice)
    }

    /// Everything that hosts and providers say to each other.
    pub fn every_provider(&self) -> String {
        format!("wasmbus.rpc.{}.>", self.lattice)
    }

    /// Control requests by the end of their subject, which may have wildcards.
    pub fn control_any(&self, suffix: &str) -> String {
        self.control(suffix)
    }

    /// All that is ours alone and neither a call nor the application manager's.
    pub fn every_own(&self) -> [String; 2] {
        [
            format!("trellis.*.{}", self.lattice),
            format!("trellis.*.{}.>", self.lattice),
        ]
    }

    /// How the subjects of every lattice begin, but for calls, which begin with the lattice's name.
    pub fn own_first_tokens() -> [&'static str; 5] {
        ["wasmbus", "wadm", "trellis", "wasmcloud", "_INBOX"]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_s_subjects_are_apart_from_all_others() {
        let subjects = Subjects::new(LatticeName::default());
        let target = ComponentId::new("kv").unwrap();
        let pop = Tier::Pop("fra".parse().unwrap());
        let region = Tier::Region("eu".parse().unwrap());
        assert_eq!(
            subjects.calls_at(&target, &pop),
            "default.kv.pop.fra.wrpc.0.0.1.>"
        );
        assert_eq!(
            subjects.calls_at(&target, &region),
            "default.kv.region.eu.wrpc.0.0.1.>"
        );
        assert_eq!(subjects.calls(&target), "default.kv.wrpc.0.0.1.>");
        for tier in [&pop, &region, &Tier::Anywhere] {
            for (instance, function, suffix) in [
                (
                    "wasi:keyvalue/store@0.2.0",
                    "bucket.get",
                    "wasi:keyvalue/store@0.2.0.bucket.get",
                ),
                ("", "run", "run"),
            ] {
                let subject = subjects.call_at(&target, tier, instance, function);
                assert_eq!(subjects.call_suffix(&target, &subject), Some(suffix));
            }
        }
        for odd in [
            "default.kv.pop.wrpc.0.0.1.run",
            "default.kv.pop",
            "default.kv.pop.fra",
        ] {
            assert_eq!(subjects.call_suffix(&target, odd), None, "{odd}");
        }
    }

    #[test]
    fn a_call_s_subject_can_be_taken_apart_again() {
        let subjects = Subjects::new(LatticeName::default());
        let target = ComponentId::new("kv").unwrap();
        let subject = subjects.call(&target, "wrpc:keyvalue/atomics@0.2.0-draft", "increment");
        assert_eq!(
            subject,
            "default.kv.wrpc.0.0.1.wrpc:keyvalue/atomics@0.2.0-draft.increment"
        );
        assert_eq!(
            subjects.call_suffix(&target, &subject),
            Some("wrpc:keyvalue/atomics@0.2.0-draft.increment")
        );
        assert_eq!(
            subjects.call_suffix(&ComponentId::new("other").unwrap(), &subject),
            None
        );
    }
}

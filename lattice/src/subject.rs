//! Every subject of the lattice, in one place (`wasmcloud-v1.md`: Control interface, Events, Providers,
//! Invocation, Application manager).

use std::fmt::Display;

use crate::id::{ComponentId, HostId, LatticeName};

/// The version tokens in every call's subject.
const WRPC: &str = "wrpc.0.0.1";

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
        format!("{}.{target}.{WRPC}.>", self.lattice)
    }

    /// One call. A function of the world itself has no instance.
    pub fn call(&self, target: &ComponentId, instance: &str, function: &str) -> String {
        let lattice = &self.lattice;
        match instance {
            "" => format!("{lattice}.{target}.{WRPC}.{function}"),
            _ => format!("{lattice}.{target}.{WRPC}.{instance}.{function}"),
        }
    }

    /// Ours: tells every server of a target that a caller gave up; the payload is that call's inbox.
    pub fn call_cancel(&self, target: &ComponentId) -> String {
        format!("{}.{target}.trellis.cancel", self.lattice)
    }

    /// The part of a call's subject after the version: `instance.function`.
    pub fn call_suffix<'a>(&self, target: &ComponentId, subject: &'a str) -> Option<&'a str> {
        subject
            .strip_prefix(self.lattice.as_str())?
            .strip_prefix('.')?
            .strip_prefix(target.as_str())?
            .strip_prefix('.')?
            .strip_prefix(WRPC)?
            .strip_prefix('.')
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
}

#[cfg(test)]
mod tests {
    use super::*;

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

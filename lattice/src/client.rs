//! The typed client of the control interface: what the CLI, the application manager and tests speak to hosts with.

mod request;

use std::time::Duration;

use async_nats::Client;

use crate::{
    config::Config,
    control::{
        claims::ClaimsEntry,
        component::{
            ComponentAuction, ComponentBid, ComponentExports, ScaleComponent, UpdateComponent,
        },
        host::{Host, HostInventory, StopHost},
        label::{DeleteLabel, PutLabel},
        link::PutLink,
        provider::{ProviderAuction, ProviderBid, StartProvider, StopProvider},
    },
    decode::DecodeError,
    id::{ComponentId, HostId, LatticeName},
    link::{Link, LinkKey},
    subject::Subjects,
};

/// A request that did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody answers that subject.
    #[error("no answer: {what} is not in lattice {lattice:?}. `trellis get hosts` shows who is")]
    NoResponder {
        /// Who was asked.
        what: String,
        /// Where.
        lattice: String,
    },
    /// No answer in time. The request may have been carried out.
    #[error("no answer to {request} within {} ms; it may have been carried out", .timeout.as_millis())]
    TimedOut {
        /// What was asked.
        request: String,
        /// How long was waited.
        timeout: Duration,
    },
    /// Asked, and refused.
    #[error("{request}: {message}")]
    Refused {
        /// What was asked.
        request: String,
        /// Why not.
        message: String,
    },
    /// An answer that isn't one.
    #[error("answer to {request}: {source}")]
    Decode {
        /// What was asked.
        request: String,
        /// What is wrong with the answer.
        source: DecodeError,
    },
    /// NATS itself failed.
    #[error("{request}: NATS: {source}")]
    Nats {
        /// What was asked.
        request: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Asks the hosts of one lattice.
#[derive(Clone, Debug)]
pub struct ControlClient {
    client: Client,
    subjects: Subjects,
    timeout: Duration,
    auction_timeout: Duration,
    /// What [`crate::header::FENCE`] says on every request, as text.
    fence: Option<async_nats::HeaderValue>,
}

impl ControlClient {
    /// A client of that lattice, with 5 s for a request and 500 ms for all hosts to answer one that is for all.
    pub fn new(client: Client, lattice: LatticeName) -> Self {
        Self {
            client,
            subjects: Subjects::new(lattice),
            timeout: Duration::from_secs(5),
            auction_timeout: Duration::from_millis(500),
            fence: None,
        }
    }

    /// Waits that long for an answer.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Waits that long for all hosts to answer a request that is for all.
    #[must_use]
    pub fn with_auction_timeout(mut self, timeout: Duration) -> Self {
        self.auction_timeout = timeout;
        self
    }

    /// Puts the number of the sender's leadership on every request from now on ([`crate::header::FENCE`]): hosts refuse
    /// commands of a lower one than the highest they have seen. Of a clone it changes that clone alone, so that what an
    /// earlier leadership still sends never carries a later one's number.
    #[must_use]
    pub fn with_fence(mut self, number: u64) -> Self {
        self.fence = Some(async_nats::HeaderValue::from(number));
        self
    }

    /// The lattice's subjects.
    pub fn subjects(&self) -> &Subjects {
        &self.subjects
    }

    /// The NATS connection.
    pub fn nats(&self) -> &Client {
        &self.client
    }

    /// All hosts that answer within the time for all.
    ///
    /// # Errors
    /// NATS failed. No host at all is an empty list.
    pub async fn hosts(&self) -> Result<Vec<Host>, ControlError> {
        let mut hosts = self
            .request_all("host ping", self.subjects.host_ping(), &())
            .await?;
        hosts.sort_by(|a: &Host, b: &Host| {
            a.friendly_name
                .cmp(&b.friendly_name)
                .then_with(|| a.id.cmp(&b.id))
        });
        hosts.dedup_by(|a, b| a.id == b.id);
        Ok(hosts)
    }

    /// What a host runs.
    ///
    /// # Errors
    /// No such host, or as every request.
    pub async fn inventory(&self, host: &HostId) -> Result<HostInventory, ControlError> {
        self.request_for(
            "inventory",
            host.as_str(),
            self.subjects.host_get(host),
            &(),
        )
        .await
    }

    /// Stops a host; it drains for at most that long.
    ///
    /// # Errors
    /// No such host, or as every request.
    pub async fn stop_host(
        &self,
        host: &HostId,
        timeout: Option<Duration>,
    ) -> Result<(), ControlError> {
        let timeout = timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        let request = StopHost {
            host_id: host.clone(),
            timeout,
        };
        self.command(
            "stop host",
            host.as_str(),
            self.subjects.host_stop(host),
            &request,
        )
        .await
    }

    /// Hosts that could run a component.
    ///
    /// # Errors
    /// NATS failed. No bid at all is an empty list.
    pub async fn auction_component(
        &self,
        auction: &ComponentAuction,
    ) -> Result<Vec<ComponentBid>, ControlError> {
        self.request_all(
            "component auction",
            self.subjects.component_auction(),
            auction,
        )
        .await
    }

    /// Hosts that could run a provider.
    ///
    /// # Errors
    /// NATS failed. No bid at all is an empty list.
    pub async fn auction_provider(
        &self,
        auction: &ProviderAuction,
    ) -> Result<Vec<ProviderBid>, ControlError> {
        self.request_all(
            "provider auction",
            self.subjects.provider_auction(),
            auction,
        )
        .await
    }

    /// Scales a component; accepted is not done: the outcome is an event.
    ///
    /// # Errors
    /// No such host, refused at once, or as every request.
    pub async fn scale_component(&self, request: &ScaleComponent) -> Result<(), ControlError> {
        let host = &request.host_id;
        self.command(
            "scale component",
            host.as_str(),
            self.subjects.component_scale(host),
            request,
        )
        .await
    }

    /// Replaces a component's image; accepted is not done: the outcome is an event.
    ///
    /// # Errors
    /// No such host, not running there, or as every request.
    pub async fn update_component(&self, request: &UpdateComponent) -> Result<(), ControlError> {
        let host = &request.host_id;
        self.command(
            "update component",
            host.as_str(),
            self.subjects.component_update(host),
            request,
        )
        .await
    }

    /// What a running component exports. Ours: a lattice of 1.x hosts alone has nobody to answer.
    ///
    /// # Errors
    /// Nobody runs it, or as every request.
    pub async fn describe_component(
        &self,
        component: &ComponentId,
    ) -> Result<ComponentExports, ControlError> {
        let subject = self.subjects.component_describe(component);
        self.request_for("describe component", component.as_str(), subject, &())
            .await
    }

    /// Starts a provider; accepted is not done: the outcome is an event.
    ///
    /// # Errors
    /// No such host, refused at once, or as every request.
    pub async fn start_provider(&self, request: &StartProvider) -> Result<(), ControlError> {
        let host = &request.host_id;
        self.command(
            "start provider",
            host.as_str(),
            self.subjects.provider_start(host),
            request,
        )
        .await
    }

    /// Stops a provider.
    ///
    /// # Errors
    /// No such host, not running there, or as every request.
    pub async fn stop_provider(&self, request: &StopProvider) -> Result<(), ControlError> {
        let host = &request.host_id;
        self.command(
            "stop provider",
            host.as_str(),
            self.subjects.provider_stop(host),
            request,
        )
        .await
    }

    /// Puts a link.
    ///
    /// # Errors
    /// Another target is linked already, a configuration is missing, or as every request.
    pub async fn put_link(&self, link: &Link) -> Result<(), ControlError> {
        self.command("put link", "any host", self.subjects.link_put(), link)
            .await
    }

    /// Puts a link in the place of whatever link there is of the same source, name and package. Ours: a 1.x host
    /// refuses when the target is another.
    ///
    /// # Errors
    /// A configuration is missing, or as every request.
    pub async fn replace_link(&self, link: &Link) -> Result<(), ControlError> {
        let request = PutLink {
            link: link.clone(),
            replace: true,
        };
        self.command(
            "replace link",
            "any host",
            self.subjects.link_put(),
            &request,
        )
        .await
    }

    /// Deletes a link. Deleting one that isn't there is no error.
    ///
    /// # Errors
    /// As every request.
    pub async fn delete_link(&self, key: &LinkKey) -> Result<(), ControlError> {
        self.command("delete link", "any host", self.subjects.link_del(), key)
            .await
    }

    /// All links.
    ///
    /// # Errors
    /// As every request.
    pub async fn links(&self) -> Result<Vec<Link>, ControlError> {
        self.request_for("links", "any host", self.subjects.link_get(), &())
            .await
    }

    /// Puts a configuration.
    ///
    /// # Errors
    /// Bad name, too large, or as every request.
    pub async fn put_config(&self, name: &str, config: &Config) -> Result<(), ControlError> {
        self.command(
            "put config",
            "any host",
            self.subjects.config_put(name),
            config,
        )
        .await
    }

    /// Reads a configuration; `None` when there is none of that name.
    ///
    /// # Errors
    /// As every request.
    pub async fn config(&self, name: &str) -> Result<Option<Config>, ControlError> {
        Ok(self
            .request(
                "get config",
                "any host",
                self.subjects.config_get(name),
                &(),
            )
            .await?
            .response)
    }

    /// Deletes a configuration. Deleting one that isn't there is no error.
    ///
    /// # Errors
    /// As every request.
    pub async fn delete_config(&self, name: &str) -> Result<(), ControlError> {
        self.command(
            "delete config",
            "any host",
            self.subjects.config_del(name),
            &(),
        )
        .await
    }

    /// Puts a label on a host.
    ///
    /// # Errors
    /// No such host, a label of the host program itself, or as every request.
    pub async fn put_label(&self, host: &HostId, label: &PutLabel) -> Result<(), ControlError> {
        self.command(
            "put label",
            host.as_str(),
            self.subjects.label_put(host),
            label,
        )
        .await
    }

    /// Takes a label off a host.
    ///
    /// # Errors
    /// No such host, or as every request.
    pub async fn delete_label(
        &self,
        host: &HostId,
        label: &DeleteLabel,
    ) -> Result<(), ControlError> {
        self.command(
            "delete label",
            host.as_str(),
            self.subjects.label_del(host),
            label,
        )
        .await
    }

    /// All claims that the lattice knows.
    ///
    /// # Errors
    /// As every request.
    pub async fn claims(&self) -> Result<Vec<ClaimsEntry>, ControlError> {
        self.request_for("claims", "any host", self.subjects.claims_get(), &())
            .await
    }
}

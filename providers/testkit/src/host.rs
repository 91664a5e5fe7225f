//! What a host says to its providers.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::json;
use trellis_provider::{
    Health, HostData,
    contract::{
        ComponentId, HostId, LatticeName, LinkName, Place, ResolvedLink, connect::NatsSettings,
        control::host::ComponentStats, provider::HealthAnswer, subject::Subjects,
    },
    rpc::{
        CallContext,
        nats::{NatsOptions, NatsRpc, Whereabouts},
    },
};
use trellis_tests::{nats::NatsServer, wait::until};

/// A host's key; nothing is signed with it here.
const HOST_ID: &str = "NBQI4KQWCYBPJA3DHESESOKOU4GP6DOXYXHZ5BA6DQ3QPNXGIKVJVZCB";

/// A host, as far as a provider sees one.
#[derive(Debug)]
pub struct Host {
    url: String,
    client: async_nats::Client,
    rpc: NatsRpc,
    subjects: Subjects,
    host_id: HostId,
    place: Option<Place>,
}

impl Host {
    /// A host on that server.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn on(server: &NatsServer) -> Result<Self> {
        Self::connected(&NatsSettings::new(server.url())).await
    }

    /// A host that connects so. What its providers are started with has its server, and no user.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn connected(settings: &NatsSettings) -> Result<Self> {
        let client = settings.connect("test").await?;
        Ok(Self {
            url: settings.url.clone(),
            rpc: NatsRpc::new(client.clone(), LatticeName::default()),
            client,
            subjects: Subjects::new(LatticeName::default()),
            host_id: HostId::new(HOST_ID)?,
            place: None,
        })
    }

    /// The same host in a PoP.
    #[must_use]
    pub fn placed(self, place: Place) -> Self {
        let whereabouts = Whereabouts {
            host: Some(self.host_id.clone()),
            place: Some(place.clone()),
        };
        let (lattice, options) = (LatticeName::default(), NatsOptions::default());
        Self {
            rpc: NatsRpc::at(self.client.clone(), lattice, options, whereabouts),
            place: Some(place),
            ..self
        }
    }

    /// Its id.
    pub fn id(&self) -> &HostId {
        &self.host_id
    }

    /// The host's connection.
    pub fn client(&self) -> &async_nats::Client {
        &self.client
    }

    /// Calls over the host's connection.
    pub fn rpc(&self) -> &NatsRpc {
        &self.rpc
    }

    /// What a provider of that id is started with.
    ///
    /// # Errors
    /// The id can't be one.
    pub fn data(
        &self,
        provider: &str,
        config: &[(&str, &str)],
        links: Vec<ResolvedLink>,
    ) -> Result<HostData> {
        let config: BTreeMap<_, _> = config.iter().copied().collect();
        let data = json!({
            "host_id": self.host_id,
            "lattice_rpc_prefix": "default",
            "lattice_rpc_url": self.url,
            "provider_key": provider,
            "config": config,
            "link_definitions": links,
            "trellis_place": self.place,
        });
        Ok(serde_json::from_value(data)?)
    }

    /// Puts a link to a provider.
    ///
    /// # Errors
    /// NATS doesn't take it.
    pub async fn put(&self, provider: &str, link: &ResolvedLink) -> Result<()> {
        self.say(
            self.subjects.provider_link_put(provider),
            serde_json::to_vec(link)?,
        )
        .await
    }

    /// Deletes a link from a provider.
    ///
    /// # Errors
    /// NATS doesn't take it.
    pub async fn delete(&self, provider: &str, link: &ResolvedLink) -> Result<()> {
        self.say(
            self.subjects.provider_link_del(provider),
            serde_json::to_vec(link)?,
        )
        .await
    }

    /// Changes a provider's configuration.
    ///
    /// # Errors
    /// NATS doesn't take it.
    pub async fn configure(&self, provider: &str, config: &[(&str, &str)]) -> Result<()> {
        let config: BTreeMap<_, _> = config.iter().copied().collect();
        let subject = self.subjects.provider_config_update(&provider.parse()?);
        self.say(subject, serde_json::to_vec(&config)?).await
    }

    async fn say(&self, subject: String, payload: Vec<u8>) -> Result<()> {
        self.client.publish(subject, payload.into()).await?;
        self.client.flush().await?;
        Ok(())
    }

    /// A provider's health.
    ///
    /// # Errors
    /// It doesn't answer.
    pub async fn health(&self, provider: &str) -> Result<Health> {
        Ok(self.ask(provider).await?.health)
    }

    /// How the calls to a provider went, and how many it made, by its own count.
    ///
    /// # Errors
    /// It doesn't answer, or doesn't say.
    pub async fn stats(&self, provider: &str) -> Result<ComponentStats> {
        let stats = self.ask(provider).await?.stats;
        stats.context("it says nothing of its calls")
    }

    async fn ask(&self, provider: &str) -> Result<HealthAnswer> {
        let id: ComponentId = provider.parse()?;
        let answer = self
            .client
            .request(self.subjects.provider_health(&id), "".into());
        let answer = tokio::time::timeout(Duration::from_secs(5), answer).await??;
        Ok(serde_json::from_slice(&answer.payload)?)
    }

    /// Waits until a provider is healthy, or unhealthy, and gives its message.
    ///
    /// # Errors
    /// It doesn't become so.
    pub async fn until_healthy(&self, provider: &str, healthy: bool) -> Result<String> {
        until("the provider's health changes", || async {
            let health = self.health(provider).await?;
            anyhow::ensure!(health.healthy == healthy, "it is {health:?}");
            Ok(health.message.unwrap_or_default())
        })
        .await
    }

    /// Asks a provider to end, and gives its answer.
    ///
    /// # Errors
    /// It doesn't answer.
    pub async fn shut_down(&self, provider: &str) -> Result<String> {
        let subject = self.subjects.provider_shutdown(&provider.parse()?);
        let request = serde_json::to_vec(&json!({ "host_id": self.host_id }))?;
        let answer = self.client.request(subject, request.into());
        let answer = tokio::time::timeout(Duration::from_secs(5), answer).await??;
        String::from_utf8(answer.payload.to_vec()).context("the answer is not text")
    }
}

/// The context of a component's call over a link.
pub(crate) fn context(source: &str, link: &LinkName) -> CallContext {
    CallContext {
        source_id: Some(source.into()),
        link_name: Some(link.to_shared()),
        ..CallContext::default()
    }
}

//! Links to their clients.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt as _};
use trellis_provider::{
    Lattice, LinkConfig, LinkError, LinkTable, Provider, Shared, StartError,
    config::{NoConfig, SettingsError},
    contract::LinkKey,
    rpc::{
        CallError, Handler, IncomingCall, Outgoing,
        interface::http::{
            ErrorCode, Request as WireRequest, Response as WireResponse, outgoing_handle,
        },
    },
};

use crate::{
    client::Client,
    config::{ClientConfig, Settings},
};

/// The provider. Links of equal settings share their connections.
pub struct HttpClient {
    own: ClientConfig,
    links: LinkTable<Arc<Client>>,
    clients: Shared<Settings, Client>,
}

impl Provider for HttpClient {
    const NAME: &'static str = crate::NAME;
    type Config = ClientConfig;
    type SourceConfig = NoConfig;
    type TargetConfig = ClientConfig;

    async fn start(own: ClientConfig, _: Lattice) -> Result<Self, StartError> {
        // A wrong default is better told at once than with the first link.
        own.settings(&ClientConfig::default())
            .map_err(|error| StartError(format!("the provider's configuration: {error}")))?;
        Ok(Self {
            own,
            links: LinkTable::default(),
            clients: Shared::default(),
        })
    }

    fn handler(self: &Arc<Self>) -> Option<Arc<dyn Handler>> {
        Some(self.clone())
    }

    async fn receive_link_config_as_target(
        &self,
        link: LinkConfig<ClientConfig>,
    ) -> Result<(), LinkError> {
        let settings = link.config.settings(&self.own);
        let client = settings.and_then(|settings| self.client(settings));
        let client = client.map_err(|error| link.config_error(error.field, error.problem))?;
        tracing::info!(%link, "requests of this link may go out");
        self.links.put(&link.key(), client);
        Ok(())
    }

    async fn delete_link_as_target(&self, link: &LinkKey) {
        self.links.remove(link);
    }
}

impl HttpClient {
    /// The client of those settings, which is there already when another link has it.
    fn client(&self, settings: Settings) -> Result<Arc<Client>, SettingsError> {
        if let Some(client) = self.clients.get(&settings) {
            return Ok(client);
        }
        // Links come one after the other, so nobody else makes it meanwhile.
        let client = Client::new(settings.clone())?;
        Ok(self.clients.put(settings, client))
    }

    async fn answer(&self, call: IncomingCall) -> Result<Outgoing, CallError> {
        let IncomingCall {
            operation,
            context: by,
            params,
            ..
        } = call;
        if operation != *outgoing_handle() {
            return Err(CallError::UnknownFunction {
                target: by.target_id.as_deref().unwrap_or(crate::NAME).to_owned(),
                operation: operation.to_string(),
            });
        }
        let (request, options) = WireRequest::from_outgoing_params(params)?;
        let response = match self.links.get(&by).await {
            Ok(client) => client.send(request, options.as_ref()).await,
            Err(error) => Err(ErrorCode::InternalError(Some(error.to_string()))),
        };
        Ok(WireResponse::into_result(response))
    }
}

impl Handler for HttpClient {
    fn handle(
        self: Arc<Self>,
        call: IncomingCall,
    ) -> BoxFuture<'static, Result<Outgoing, CallError>> {
        async move { self.answer(call).await }.boxed()
    }
}

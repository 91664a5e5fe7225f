//! Links to their databases, and calls to the database of their link.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt as _};
use trellis_provider::{
    Backend, Lattice, Linked,
    config::SettingsError,
    contract::ComponentId,
    rpc::{CallContext, CallError, Handler, IncomingCall, Outgoing, interface::Function},
};

use crate::{
    config::{PostgresConfig, Settings},
    database::Database,
    wire::{
        Exec, ExecError, PREPARED, Prepare, PrepareError, QUERY, Query, QueryBatch, QueryError,
        TRANSACTION, Transact, TransactionError,
    },
};

/// The provider. Links of equal settings share their connections.
pub type SqldbPostgres = Linked<Database>;

impl Backend for Database {
    const NAME: &'static str = crate::NAME;
    type Config = PostgresConfig;
    type Settings = Settings;

    fn settings(
        link: &PostgresConfig,
        own: &PostgresConfig,
        _: &ComponentId,
    ) -> Result<Settings, SettingsError> {
        link.settings(own)
    }

    fn new(settings: Settings, _: &Lattice) -> Result<Self, SettingsError> {
        Self::new(settings)
    }

    fn shown(&self) -> &str {
        self.place()
    }

    async fn check(&self) -> Result<(), String> {
        self.ping().await
    }

    fn handler(provider: Arc<Linked<Self>>) -> Arc<dyn Handler> {
        Arc::new(Answers { provider })
    }
}

/// Answers calls from the database of their link.
struct Answers {
    provider: Arc<Linked<Database>>,
}

impl Handler for Answers {
    fn handle(
        self: Arc<Self>,
        call: IncomingCall,
    ) -> BoxFuture<'static, Result<Outgoing, CallError>> {
        async move { self.answer(call).await }.boxed()
    }
}

impl Answers {
    async fn linked(&self, by: &CallContext, instance: &str) -> Result<Arc<Database>, String> {
        // `wasmcloud:postgres` and our `trellis:postgres` are linked each for itself.
        let namespace = instance.split(':').next().unwrap_or_default();
        let linked = self.provider.linked_of(by, namespace, "postgres").await;
        linked.map_err(|error| error.to_string())
    }

    async fn answer(&self, call: IncomingCall) -> Result<Outgoing, CallError> {
        let IncomingCall {
            operation,
            context: by,
            params,
            ..
        } = call;
        let database = self.linked(&by, &operation.instance).await;
        Ok(match (&*operation.instance, &*operation.function) {
            (QUERY, "query") => {
                let (sql, params) = Query::decode_params(params)?;
                Query::answer(&match database {
                    Ok(database) => database.query(&sql, params).await,
                    Err(why) => Err(QueryError::Unexpected(why)),
                })
            }
            (QUERY, "query-batch") => {
                let (sql,) = QueryBatch::decode_params(params)?;
                QueryBatch::answer(&match database {
                    Ok(database) => database.query_batch(&sql).await,
                    Err(why) => Err(QueryError::Unexpected(why)),
                })
            }
            (PREPARED, "prepare") => {
                let (sql,) = Prepare::decode_params(params)?;
                Prepare::answer(&match database {
                    Ok(database) => database.prepare(&sql).await,
                    Err(why) => Err(PrepareError::Unexpected(why)),
                })
            }
            (PREPARED, "exec") => {
                let (token, params) = Exec::decode_params(params)?;
                Exec::answer(&match database {
                    Ok(database) => database.exec(&token, params).await,
                    Err(why) => Err(ExecError::Unexpected(why)),
                })
            }
            (TRANSACTION, "transact") => {
                let (statements, isolation) = Transact::decode_params(params)?;
                Transact::answer(&match database {
                    Ok(database) => database.transact(&statements, isolation).await,
                    Err(why) => Err(TransactionError::Unexpected(why)),
                })
            }
            _ => {
                return Err(CallError::UnknownFunction {
                    target: by.target_id.as_deref().unwrap_or(crate::NAME).to_owned(),
                    operation: operation.to_string(),
                });
            }
        })
    }
}

//! The host's side of one provider: it starts the process, gives it its link, and calls it over a Unix socket.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Result};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, Command},
};
use trellis_lattice::{ComponentId, Link, LinkName, ResolvedLink, provider::HostData};
use trellis_rpc::{
    Call, CallContext, Incoming, Operation, Outgoing, Route,
    interface::Function,
    socket::{Admission, SocketOptions, SocketRpc},
};
use trellis_tests::{actors, nats::NatsServer};

use crate::routes::Nowhere;

/// Who calls.
const SOURCE: &str = "bench";
/// What the provider shows when it connects.
const TOKEN: &str = "bench";
/// A host's key; nothing is signed with it here.
const HOST_ID: &str = "NBQI4KQWCYBPJA3DHESESOKOU4GP6DOXYXHZ5BA6DQ3QPNXGIKVJVZCB";

/// A host with one provider.
pub struct Host {
    provider: ComponentId,
    nats: NatsServer,
    rpc: SocketRpc,
    folder: TempDir,
    /// Ends with the host.
    process: Mutex<Option<Child>>,
}

/// A way to the provider.
#[derive(Clone)]
pub struct Provider {
    route: Arc<dyn Route>,
}

impl Host {
    /// A host, and its NATS server. The provider isn't there yet.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn start(provider: &str) -> Result<Self> {
        let provider = ComponentId::new(provider)?;
        let folder = tempfile::tempdir()?;
        let admits = Arc::new(Admits(provider.clone()));
        let socket = folder.path().join("socket");
        Ok(Self {
            rpc: SocketRpc::listen(&socket, admits, SocketOptions::default())?,
            nats: NatsServer::start().await?,
            provider,
            folder,
            process: Mutex::default(),
        })
    }

    /// The lattice's NATS server.
    pub fn nats(&self) -> &NatsServer {
        &self.nats
    }

    /// A folder of its own, which goes with it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the provider with one link to it.
    ///
    /// # Errors
    /// It can't be started.
    pub async fn run(&self, package: &str, config: &[(&str, &str)]) -> Result<Provider> {
        let (namespace, package) = package
            .split_once(':')
            .context("a package is namespace:name")?;
        let link = Link {
            source_id: ComponentId::new(SOURCE)?,
            target: self.provider.clone(),
            name: LinkName::default(),
            wit_namespace: namespace.to_owned(),
            wit_package: package.to_owned(),
            interfaces: vec!["any".to_owned()],
            source_config: Vec::new(),
            target_config: Vec::new(),
            within: None,
        };
        let config: BTreeMap<String, String> = config
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let link = ResolvedLink::new(&link, BTreeMap::new(), config);
        let data: HostData = serde_json::from_value(json!({
            "host_id": HOST_ID,
            "lattice_rpc_prefix": "default",
            "lattice_rpc_url": self.nats.url(),
            "provider_key": self.provider,
            "link_definitions": [link],
            "keep_stdin": true,
            "trellis_socket": {"path": self.folder().join("socket"), "token": TOKEN},
        }))?;
        let log = File::create(self.log())?;
        let mut process = Command::new(actors::trellis()?)
            .args(["provider", self.provider.as_ref()])
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        let stdin = process.stdin.as_mut().context("no standard input")?;
        stdin.write_all(data.to_line()?.as_bytes()).await?;
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(process);
        let route = self.rpc.route(&self.provider, Arc::new(Nowhere));
        Ok(Provider { route })
    }

    /// What the provider has printed.
    pub fn output(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn log(&self) -> PathBuf {
        self.folder().join("provider.log")
    }
}

impl Provider {
    /// Calls a function without streams.
    ///
    /// # Errors
    /// The call's own.
    pub async fn invoke<F: Function>(&self, params: &F::Params) -> Result<F::Result>
    where
        F::Params: Sync,
    {
        Ok(F::call(&*self.route, context(), params).await?)
    }

    /// Calls any function.
    ///
    /// # Errors
    /// The call's own.
    pub async fn call(&self, operation: Operation, params: Outgoing) -> Result<Incoming> {
        let call = Call {
            operation,
            context: context(),
            params,
        };
        Ok(self.route.call(call).await?)
    }
}

fn context() -> CallContext {
    CallContext {
        source_id: Some(SOURCE.into()),
        link_name: Some("default".into()),
        ..CallContext::default()
    }
}

/// Lets the provider in.
struct Admits(ComponentId);

impl Admission for Admits {
    fn admit(&self, token: &str) -> Option<ComponentId> {
        (token == TOKEN).then(|| self.0.clone())
    }
}

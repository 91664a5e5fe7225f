//! A provider with a link to a server.

use anyhow::Result;
use trellis_blobstore_s3::BlobstoreS3;
use trellis_provider::{
    blobstore::ObjectId,
    rpc::interface::blobstore::{ClearContainer, CopyObject, DeleteObjects, FromTo, ObjectsParams},
};
use trellis_provider_testkit::{Host, NatsServer, Running, Side, blobstore::Store};
use trellis_tests::s3::S3Server;

pub const INTERFACE: &str = "wasi:blobstore/blobstore";

/// The bucket that folders are in.
pub const BUCKET: &str = "acme";

pub struct Stage {
    pub host: Host,
    pub running: Running,
    pub server: S3Server,
    more: Vec<(String, String)>,
    _nats: NatsServer,
}

impl Stage {
    /// A link with a key that the server knows.
    pub async fn begin(more: &[(&str, &str)]) -> Result<Self> {
        Self::on(S3Server::start().await?, more).await
    }

    pub async fn on(server: S3Server, more: &[(&str, &str)]) -> Result<Self> {
        if !server.data().join(BUCKET).exists() {
            server.make_bucket(BUCKET)?;
        }
        let nats = NatsServer::without_jetstream().await?;
        let host = Host::on(&nats).await?;
        let url = server.url();
        let config = with_keys(&url, more);
        let link = Side {
            source: "album",
            target: "blobs",
            interface: INTERFACE,
            config: &config,
        };
        let data = host.data("blobs", &[], vec![link.link()])?;
        let running = Running::start::<BlobstoreS3>(&host, data).await?;
        let more = more.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        Ok(Self {
            host,
            running,
            server,
            more: more.collect(),
            _nats: nats,
        })
    }

    /// The same with another server process over the same files: it knows nothing of what it had in memory.
    pub async fn restarted(self) -> Result<Self> {
        let Self {
            running,
            mut server,
            more,
            ..
        } = self;
        running.stop().await?;
        server.crash().await?;
        server.resume().await?;
        let more: Vec<(&str, &str)> = more.iter().map(|(k, v)| (&**k, &**v)).collect();
        Self::on(server, &more).await
    }

    pub fn store(&self) -> Store<'_> {
        Store {
            host: &self.host,
            source: "album",
            provider: "blobs",
        }
    }

    pub async fn copy(&self, from: (&str, &str), to: (&str, &str)) -> Result<()> {
        let params = FromTo {
            src: id(from.0, from.1),
            dest: id(to.0, to.1),
        };
        self.store().call::<CopyObject, _>(params).await
    }

    pub async fn delete_all(&self, container: &str, objects: &[&str]) -> Result<()> {
        let params = ObjectsParams {
            container: container.to_owned(),
            objects: objects.iter().map(|object| (*object).to_owned()).collect(),
        };
        self.store().call::<DeleteObjects, _>(params).await
    }

    pub async fn clear(&self, container: &str) -> Result<()> {
        let container = container.to_owned();
        self.store().call::<ClearContainer, _>(container).await
    }
}

pub fn id(container: &str, object: &str) -> ObjectId {
    ObjectId {
        container: container.to_owned(),
        object: object.to_owned(),
    }
}

/// A link's configuration for that server; what is given more takes its places.
pub fn with_keys<'a>(url: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let usual = [
        ("endpoint", url),
        ("access_key_id", S3Server::KEY),
        ("secret_access_key", S3Server::SECRET),
    ];
    let given = |name: &str| more.iter().any(|(other, _)| *other == name);
    let usual = usual.into_iter().filter(|(name, _)| !given(name));
    usual.chain(more.iter().copied()).collect()
}

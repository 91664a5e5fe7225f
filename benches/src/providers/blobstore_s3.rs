//! blobstore-s3 on an S3 server, beside its own HTTP client and signer.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use bytes::Bytes;
use rusty_s3::{Bucket, Credentials, S3Action as _, UrlStyle};
use trellis_provider::tls::Roots;
use trellis_tests::s3::S3Server;

use super::{
    Stand, Work,
    blobs::{BYTES, CONTAINER, Names, Store, content},
    host::Host,
};

const CLIENT: &str = "reqwest and rusty-s3";
const VALID_FOR: Duration = Duration::from_secs(60);

pub async fn begin(host: &Host) -> Result<Stand> {
    let server = S3Server::start().await?;
    let config = [
        ("endpoint", &*server.url()),
        ("access_key_id", S3Server::KEY),
        ("secret_access_key", S3Server::SECRET),
    ]
    .map(|(key, value)| (key, value.to_owned()));
    let config: Vec<(&str, &str)> = config.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let provider = host.run("wasi:blobstore", &config).await?;
    let store = Store::ready(provider).await?;
    // The server speaks plain HTTP, but a client isn't made without.
    let nobody = Roots {
        system: false,
        ca_file: None,
    };
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(nobody.client_config()?)
        .tcp_nodelay(true)
        .no_proxy()
        .build()?;
    let native = Arc::new(Native {
        client,
        bucket: Bucket::new(
            server.url().parse()?,
            UrlStyle::Path,
            CONTAINER,
            "us-east-1",
        )?,
        keys: Credentials::new(S3Server::KEY, S3Server::SECRET),
        content: content(),
        names: Names::default(),
    });
    let (read, reader) = (store.clone(), native.clone());
    Ok(Stand {
        works: vec![
            Work::new(
                "1 MiB put",
                move || store.clone().put(),
                CLIENT,
                move || native.clone().put(),
            ),
            Work::new(
                "1 MiB get",
                move || read.clone().get(),
                CLIENT,
                move || reader.clone().get(),
            ),
        ],
        _keep: Box::new(server),
    })
}

struct Native {
    client: reqwest::Client,
    bucket: Bucket,
    keys: Credentials,
    content: Bytes,
    names: Names,
}

impl Native {
    async fn put(self: Arc<Self>) -> Result<()> {
        let name = format!("native-{}", self.names.next());
        let url = self.bucket.put_object(Some(&self.keys), &name);
        let put = self.client.put(url.sign(VALID_FOR));
        put.body(self.content.clone())
            .send()
            .await?
            .error_for_status()?;
        Ok(())
    }

    async fn get(self: Arc<Self>) -> Result<()> {
        let url = self.bucket.get_object(Some(&self.keys), "kept");
        let get = self.client.get(url.sign(VALID_FOR)).send().await?;
        let (mut response, mut read) = (get.error_for_status()?, 0);
        while let Some(chunk) = response.chunk().await? {
            read += chunk.len();
        }
        ensure!(read == BYTES, "{read} bytes");
        Ok(())
    }
}

//! keyvalue-redis and keyvalue-nats, beside the clients that they are made of: a value of 64 bytes is set and got.

use anyhow::{Result, ensure};
use bytes::Bytes;
use redis::AsyncCommands as _;
use trellis_rpc::interface::keyvalue::{Get, KeyParams, Set, SetParams};
use trellis_tests::{redis::RedisServer, wait::until};

use super::{
    Stand, Work,
    host::{Host, Provider},
};

const VALUE: [u8; 64] = [b'.'; 64];
const KEY: &str = "key";

pub async fn on_redis(host: &Host) -> Result<Stand> {
    const CLIENT: &str = "redis crate";
    let server = RedisServer::start().await?;
    let provider = host.run("wasi:keyvalue", &[("url", &server.url())]).await?;
    let client = redis::Client::open(server.url())?;
    let connection = client.get_multiplexed_async_connection().await?;
    let (set_by, get_by) = (connection.clone(), connection);
    let (setting, getting) = ready(provider).await?;
    Ok(Stand {
        works: vec![
            Work::new(
                "set",
                move || set(setting.clone()),
                CLIENT,
                move || {
                    let mut connection = set_by.clone();
                    async move { Ok(connection.set(KEY, &VALUE[..]).await?) }
                },
            ),
            Work::new(
                "get",
                move || get(getting.clone()),
                CLIENT,
                move || {
                    let mut connection = get_by.clone();
                    async move {
                        let value: Vec<u8> = connection.get(KEY).await?;
                        ensure!(value == VALUE, "not what was set");
                        Ok(())
                    }
                },
            ),
        ],
        _keep: Box::new(server),
    })
}

pub async fn on_nats(host: &Host) -> Result<Stand> {
    const CLIENT: &str = "async-nats";
    let provider = host.run("wasi:keyvalue", &[("bucket", "bench")]).await?;
    let (setting, getting) = ready(provider).await?;
    let context = async_nats::jetstream::new(host.nats().connect().await?);
    let bucket = context.get_key_value("bench").await?;
    bucket.put("native", VALUE.to_vec().into()).await?;
    let (set_by, get_by) = (bucket.clone(), bucket);
    Ok(Stand {
        works: vec![
            Work::new(
                "set",
                move || set(setting.clone()),
                CLIENT,
                move || {
                    let bucket = set_by.clone();
                    async move {
                        bucket.put("native", Bytes::from_static(&VALUE)).await?;
                        Ok(())
                    }
                },
            ),
            Work::new(
                "get",
                move || get(getting.clone()),
                CLIENT,
                move || {
                    let bucket = get_by.clone();
                    async move {
                        let value = bucket.get("native").await?;
                        ensure!(value.as_deref() == Some(&VALUE[..]), "not what was set");
                        Ok(())
                    }
                },
            ),
        ],
        _keep: Box::new(()),
    })
}

/// With the value there.
async fn ready(provider: Provider) -> Result<(Provider, Provider)> {
    until("a value is set", || set(provider.clone())).await?;
    Ok((provider.clone(), provider))
}

async fn set(provider: Provider) -> Result<()> {
    let params = SetParams {
        bucket: String::new(),
        key: KEY.to_owned(),
        value: Bytes::from_static(&VALUE),
    };
    Ok(provider.invoke::<Set>(&params).await??)
}

async fn get(provider: Provider) -> Result<()> {
    let params = KeyParams {
        bucket: String::new(),
        key: KEY.to_owned(),
    };
    let value = provider.invoke::<Get>(&params).await??;
    ensure!(value.as_deref() == Some(&VALUE[..]), "not what was set");
    Ok(())
}

//! messaging-mqtt, beside its own client: messages of 64 bytes with QoS 1, each done when the broker has acknowledged it.

use anyhow::{Result, anyhow, ensure};
use bytes::Bytes;
use rumqttc::{AsyncClient, Broker, MqttOptions, PublishOptions, PublishResult, QoS};
use tokio::task::JoinSet;
use trellis_rpc::interface::messaging::{BrokerMessage, Publish};
use trellis_tests::mosquitto::MosquittoServer;

use super::{
    MANY, Stand, Work,
    host::{Host, Provider},
};

const CLIENT: &str = "rumqttc";
const BODY: [u8; 64] = [b'.'; 64];
const TOPIC: &str = "bench/words";

pub async fn begin(host: &Host) -> Result<Stand> {
    let server = MosquittoServer::start().await?;
    let config = [("url", &*server.url()), ("qos", "1")].map(|(k, v)| (k, v.to_owned()));
    let config: Vec<(&str, &str)> = config.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let provider = host.run("wasmcloud:messaging", &config).await?;
    let broker = Broker::tcp("127.0.0.1", server.port());
    let built = AsyncClient::builder(MqttOptions::new("bench", broker))
        .capacity(MANY)
        .try_build();
    let (client, mut events) = built.map_err(|error| anyhow!("{error:?}"))?;
    let mut connection = JoinSet::new();
    connection.spawn(async move {
        // What broke it is told to the publication that it was broken for.
        while events.poll().await.is_ok() {}
    });
    Ok(Stand {
        works: vec![Work::new(
            "publish, QoS 1",
            move || publish(provider.clone()),
            CLIENT,
            move || publish_by(client.clone()),
        )],
        _keep: Box::new((server, connection)),
    })
}

async fn publish(provider: Provider) -> Result<()> {
    let message = BrokerMessage {
        subject: TOPIC.to_owned(),
        body: Bytes::from_static(&BODY),
        reply_to: None,
    };
    let published = provider.invoke::<Publish>(&message).await?;
    published.map_err(|why| anyhow!(why))
}

async fn publish_by(client: AsyncClient) -> Result<()> {
    let options = PublishOptions::new(QoS::AtLeastOnce);
    let body = Bytes::from_static(&BODY);
    let notice = client.publish_tracked(TOPIC, body, options).await?;
    let answer = notice.wait_async().await;
    let answer = answer.map_err(|error| anyhow!("{error:?}"))?;
    ensure!(matches!(answer, PublishResult::Qos1(_)), "{answer:?}");
    Ok(())
}

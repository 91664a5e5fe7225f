//! messaging-nats, beside its own client: messages of 64 bytes, published, and asked of somebody who sends them back. A client's
//! `publish` is done when the message waits to be written; through the provider it is a call with an answer.

use anyhow::{Result, anyhow, ensure};
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::task::JoinSet;
use trellis_rpc::interface::messaging::{BrokerMessage, Publish, Request, RequestParams};

use super::{
    Stand, Work,
    host::{Host, Provider},
};

const CLIENT: &str = "async-nats";
const BODY: [u8; 64] = [b'.'; 64];
const SUBJECT: &str = "bench.words";
const ECHO: &str = "bench.echo";

pub async fn begin(host: &Host) -> Result<Stand> {
    let provider = host.run("wasmcloud:messaging", &[]).await?;
    let echo = host.nats().connect().await?;
    let mut asked = echo.subscribe(ECHO).await?;
    echo.flush().await?;
    let mut answers = JoinSet::new();
    answers.spawn(async move {
        while let Some(message) = asked.next().await {
            let Some(reply) = message.reply else { continue };
            if echo.publish(reply, message.payload).await.is_err() {
                return;
            }
        }
    });
    let client = host.nats().connect().await?;
    let (publisher, asker) = (provider.clone(), provider);
    let (publishing, asking) = (client.clone(), client);
    Ok(Stand {
        works: vec![
            Work::new(
                "publish",
                move || publish(publisher.clone()),
                CLIENT,
                move || {
                    let client = publishing.clone();
                    async move { Ok(client.publish(SUBJECT, Bytes::from_static(&BODY)).await?) }
                },
            ),
            Work::new(
                "request",
                move || request(asker.clone()),
                CLIENT,
                move || {
                    let client = asking.clone();
                    async move {
                        let answer = client.request(ECHO, Bytes::from_static(&BODY)).await?;
                        ensure!(answer.payload == BODY.as_slice(), "not what was sent");
                        Ok(())
                    }
                },
            ),
        ],
        _keep: Box::new(answers),
    })
}

async fn publish(provider: Provider) -> Result<()> {
    let message = BrokerMessage {
        subject: SUBJECT.to_owned(),
        body: Bytes::from_static(&BODY),
        reply_to: None,
    };
    let published = provider.invoke::<Publish>(&message).await?;
    published.map_err(|why| anyhow!(why))
}

async fn request(provider: Provider) -> Result<()> {
    let params = RequestParams {
        subject: ECHO.to_owned(),
        body: Bytes::from_static(&BODY),
        timeout_ms: 5000,
    };
    let answer = provider.invoke::<Request>(&params).await?;
    let answer = answer.map_err(|why| anyhow!(why))?;
    ensure!(answer.body == BODY.as_slice(), "not what was sent");
    Ok(())
}

//! Streams in a lattice of several PoPs, by the configurations that are deployed and with the users that providers have
//! there.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use async_nats::jetstream;
use trellis_messaging_nats::MessagingNats;
use trellis_provider::{
    contract::{
        LatticeName,
        topology::{Buckets, Data, HUB, Role},
    },
    rpc::interface::{
        Function as _,
        messaging::{BrokerMessage, HandleMessage},
    },
};
use trellis_provider_testkit::{Host, Running, answer, wait::until};
use trellis_tests::pops::Pops;

use super::kit::{CONSUMER, Handled, link};

/// The stream is in the PoP, or at the hub: each message is handled, and what can't be is put aside.
#[tokio::test]
async fn the_users_of_providers_may_do_all_that_a_stream_takes() -> Result<()> {
    let data = Data::new(
        &LatticeName::default(),
        Buckets::Any,
        vec!["orders.>".into()],
    )?;
    let pops = Pops::start_with(&[("fra", None)], data, None).await?;
    let host = Host::connected(&pops.settings("fra", Role::Host)?).await?;
    for domain in ["fra", HUB] {
        let handled = Handled::default();
        let seen = handled.clone();
        let _component = answer(&host, "shop", move |call| {
            let message = HandleMessage::decode_params(call.params);
            let outcome = message.map(|message: BrokerMessage| {
                seen.count(&message);
                match &*message.body {
                    b"bad" => Err("it is bad".to_owned()),
                    _ => Ok(()),
                }
            });
            async move { Ok(HandleMessage::answer(&outcome?)) }
        })
        .await?;
        let own = format!("orders.{domain}.new");
        let subjects = format!("orders.{domain}.>");
        let dead_letter = format!("orders.{domain}.refused");
        let stream = format!("ORDERS-{domain}");
        let config = [
            ("stream", &*stream),
            ("stream_subjects", &subjects),
            ("filter_subjects", &own),
            ("dead_letter_subject", &dead_letter),
            ("js_domain", domain),
            ("max_deliver", "2"),
            ("backoff", "100ms"),
        ];
        let mut data = host.data("msg", &[], vec![link(&config)])?;
        let seed = std::fs::read_to_string(pops.seed_file("fra", Role::Provider))?;
        data.lattice_rpc_user_seed = seed.trim().to_owned();
        let running = Running::start::<MessagingNats>(&host, data).await?;
        host.until_healthy("msg", true).await.context(domain)?;

        let client = pops.connect("fra", Role::Provider).await?;
        let js = jetstream::with_domain(client, domain);
        for body in ["good", "bad"] {
            // That the stream takes the subject has to be known in the PoP.
            until("an order is taken", || async {
                Ok(js.publish(own.clone(), body.into()).await?.await?)
            })
            .await?;
        }
        handled.until("good", 1).await?;
        handled.until("bad", 2).await?;
        let kept = js.get_stream(&stream).await?;
        until("it is put aside", || async {
            let message = kept.get_last_raw_message_by_subject(&dead_letter).await?;
            ensure!(&*message.payload == b"bad");
            let info = kept.consumer_info(CONSUMER).await?;
            ensure!(
                info.num_ack_pending == 0 && info.num_pending == 0,
                "{info:?}"
            );
            Ok(())
        })
        .await
        .context(domain)?;
        ensure!(handled.of("good") == 1 && handled.of("bad") == 2);
        tokio::time::timeout(Duration::from_secs(20), running.stop()).await??;
    }
    Ok(())
}

//! Components of one host call each other without the wire, for as long as both run there: asleep or replaced, the callee
//! answers all the same.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use futures::{FutureExt as _, StreamExt as _};
use tokio::{sync::watch, task::JoinSet};
use trellis_lattice::{ComponentId, HostId, LatticeName, Link, control::component::ScaleComponent};
use trellis_rpc::{
    Call, CallContext, CallError, Operation, Outgoing, Route,
    codec::{from_bytes, to_bytes},
    nats::NatsRpc,
};

use crate::kit::{Lattice, inventory, scale};

/// An actor that passes calls on, with a number in it so that no two are the same; its reference.
fn relay(folder: &Path, number: u8) -> Result<String> {
    let mut bytes = trellis_tests::actors::built("relay")?;
    // A custom section of that name.
    bytes.extend([0, 3, 2, b'n', number]);
    let path = folder.join(format!("relay-{number}.wasm"));
    std::fs::write(&path, bytes)?;
    Ok(format!("file://{}", path.display()))
}

/// Has the caller call its callee.
async fn forward(caller: &dyn Route, number: u64) -> Result<String, CallError> {
    let call = Call {
        operation: Operation::new("trellis:test/relay@0.1.0", "forward"),
        context: CallContext {
            deadline: Some(Instant::now() + Duration::from_secs(60)),
            ..CallContext::default()
        },
        params: Outgoing::unary(to_bytes(&("answer", number))),
    };
    Ok(from_bytes(caller.call(call).await?.root)?)
}

/// Starts a caller and a callee, links them, and gives the way to the caller.
async fn start(lattice: &mut Lattice, host: &HostId, image: &str) -> Result<Arc<dyn Route>> {
    for id in ["caller", "callee"] {
        lattice
            .control
            .scale_component(&scale(host, id, image, 50))
            .await?;
        lattice.events.named("component_scaled").await?;
    }
    let link = Link {
        source_id: ComponentId::new("caller")?,
        target: ComponentId::new("callee")?,
        name: "default".parse()?,
        wit_namespace: "trellis".to_owned(),
        wit_package: "test".to_owned(),
        interfaces: vec!["relay".to_owned()],
        source_config: vec![],
        target_config: vec![],
        within: None,
    };
    lattice.control.put_link(&link).await?;
    let rpc = NatsRpc::new(lattice.client.clone(), LatticeName::default());
    let caller = rpc.route(&link.source_id);
    // The host follows the link once it has heard of it.
    trellis_tests::wait::until("the link", || {
        let caller = caller.clone();
        async move { Ok(forward(&*caller, 0).await.map(drop)?) }
    })
    .await?;
    Ok(caller)
}

#[tokio::test]
async fn only_a_callee_that_sleeps_is_called_over_the_wire() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let host = lattice.host().await?;
    let image = relay(lattice.folder.path(), 0)?;
    let caller = start(&mut lattice, &host.id, &image).await?;
    let mut wire = lattice.client.subscribe("default.callee.wrpc.>").await?;
    lattice.client.flush().await?;
    for number in 0..20 {
        assert_eq!(
            forward(&*caller, number).await?,
            format!("it says: {number}")
        );
    }
    lattice.client.flush().await?;
    assert!(
        wire.next().now_or_never().is_none(),
        "a call went over the wire"
    );

    let asleep = ScaleComponent {
        dormant: true,
        ..scale(&host.id, "callee", &image, 50)
    };
    lattice.control.scale_component(&asleep).await?;
    inventory(&lattice, &host.id, |inventory| {
        inventory.components.iter().any(|known| known.dormant)
    })
    .await?;
    assert_eq!(forward(&*caller, 7).await?, "it says: 7");
    assert!(wire.next().await.is_some());
    host.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replacing_the_callee_s_image_under_load_loses_no_call() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let host = lattice.host().await?;
    let images = [
        relay(lattice.folder.path(), 0)?,
        relay(lattice.folder.path(), 1)?,
    ];
    let caller = start(&mut lattice, &host.id, &images[0]).await?;
    let (end, ended) = watch::channel(false);
    let mut callers = JoinSet::new();
    for _ in 0..4 {
        let (caller, ended) = (caller.clone(), ended.clone());
        callers.spawn(async move {
            let mut calls = 0_u64;
            while !*ended.borrow() {
                assert_eq!(forward(&*caller, calls).await?, format!("it says: {calls}"));
                calls += 1;
            }
            Ok::<_, CallError>(calls)
        });
    }
    for round in 1..=6 {
        let update = ScaleComponent {
            allow_update: true,
            ..scale(&host.id, "callee", &images[round % 2], 50)
        };
        lattice.control.scale_component(&update).await?;
        inventory(&lattice, &host.id, |inventory| {
            let mut known = inventory.components.iter();
            known.any(|known| {
                known.id.as_str() == "callee" && known.image_ref == update.component_ref
            })
        })
        .await?;
    }
    end.send_replace(true);
    let mut calls = 0;
    for done in callers.join_all().await {
        calls += done?;
    }
    println!("{calls} calls during 6 updates");
    assert!(calls > 20);
    host.stop().await
}

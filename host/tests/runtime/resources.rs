//! Resources that live in one actor and are used by others.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use trellis_host::runtime::Actor;
use trellis_rpc::{
    CallContext, CallError, Operation, Outgoing,
    codec::{Decode, Encode, from_bytes, to_bytes},
};

use crate::kit::{Kit, get, invoke, until};

async fn call<R: Decode>(
    actor: &Arc<Actor>,
    source: &str,
    function: &str,
    params: &impl Encode,
) -> Result<R, CallError> {
    let operation = Operation::new("trellis:test/resources@0.1.0", function);
    let context = CallContext {
        source_id: Some(source.into()),
        ..CallContext::default()
    };
    let results = invoke(
        actor.clone(),
        operation,
        context,
        Outgoing::unary(to_bytes(params)),
    )
    .await?;
    Ok(from_bytes(results.root).unwrap())
}

#[tokio::test]
async fn an_actor_uses_another_s_resources() {
    let kit = Kit::new();
    let owner = kit.start("resources").await;
    let caller = kit.start("resources_caller").await;
    kit.link(
        "resources-caller",
        "default",
        "trellis:test/resources",
        "resources",
    );
    for _ in 0..3 {
        assert_eq!(get(&caller, "/").await.unwrap().text(), "10 + 5 = 15\n");
    }
    // What the caller dropped, or held when it ended, is dropped at the owner.
    until("the owner keeps nothing", || {
        owner.counters().resource_instances == 0
    })
    .await;
}

#[tokio::test]
async fn a_resource_lives_between_calls() {
    let kit = Kit::new();
    let owner = kit.start("resources").await;
    let tally: Bytes = call(&owner, "a", "tally", &7_u64).await.unwrap();
    assert_eq!(
        call::<u64>(&owner, "a", "tally.add", &(&tally, 3_u64))
            .await
            .unwrap(),
        10
    );
    assert_eq!(
        call::<u64>(&owner, "a", "tally.value", &tally)
            .await
            .unwrap(),
        10
    );
    assert_eq!(owner.counters().resource_instances, 1);
    // Given away, it is gone, and nobody holds anything any more.
    assert_eq!(call::<u64>(&owner, "a", "close", &tally).await.unwrap(), 10);
    let error = call::<u64>(&owner, "a", "tally.value", &tally)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no such resource"), "{error}");
    assert_eq!(owner.counters().resource_instances, 0);
}

#[tokio::test]
async fn callers_do_not_share_an_instance() {
    let kit = Kit::new();
    let owner = kit.start("resources").await;
    let a: Bytes = call(&owner, "a", "tally", &1_u64).await.unwrap();
    let b: Bytes = call(&owner, "b", "tally", &2_u64).await.unwrap();
    assert_eq!(owner.counters().resource_instances, 2);
    let error = call::<Bytes>(&owner, "a", "tally.sum", &(&a, &b))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("different instances"), "{error}");
    // A handle is the right to use what it stands for, whoever has it.
    assert_eq!(
        call::<u64>(&owner, "a", "tally.value", &b).await.unwrap(),
        2
    );
}

#[tokio::test]
async fn made_up_handles_reach_nothing() {
    let kit = Kit::new();
    let owner = kit.start("resources").await;
    let real: Bytes = call(&owner, "a", "tally", &1_u64).await.unwrap();
    let mut next = real.to_vec();
    *next.last_mut().unwrap() += 1;
    for handle in [
        Bytes::new(),
        Bytes::from_static(b"main"),
        next.into(),
        Bytes::from(vec![0; 16]),
    ] {
        let error = call::<u64>(&owner, "a", "tally.value", &handle)
            .await
            .unwrap_err();
        assert!(
            matches!(error, CallError::Failed(_) | CallError::Malformed(_)),
            "{error}"
        );
    }
    assert_eq!(
        call::<u64>(&owner, "a", "tally.value", &real)
            .await
            .unwrap(),
        1
    );
}

#[tokio::test]
async fn resources_that_nobody_uses_go() {
    let kit = Kit::new();
    let owner = kit
        .start_with("resources", |options| {
            options.limits.resource_idle = Duration::from_millis(50);
        })
        .await;
    let tally: Bytes = call(&owner, "a", "tally", &1_u64).await.unwrap();
    until("the idle instance ends", || {
        owner.counters().resource_instances == 0
    })
    .await;
    assert!(
        call::<u64>(&owner, "a", "tally.value", &tally)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn the_number_of_holders_is_bounded() {
    let kit = Kit::new();
    let owner = kit
        .start_with("resources", |options| options.limits.resource_owners = 2)
        .await;
    for source in ["a", "b"] {
        call::<Bytes>(&owner, source, "tally", &1_u64)
            .await
            .unwrap();
    }
    let error = call::<Bytes>(&owner, "c", "tally", &1_u64)
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Overloaded(_)), "{error}");
}

//! Interfaces that the runtime knows nothing of: every type goes from actor to actor and back.

use bytes::Bytes;
use trellis_rpc::{
    CallContext, CallError, Operation, Outgoing,
    codec::{from_bytes, to_bytes},
};

use crate::kit::{Kit, get, invoke};

const TYPES: &str = "trellis:test/types@0.1.0";

/// Handed over as they are, and in the wire's encoding: the same.
fn both() -> [Kit; 2] {
    [Kit::new(), Kit::wired()]
}

async fn linked(kit: &Kit) -> std::sync::Arc<trellis_host::runtime::Actor> {
    kit.start("types").await;
    let caller = kit.start("types_caller").await;
    kit.link("types-caller", "default", "trellis:test/types", "types");
    caller
}

#[tokio::test]
async fn every_type_comes_back_as_it_went() {
    for kit in both() {
        let caller = linked(&kit).await;
        let answer = get(&caller, "/").await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        let cases: u32 = answer.text().split(' ').next().unwrap().parse().unwrap();
        assert!(cases > 100, "{cases}");
    }
}

#[tokio::test]
async fn large_values_arrive_whole() {
    for kit in both() {
        let caller = linked(&kit).await;
        for bytes in [0, 1, 100_000, 2_000_000] {
            for way in ["produce", "digest"] {
                let answer = get(&caller, &format!("/{way}?bytes={bytes}"))
                    .await
                    .unwrap();
                assert_eq!(answer.text(), format!("{bytes} bytes\n"));
            }
        }
    }
}

#[tokio::test]
async fn values_beyond_the_bound_are_refused() {
    for kit in both() {
        let caller = linked(&kit).await;
        for way in ["produce", "digest"] {
            let error = get(&caller, &format!("/{way}?bytes=5000000"))
                .await
                .unwrap_err();
            assert!(
                matches!(error, CallError::TooLarge { .. }),
                "{way}: {error}"
            );
        }
    }
}

/// The caller hears of the callee's trap, with the callee's name and its last words.
#[tokio::test]
async fn a_trap_over_there_is_an_error_here() {
    for kit in both() {
        let caller = linked(&kit).await;
        let error = get(&caller, "/trap").await.unwrap_err().to_string();
        for part in [
            "\"types\"",
            "trellis:test/types@0.1.0.trap",
            "because it was called",
        ] {
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(get(&caller, "/").await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn garbage_and_unknown_functions_are_refused() {
    let kit = Kit::new();
    let types = kit.start("types").await;
    let call = async |instance: &str, function: &str, params: &[u8]| {
        let params = Outgoing::unary(Bytes::copy_from_slice(params));
        let operation = Operation::new(instance, function);
        invoke(types.clone(), operation, CallContext::default(), params).await
    };
    for params in [&b""[..], b"\x02", b"\x01\x01", b"\xff\xff\xff\xff\xff"] {
        let error = call(TYPES, "round-bool", params).await.unwrap_err();
        assert!(
            matches!(error, CallError::Malformed(_)),
            "{params:x?}: {error}"
        );
    }
    let error = call(TYPES, "round-strings", b"\xff\xff\xff\xff\x0f")
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Malformed(_)), "{error}");
    for (instance, function) in [
        (TYPES, "nowhere"),
        ("trellis:test/types@0.2.0", "nothing"),
        ("", ""),
    ] {
        let error = call(instance, function, b"").await.unwrap_err();
        assert!(
            matches!(error, CallError::UnknownFunction { .. }),
            "{error}"
        );
    }
    let joined = call(TYPES, "join", &to_bytes(&("a", 2_u32, true)))
        .await
        .unwrap();
    assert_eq!(from_bytes::<String>(joined.root).unwrap(), "a-2-true");
}

#[tokio::test]
async fn an_actor_describes_itself() {
    let kit = Kit::new();
    let description = kit.start("types").await.describe();
    let export = description
        .exports
        .iter()
        .find(|export| export.interface == TYPES)
        .unwrap();
    let wit = |name: &str| {
        let function = export
            .functions
            .iter()
            .find(|function| function.name == name)
            .unwrap();
        assert!(function.ty.is_some());
        function.wit.as_str()
    };
    assert_eq!(
        wit("join"),
        "join: func(a: string, b: u32, c: bool) -> string"
    );
    assert_eq!(
        wit("round-result"),
        "round-result: func(value: result<string, u32>) -> result<string, u32>"
    );
    assert_eq!(wit("nothing"), "nothing: func()");
    let hello = kit.start("http_hello").await.describe();
    assert!(
        hello
            .exports
            .iter()
            .any(|export| export.interface.starts_with("wasi:http/incoming-handler"))
    );
    assert!(
        hello
            .imports
            .iter()
            .any(|import| import.starts_with("wasi:io/"))
    );
    let json = serde_json::to_string(&description).unwrap();
    assert_eq!(
        serde_json::from_str::<trellis_host::runtime::Description>(&json).unwrap(),
        description
    );
}

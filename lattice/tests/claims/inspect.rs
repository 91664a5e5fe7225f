//! What people are shown of a file.

use std::collections::BTreeMap;

use trellis_lattice::claims::{
    AccountKey, FileKind, Inspection, ProviderDetails, ProviderKey, Validity, inspect, sign_archive,
};
use wasm_encoder::Module;

use crate::kit::{NOW, Signer, at, component, counter};

fn look(bytes: &[u8]) -> Inspection {
    inspect(bytes, *NOW).unwrap()
}

fn codes(inspection: &Inspection) -> Vec<&str> {
    inspection
        .problems
        .iter()
        .map(|problem| problem.code)
        .collect()
}

#[test]
fn a_signed_component_is_shown_whole() {
    let signer = Signer::new();
    let signed = signer.sign(&counter(), None);
    let seen = look(&signed);
    assert_eq!(seen.kind, FileKind::Component);
    assert_eq!(seen.size_bytes, signed.len() as u64);
    assert!(
        seen.signed && seen.verified && seen.problems.is_empty(),
        "{seen:?}"
    );
    let claims = seen.claims.as_ref().unwrap();
    assert_eq!(
        claims.issuer.as_deref(),
        Some(signer.account.public().as_str())
    );
    assert_eq!(
        claims.subject.as_deref(),
        Some(signer.subject.public().as_str())
    );
    assert_eq!(claims.signed_at, Some(*NOW));
    assert_eq!(
        claims.grants.as_deref(),
        Some(&["wasi:keyvalue/store@0.2.0-draft".to_owned()][..])
    );
    assert_eq!(
        claims.content["wascap"]["hash"],
        *seen.hash.as_ref().unwrap()
    );
    let json = serde_json::to_value(&seen).unwrap();
    assert_eq!(json["kind"], "component");
    assert_eq!(json["imports"][2]["functions"][0], "call");
    assert_eq!(
        json["exports"][0]["name"],
        "wasi:http/incoming-handler@0.2.6"
    );
    assert_eq!(json["claims"]["revision"], 1);
    assert_eq!(json["claims"]["signed_at"], "2027-01-15T08:00:00Z");
    assert_eq!(json["claims"]["expires"], serde_json::Value::Null);
}

#[test]
fn what_is_wrong_is_listed_and_the_rest_still_shown() {
    let unsigned = look(&counter());
    assert!(!unsigned.signed && !unsigned.verified);
    assert_eq!(codes(&unsigned), ["unsigned"]);
    assert_eq!(unsigned.imports.unwrap().len(), 3);

    let signer = Signer::new();
    let validity = Validity {
        signed_at: at(1_000),
        not_before: None,
        expires: Some(at(2_000)),
    };
    let mut bad = signer.sign_for(
        &component(&["wasi:http/client@0.3.0"], &[]),
        Some(&[]),
        &validity,
    );
    let place = bad.windows(4).position(|window| window == b"call").unwrap();
    bad[place] = b'k';
    let bad = look(&bad);
    assert!(bad.signed && !bad.verified);
    assert_eq!(
        codes(&bad),
        ["tampered", "expired", "grants-exceeded", "unsupported-wasi"]
    );
    assert_eq!(bad.claims.unwrap().expires, Some(at(2_000)));

    let fewer = look(&signer.sign(&counter(), Some(&[])));
    assert!(
        fewer.verified,
        "the claims hold; the component asks for more than they grant"
    );
    assert_eq!(codes(&fewer), ["grants-exceeded"]);
}

#[test]
fn a_core_module_is_told() {
    let seen = look(&Module::new().finish());
    assert_eq!(seen.kind, FileKind::CoreModule);
    assert_eq!(codes(&seen), ["not-component", "unsigned"]);
}

#[test]
fn an_archive_is_shown_with_its_binaries() {
    let binaries = BTreeMap::from([("x86_64-linux".to_owned(), b"binary".to_vec())]);
    let details = ProviderDetails {
        vendor: "example".into(),
        ..ProviderDetails::default()
    };
    let (account, provider) = (AccountKey::generate(), ProviderKey::generate());
    for gzip in [false, true] {
        let validity = Validity::unlimited(*NOW);
        let archive = sign_archive(
            &binaries,
            &account,
            &provider.public(),
            &details,
            &validity,
            gzip,
        )
        .unwrap();
        let seen = look(&archive);
        assert_eq!(seen.kind, FileKind::ProviderArchive);
        assert!(seen.verified && seen.problems.is_empty(), "{seen:?}");
        let json = serde_json::to_value(&seen).unwrap();
        assert_eq!(json["binaries"]["x86_64-linux"]["size_bytes"], 6);
        assert_eq!(json["claims"]["vendor"], "example");
        assert!(json["binaries"]["x86_64-linux"].get("content").is_none());
    }
}

#[test]
fn other_files_are_refused() {
    for (bytes, code) in [
        (&b""[..], "unrecognized"),
        (b"hello, world", "unrecognized"),
        (b"\x7fELF\x02\x01\x01", "unrecognized"),
        (b"\x1f\x8bnot gzip after all", "bad-archive"),
        (b"\0asm", "broken-wasm"),
    ] {
        assert_eq!(inspect(bytes, *NOW).unwrap_err().code(), code, "{bytes:?}");
    }
}

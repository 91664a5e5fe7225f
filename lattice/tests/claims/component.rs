//! Signed components, and each way of not being one that a host takes.

use std::time::Duration;

use trellis_lattice::claims::{
    ClaimsError, ComponentDetails, IssuerPolicy, Validity, VerifiedComponent, World,
    binary::Binary, grants_for, sign_component, verify_component,
};
use wasm_encoder::{ComponentSection, CustomSection, Module};

use crate::kit::{NOW, Signer, at, component, counter};

fn verify(bytes: &[u8], policy: &IssuerPolicy) -> Result<VerifiedComponent, ClaimsError> {
    verify_component(bytes, policy, *NOW)
}

/// The refusal's code; its message must name what is given.
fn refusal(bytes: &[u8], policy: &IssuerPolicy, named: &[&str]) -> &'static str {
    let error = verify(bytes, policy).unwrap_err();
    let message = error.to_string();
    for name in named {
        assert!(message.contains(name), "{name:?} is missing in: {message}");
    }
    error.code()
}

#[test]
fn what_is_signed_verifies() {
    let signer = Signer::new();
    let signed = signer.sign(&counter(), None);
    let verified = verify(&signed, &signer.policy()).unwrap();
    assert_eq!(
        verified.public_key(),
        Some(signer.subject.public().as_str())
    );
    let claims = &verified.claims.as_ref().unwrap().claims;
    assert_eq!(claims.iss, signer.account.public());
    assert_eq!(claims.wascap.name.as_deref(), Some("counter"));
    assert_eq!(claims.wascap.hash, verified.hash);
    assert_eq!(
        verified.hash,
        Binary::read(&counter()).unwrap().hash(),
        "the token isn't hashed"
    );
    let imports: Vec<_> = verified.world.import_names().collect();
    assert_eq!(
        imports,
        [
            "wasi:io/error@0.2.6",
            "wasi:io/poll@0.2.6",
            "wasi:keyvalue/store@0.2.0-draft"
        ]
    );
    assert_eq!(
        verified.world.export_names().collect::<Vec<_>>(),
        ["wasi:http/incoming-handler@0.2.6"]
    );
}

#[test]
fn grants_are_the_imports_unless_they_are_given() {
    let signer = Signer::new();
    let verified = verify(&signer.sign(&counter(), None), &signer.policy()).unwrap();
    let grants: Vec<_> = verified.grants().unwrap().patterns().collect();
    assert_eq!(grants, ["wasi:keyvalue/store@0.2.0-draft"]);
    let verified = verify(
        &signer.sign(&counter(), Some(&["wasi:*/*"])),
        &signer.policy(),
    )
    .unwrap();
    assert!(verified.grants_by_name("wasi:filesystem/preopens@0.2.6"));
}

#[test]
fn directories_are_never_granted_by_default() {
    let signer = Signer::new();
    let bytes = component(&["wasi:filesystem/preopens@0.2.6"], &[]);
    let verified = verify(&signer.sign(&bytes, None), &signer.policy()).unwrap();
    assert!(!verified.grants_by_name("wasi:filesystem/preopens@0.2.6"));
    let unsigned = verify(
        &bytes,
        &IssuerPolicy {
            allow_unsigned: true,
            ..signer.policy()
        },
    )
    .unwrap();
    assert!(!unsigned.grants_by_name("wasi:filesystem/preopens@0.2.6"));
}

#[test]
fn an_import_beyond_the_grants_is_named() {
    let signer = Signer::new();
    let bytes = component(
        &[
            "wasi:keyvalue/store@0.2.0-draft",
            "acme:bank/transfer@1.0.0",
        ],
        &[],
    );
    let signed = signer.sign(&bytes, Some(&["wasi:keyvalue/*"]));
    let code = refusal(
        &signed,
        &signer.policy(),
        &["acme:bank/transfer@1.0.0", "wasi:keyvalue/*", "--grant"],
    );
    assert_eq!(code, "grants-exceeded");
    let signed = signer.sign(&component(&["log-line"], &[]), Some(&[]));
    assert_eq!(
        refusal(&signed, &signer.policy(), &["log-line", "nothing"]),
        "grants-exceeded"
    );
}

#[test]
fn types_alone_need_no_grant() {
    let signer = Signer::new();
    let signed = signer.sign(&component(&["types acme:bank/money@1.0.0"], &[]), Some(&[]));
    assert!(verify(&signed, &signer.policy()).is_ok());
}

#[test]
fn an_import_that_no_grant_can_name_is_refused_when_signing() {
    let world = World::read(&component(&["acme:bank/transfer@1.0.0"], &[])).unwrap();
    assert_eq!(
        grants_for(&world).unwrap().to_string(),
        "acme:bank/transfer@1.0.0"
    );
    let signer = Signer::new();
    let error = sign_component(
        &component(&["unlocked-dep=<acme:bank@{>=1.0.0}>"], &[]),
        &signer.account,
        &signer.subject.public(),
        &ComponentDetails::default(),
        &Validity::unlimited(*NOW),
    );
    assert!(error.is_err());
}

#[test]
fn unsigned_ones_need_the_development_setting() {
    let signer = Signer::new();
    assert_eq!(
        refusal(
            &counter(),
            &signer.policy(),
            &["not signed", "trellis sign"]
        ),
        "unsigned"
    );
    let development = IssuerPolicy {
        allow_unsigned: true,
        ..IssuerPolicy::default()
    };
    let verified = verify(&counter(), &development).unwrap();
    assert!(verified.claims.is_none() && verified.public_key().is_none());
    // What is signed must hold even then.
    let mut tampered = signer.sign(&counter(), None);
    let place = find(&tampered, b"call");
    tampered[place] = b'k';
    assert_eq!(refusal(&tampered, &development, &["altered"]), "tampered");
    assert_eq!(
        refusal(&signer.sign(&counter(), None), &development, &[]),
        "untrusted-issuer"
    );
}

#[test]
fn a_changed_component_is_tampered() {
    let signer = Signer::new();
    let mut signed = signer.sign(&counter(), None);
    let place = find(&signed, b"store@");
    signed[place..place + 5].copy_from_slice(b"stare");
    assert_eq!(
        refusal(&signed, &signer.policy(), &["altered after signing"]),
        "tampered"
    );
    let mut appended = signer.sign(&counter(), None);
    CustomSection {
        name: "more".into(),
        data: b"more"[..].into(),
    }
    .append_to_component(&mut appended);
    assert_eq!(refusal(&appended, &signer.policy(), &[]), "tampered");
}

#[test]
fn another_s_claims_do_not_fit() {
    let signer = Signer::new();
    let signed = signer.sign(&counter(), None);
    let token = Binary::read(&signed)
        .unwrap()
        .token()
        .unwrap()
        .unwrap()
        .to_owned();
    let other = component(&["wasi:io/poll@0.2.6"], &[]);
    let moved = Binary::read(&other).unwrap().with_token(&token);
    assert_eq!(refusal(&moved, &signer.policy(), &[]), "tampered");
}

#[test]
fn changed_claims_have_a_bad_signature() {
    let signer = Signer::new();
    let mallory = Signer::new();
    let token = |signed: &[u8]| {
        Binary::read(signed)
            .unwrap()
            .token()
            .unwrap()
            .unwrap()
            .to_owned()
    };
    let honest = token(&signer.sign(&counter(), None));
    let greedy = token(&signer.sign(&counter(), Some(&["wasi:*/*"])));
    let (_, signature) = honest.rsplit_once('.').unwrap();
    let (content, _) = greedy.rsplit_once('.').unwrap();
    let spliced = Binary::read(&counter())
        .unwrap()
        .with_token(&format!("{content}.{signature}"));
    let issuer = signer.account.public();
    assert_eq!(
        refusal(&spliced, &signer.policy(), &[issuer.as_str()]),
        "bad-signature"
    );
    // Signed by Mallory, in another's name.
    let forged = mallory.sign(&counter(), None);
    let (header, content, signature) = parts(&token(&forged));
    let renamed = content.replace(mallory.account.public().as_str(), issuer.as_str());
    let forged = join(&header, &renamed, &signature);
    let forged = Binary::read(&counter()).unwrap().with_token(&forged);
    assert_eq!(refusal(&forged, &signer.policy(), &[]), "bad-signature");
}

#[test]
fn malformed_claims_are_refused() {
    let signer = Signer::new();
    let with = |token: &str| Binary::read(&counter()).unwrap().with_token(token);
    for token in [
        "",
        "a",
        "a.b",
        "a.b.c.d",
        "e30.e30.e30",
        &"x".repeat(70_000),
    ] {
        assert_eq!(
            refusal(&with(token), &signer.policy(), &["malformed"]),
            "malformed-claims"
        );
    }
    let none = join(r#"{"typ":"jwt","alg":"none"}"#, "{}", "");
    assert_eq!(
        refusal(&with(&none), &signer.policy(), &["none", "Ed25519"]),
        "wrong-algorithm"
    );
    let header = r#"{"typ":"jwt","alg":"Ed25519"}"#;
    let host = trellis_lattice::claims::HostKey::generate();
    let by_host = format!(
        r#"{{"iss":"{}","sub":"","wascap":{{"hash":""}}}}"#,
        host.public()
    );
    let code = refusal(
        &with(&join(header, &by_host, "")),
        &signer.policy(),
        &["account"],
    );
    assert_eq!(code, "issuer-not-account");
    let provider = trellis_lattice::claims::ProviderKey::generate();
    let about = format!(
        r#"{{"iss":"{}","sub":"{}"}}"#,
        signer.account.public(),
        provider.public()
    );
    let code = refusal(
        &with(&join(header, &about, "")),
        &signer.policy(),
        &["component"],
    );
    assert_eq!(code, "wrong-subject");
}

#[test]
fn two_tokens_are_one_too_many() {
    let signer = Signer::new();
    let mut signed = signer.sign(&counter(), None);
    CustomSection {
        name: "jwt".into(),
        data: b"other"[..].into(),
    }
    .append_to_component(&mut signed);
    assert_eq!(
        refusal(&signed, &signer.policy(), &["2 tokens"]),
        "malformed-claims"
    );
    // Signing again takes them both away.
    assert!(verify(&signer.sign(&signed, None), &signer.policy()).is_ok());
}

#[test]
fn the_older_section_is_read_too() {
    let signer = Signer::new();
    let signed = signer.sign(&counter(), None);
    let token = Binary::read(&signed)
        .unwrap()
        .token()
        .unwrap()
        .unwrap()
        .to_owned();
    let mut older = Binary::read(&counter()).unwrap().stripped;
    CustomSection {
        name: "jwt".into(),
        data: token.as_bytes().into(),
    }
    .append_to_component(&mut older);
    assert!(verify(&older, &signer.policy()).unwrap().claims.is_some());
}

#[test]
fn time_is_kept_to_the_second() {
    let signer = Signer::new();
    let validity = Validity {
        signed_at: at(1_000),
        not_before: Some(at(2_000)),
        expires: Some(at(3_000)),
    };
    let signed = signer.sign_for(&counter(), None, &validity);
    let code = |second| {
        verify_component(&signed, &signer.policy(), at(second))
            .map_err(|e| e.code())
            .err()
    };
    assert_eq!(code(1_999), Some("not-yet-valid"));
    assert_eq!(code(2_000), None);
    assert_eq!(code(2_999), None);
    assert_eq!(code(3_000), Some("expired"));
    let error = verify_component(&signed, &signer.policy(), at(3_000 + 86_400))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("1970-01-01T00:50:00Z (1 day ago)") && error.contains("sign it again"),
        "{error}"
    );
    let error = verify_component(&signed, &signer.policy(), at(0))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("1970-01-01T00:33:20Z (in 33 minutes)"),
        "{error}"
    );
}

#[test]
fn a_time_that_never_comes_is_not_signed() {
    let signer = Signer::new();
    for (not_before, expires) in [
        (None, 1_000),
        (Some(at(5_000)), 5_000),
        (Some(at(5_000)), 4_000),
    ] {
        let validity = Validity {
            signed_at: at(1_000),
            not_before,
            expires: Some(at(expires)),
        };
        let details = ComponentDetails::default();
        let subject = signer.subject.public();
        let error =
            sign_component(&counter(), &signer.account, &subject, &details, &validity).unwrap_err();
        assert_eq!(error.code(), "bad-validity");
    }
    let lasting = Validity::lasting(*NOW, Duration::from_secs(60));
    assert_eq!(lasting.expires, Some(*NOW + Duration::from_secs(60)));
    assert_eq!(Validity::lasting(*NOW, Duration::MAX).expires, None);
}

#[test]
fn an_issuer_who_is_not_trusted_is_named_with_the_remedy() {
    let signer = Signer::new();
    let other = Signer::new();
    let signed = other.sign(&counter(), None);
    let (theirs, ours) = (other.account.public(), signer.account.public());
    let remedy = format!("--trusted-issuer {theirs}");
    assert_eq!(
        refusal(&signed, &signer.policy(), &[&remedy, ours.as_str()]),
        "untrusted-issuer"
    );
    assert_eq!(
        refusal(&signed, &IssuerPolicy::default(), &["nobody"]),
        "untrusted-issuer"
    );
}

#[test]
fn what_is_no_component_is_told_apart() {
    let policy = IssuerPolicy {
        allow_unsigned: true,
        ..IssuerPolicy::default()
    };
    assert_eq!(refusal(b"", &policy, &[]), "not-wasm");
    assert_eq!(refusal(b"#!/bin/sh\n", &policy, &[]), "not-wasm");
    assert_eq!(
        refusal(&Module::new().finish(), &policy, &["wasm32-wasip2"]),
        "not-component"
    );
    assert_eq!(refusal(b"\0asm", &policy, &[]), "broken-wasm");
    assert_eq!(
        refusal(b"\0asm\x0d\0\x01\0garbage", &policy, &[]),
        "broken-wasm"
    );
    let whole = counter();
    for end in 8..whole.len() {
        // Cut between two sections it may be a smaller component; it never panics.
        let _ = verify(&whole[..end], &policy);
    }
}

#[test]
fn another_wasi_is_named() {
    let policy = IssuerPolicy {
        allow_unsigned: true,
        ..IssuerPolicy::default()
    };
    let imports = component(&["wasi:http/client@0.3.0"], &[]);
    assert_eq!(
        refusal(&imports, &policy, &["wasi:http/client@0.3.0", "WASI 0.2"]),
        "unsupported-wasi"
    );
    let exports = component(&[], &["wasi:http/handler@0.3.0"]);
    assert_eq!(
        refusal(&exports, &policy, &["wasi:http/handler@0.3.0"]),
        "unsupported-wasi"
    );
}

#[test]
fn signing_again_replaces_and_signing_the_same_changes_nothing() {
    let signer = Signer::new();
    let first = signer.sign(&counter(), None);
    let later = Validity::unlimited(at(1_900_000_000));
    assert_eq!(
        signer.sign_for(&first, None, &later),
        first,
        "the same claims"
    );
    let other = Signer::new();
    let second = other.sign(&first, None);
    assert_eq!(second.len(), first.len());
    assert!(verify(&second, &other.policy()).is_ok());
    assert_eq!(refusal(&second, &signer.policy(), &[]), "untrusted-issuer");
    let fewer = signer.sign(&first, Some(&[]));
    assert_eq!(
        refusal(&fewer, &signer.policy(), &["wasi:keyvalue/store"]),
        "grants-exceeded"
    );
}

#[test]
fn claims_too_long_to_be_read_are_not_signed() {
    let signer = Signer::new();
    let details = ComponentDetails {
        name: Some("n".repeat(70_000)),
        ..ComponentDetails::default()
    };
    let validity = Validity::unlimited(*NOW);
    let error = sign_component(
        &counter(),
        &signer.account,
        &signer.subject.public(),
        &details,
        &validity,
    );
    assert_eq!(error.unwrap_err().code(), "malformed-claims");
}

/// Header, content and signature, decoded.
fn parts(token: &str) -> (String, String, String) {
    let parts: Vec<_> = token.split('.').collect();
    let text = |part: &str| {
        String::from_utf8(
            data_encoding::BASE64URL_NOPAD
                .decode(part.as_bytes())
                .unwrap(),
        )
        .unwrap()
    };
    (text(parts[0]), text(parts[1]), parts[2].to_owned())
}

fn join(header: &str, content: &str, signature: &str) -> String {
    let part = |text: &str| data_encoding::BASE64URL_NOPAD.encode(text.as_bytes());
    format!("{}.{}.{signature}", part(header), part(content))
}

fn find(bytes: &[u8], what: &[u8]) -> usize {
    bytes
        .windows(what.len())
        .position(|window| window == what)
        .unwrap()
}

//! What wasmCloud 1.x's own tools signed, kept here as text.

use data_encoding::{BASE64, BASE64URL_NOPAD};
use trellis_lattice::claims::{
    ClaimsError, ComponentToken, IssuerPolicy, ProviderToken, binary::Binary, inspect,
    verify_archive, verify_component,
};

use crate::kit::{NOW, at, counter};

/// The kit's counter (with a length written the long way and a nested token, on purpose), signed by 1.x's
/// library for claims; valid from 1,700,000,000 to 1,900,000,000.
const COMPONENT: &str = "\
    AGFzbQ0AAQAHJQNCAgFAAAEABAAEY2FsbAEAQgIBeQQABm51bWJlcgMAAEAAAQAKUQMAE3dhc2k6aW8vZXJyb3JAMC4y\
    LjYFAQASd2FzaTppby9wb2xsQDAuMi42BQAAH3dhc2k6a2V5dmFsdWUvc3RvcmVAMC4yLjAtZHJhZnQFAAERAGFzbQEA\
    AAAABwRub3RlISEFAwEBAAsmAQAgd2FzaTpodHRwL2luY29taW5nLWhhbmRsZXJAMC4yLjYFAwAA9wQNd2FzbWNsb3Vk\
    X2p3dGV5SjBlWEFpT2lKcWQzUWlMQ0poYkdjaU9pSkZaREkxTlRFNUluMC5leUpsZUhBaU9qRTVNREF3TURBd01EQXNJ\
    bXAwYVNJNkluRjBUVUZHZG1Wa1prVmFkbk5IU0ZOYVFVeDNja0VpTENKcFlYUWlPakUzT1RVeU5EZ3lOVE1zSW1semN5\
    STZJa0ZFUTBnMU5rTlFTazAxTkVaRlFsaEdVbGMyVWxSWlFVOVRXVVEwU0VZMlNGUlBRMHRPUjAxUVZqZEZSVUZRVDFC\
    U05GVkJRVlpNSWl3aWMzVmlJam9pVFVJMFdEVlNWREkyVTFSV1JrUlNVRFExVms4elZVVlJSRVJTTmtGWlRsTkxOMUJY\
    TkV0SFV6TkpWVVJDTWxKR1FWbEtWbGcyVWt3aUxDSnVZbVlpT2pFM01EQXdNREF3TURBc0luZGhjMk5oY0NJNmV5SnVZ\
    VzFsSWpvaVkyOTFiblJsY2lJc0ltaGhjMmdpT2lJeU1qRkNSamhFTVVGR09Ea3pRalUzTmtRM01VUTFNRGszUlRjeU5U\
    Z3hPREEyUWprME1FWTNRekpFUTBVMU5EbEVNRFZGT0VFMk5Ea3pRVVpGTkRZNUlpd2lkR0ZuY3lJNld5SnpiV0ZzYkNK\
    ZExDSnlaWFlpT2pJc0luWmxjaUk2SWpBdU1pNHdJaXdpY0hKdmRpSTZabUZzYzJWOWZRLnNualBEUE5SRHVVdGVnOXZz\
    OFN4dGRpTkhfN3ZsYzJUXzF5anlwLUMyaTdrV0xVY2N3amhBeVFUVGZHZ0c4VTJab0ZIVDhDQkl2OVZTVEE3bkowTUJn";
const COMPONENT_ISSUER: &str = "ADCH56CPJM54FEBXFRW6RTYAOSYD4HF6HTOCKNGMPV7EEAPOPR4UAAVL";

/// The token of an HTTP hello component that 1.x's command line signed.
const HELLO: &str = "\
    eyJ0eXAiOiJqd3QiLCJhbGciOiJFZDI1NTE5In0.eyJqdGkiOiJqSThzeFJzR3lLU2tndzBvcWJvVFVvIiwiaWF0Ijox\
    Nzk1MjE5MTc3LCJpc3MiOiJBQVNISFdNT1FUVkc1UkUzSzNUNVFYTEdaNUFEMllLVEZER0RTRFkyWFdWUEpEM0dEMllS\
    WEZYRiIsInN1YiI6Ik1DNlc2SVFKSk9BRUc2NlhUMlg2RUZZTDNETEZQNkFETFRXQUlRVlVYRkxHR05WQkNDUUJaR1RI\
    Iiwid2FzY2FwIjp7Im5hbWUiOiJoZWxsbyIsImhhc2giOiI3NTQzMUVBMDA3OTc3QjE5MzREODlDNDA0Rjk5RUE1RjE1\
    NUI4MUEwQjA5NjFCN0YwNDNGRTk3RjI1NTkxMUYwIiwidGFncyI6W10sInJldiI6MSwidmVyIjoiMC4xLjAiLCJwcm92\
    IjpmYWxzZX0sIndhc2NhcF9yZXZpc2lvbiI6M30.8EF4_c3VXuwDWd8v_R31-cbwInhyFWjat2D0YQlfv-\
    eih7uarZ2f1j9VuSg7y0T_Q3fDTmMqKDs1ILmNAXiuAw";
/// The token of a provider archive that 1.x's command line made, with [`SCRIPT`] in it.
const PROVIDER: &str = "\
    eyJ0eXAiOiJqd3QiLCJhbGciOiJFZDI1NTE5In0.eyJqdGkiOiJudTRuajRyalF4dEczTjZBRkQyNGNSIiwiaWF0Ijox\
    Nzk1MjIyOTg1LCJpc3MiOiJBQVNISFdNT1FUVkc1UkUzSzNUNVFYTEdaNUFEMllLVEZER0RTRFkyWFdWUEpEM0dEMllS\
    WEZYRiIsInN1YiI6IlZBVFZWT05BUjVIRExST0REU0ZKVkEzTFJPUFM3TlJSN1dYNUE2U0lVNVI3QlFCRkRPNlREUk9E\
    Iiwid2FzY2FwIjp7Im5hbWUiOiJzYW1wbGUiLCJ2ZW5kb3IiOiJleGFtcGxlIiwidGFyZ2V0X2hhc2hlcyI6eyJ4ODZf\
    NjQtbGludXgiOiI2OUEyMEZGQUUzRDc1NUYwMjRGNjlDQTc2NEM1MEU3RjQ2NTM1MjMyMTNGRDU4Q0VBOTc0M0Y4N0ZE\
    MEU1NDgxIn19LCJ3YXNjYXBfcmV2aXNpb24iOjN9.FhK7h3r01S34l8KPtXz3LIZZwZca2hvUIfDsjXTgoHho8XcgOaa\
    gf0vHTLR62Wsa7UA1VODrErJSykk-dYEWCQ";
const SCRIPT: &[u8] = b"#!/bin/sh\nread -r line\nwhile sleep 1; do :; done\n";
/// Who signed those two.
const ISSUER: &str = "AASHHWMOQTVG5RE3K3T5QXLGZ5AD2YKTFDGDSDY2XWVPJD3GD2YRXFXF";

fn signed_by_1x() -> Vec<u8> {
    BASE64.decode(COMPONENT.as_bytes()).unwrap()
}

#[test]
fn a_component_signed_by_1x_verifies() {
    let policy = IssuerPolicy::trusting([COMPONENT_ISSUER]).unwrap();
    let verified = verify_component(&signed_by_1x(), &policy, *NOW).unwrap();
    let claims = &verified.claims.as_ref().unwrap().claims;
    assert_eq!(claims.wascap.name.as_deref(), Some("counter"));
    assert_eq!(claims.wascap.version.as_deref(), Some("0.2.0"));
    assert_eq!(claims.wascap.revision, Some(2));
    assert_eq!(claims.wascap.tags, Some(vec!["small".to_owned()]));
    assert_eq!(verified.hash, Binary::read(&counter()).unwrap().hash());
    assert!(inspect(&signed_by_1x(), *NOW).unwrap().verified);
    let expired = verify_component(&signed_by_1x(), &policy, at(1_900_000_000)).unwrap_err();
    assert_eq!(expired.code(), "expired");
    let early = verify_component(&signed_by_1x(), &policy, at(1_699_999_999)).unwrap_err();
    assert_eq!(early.code(), "not-yet-valid");
}

#[test]
fn without_a_list_of_grants_every_import_is_granted_but_none_by_name() {
    let policy = IssuerPolicy::trusting([COMPONENT_ISSUER]).unwrap();
    let verified = verify_component(&signed_by_1x(), &policy, *NOW).unwrap();
    assert!(verified.grants().is_none());
    assert!(
        verified
            .world
            .import_names()
            .any(|name| name.starts_with("wasi:keyvalue/"))
    );
    assert!(!verified.grants_by_name("wasi:filesystem/preopens@0.2.6"));
}

#[test]
fn a_section_is_put_where_1x_puts_it() {
    let theirs = signed_by_1x();
    let taken_apart = Binary::read(&theirs).unwrap();
    let token = taken_apart.token().unwrap().unwrap().to_owned();
    assert_eq!(Binary::read(&counter()).unwrap().with_token(&token), theirs);
}

#[test]
fn claims_are_written_as_1x_writes_them() {
    fn content(token: &str) -> String {
        let part = token.split('.').nth(1).unwrap();
        String::from_utf8(BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap()
    }
    let hello = ComponentToken::verify(HELLO).unwrap();
    assert_eq!(hello.claims.iss.as_str(), ISSUER);
    assert_eq!(
        serde_json::to_string(&hello.claims).unwrap(),
        content(HELLO)
    );
    let provider = ProviderToken::verify(PROVIDER).unwrap();
    assert_eq!(
        serde_json::to_string(&provider.claims).unwrap(),
        content(PROVIDER)
    );
    let header = |token: &str| token.split('.').next().unwrap().to_owned();
    let ours = crate::kit::Signer::new().sign(&counter(), None);
    let ours = Binary::read(&ours)
        .unwrap()
        .token()
        .unwrap()
        .unwrap()
        .to_owned();
    assert_eq!(header(&ours), header(HELLO));
}

#[test]
fn the_bucket_and_events_show_claims_as_1x_does() {
    let hello = ComponentToken::verify(HELLO).unwrap();
    assert_eq!(
        serde_json::to_value(hello.stored()).unwrap(),
        serde_json::json!({
            "call_alias": "",
            "issuer": ISSUER,
            "name": "hello",
            "revision": "1",
            "subject": "MC6W6IQJJOAEG66XT2X6EFYL3DLFP6ADLTWAIQVUXFLGGNVBCCQBZGTH",
            "tags": [],
            "version": "0.1.0",
        })
    );
    assert_eq!(
        serde_json::to_value(hello.shown(*NOW)).unwrap(),
        serde_json::json!({
            "call_alias": null,
            "expires_human": "never",
            "issuer": ISSUER,
            "name": "hello",
            "not_before_human": "never",
            "revision": 1,
            "tags": [],
            "version": "0.1.0",
        })
    );
    let provider = ProviderToken::verify(PROVIDER).unwrap();
    assert_eq!(
        serde_json::to_value(provider.stored()).unwrap(),
        serde_json::json!({
            "issuer": ISSUER,
            "name": "sample",
            "revision": "0",
            "subject": "VATVVONAR5HDLRODDSFJVA3LROPS7NRR7WX5A6SIU5R7BQBFDO6TDROD",
            "version": "",
        })
    );
    assert_eq!(
        serde_json::to_value(provider.shown(*NOW)).unwrap(),
        serde_json::json!({
            "expires_human": "never",
            "issuer": ISSUER,
            "name": "sample",
            "not_before_human": "never",
            "tags": null,
            "version": null,
        })
    );
}

#[test]
fn a_provider_signed_by_1x_verifies() {
    let archive = |script: &[u8]| {
        let binaries = [("x86_64-linux", script)];
        trellis_lattice::claims::archive::write(PROVIDER, binaries, false).unwrap()
    };
    let policy = IssuerPolicy::trusting([ISSUER]).unwrap();
    let good = verify_archive(archive(SCRIPT).as_slice(), "x86_64-linux", &policy, *NOW).unwrap();
    assert_eq!(good.executable, SCRIPT);
    assert_eq!(good.claims.unwrap().claims.wascap.vendor, "example");
    let bad = verify_archive(
        archive(b"#!/bin/sh\n").as_slice(),
        "x86_64-linux",
        &policy,
        *NOW,
    );
    assert!(matches!(bad, Err(ClaimsError::HashMismatch { .. })));
}

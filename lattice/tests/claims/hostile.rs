//! Whatever the bytes: no panic, and nothing but what was signed verifies.

use proptest::prelude::*;
use trellis_lattice::claims::{
    ComponentToken, Grants, Issuer, ProviderToken, check_wasi_version, inspect, verify_archive,
    verify_component,
};

use crate::kit::{NOW, Signer, component, counter};

/// Texts that look like interface names, as often as not.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,6}:[a-z]{1,6}/[a-z]{1,6}(@[0-9]{1,2}\\.[0-9]{1,2}\\.[0-9]{1,2}(-draft)?)?",
        "[a-z:/@*.0-9-]{0,24}",
    ]
}

proptest! {
    #[test]
    fn any_bytes_are_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..600), prefix in 0..3) {
        let start: &[u8] = match prefix { 0 => b"", 1 => b"\0asm\x0d\0\x01\0", _ => b"\0asm\x01\0\0\0" };
        bytes.splice(0..0, start.iter().copied());
        let policy = Signer::new().policy();
        prop_assert!(verify_component(&bytes, &policy, *NOW).is_err());
        prop_assert!(verify_archive(bytes.as_slice(), "x86_64-linux", &policy, *NOW).is_err());
        let _ = inspect(&bytes, *NOW);
    }

    #[test]
    fn one_changed_bit_is_refused(place in any::<prop::sample::Index>(), bit in 0_u32..8) {
        let signer = Signer::new();
        let mut signed = signer.sign(&counter(), None);
        let place = place.index(signed.len());
        signed[place] ^= 1 << bit;
        prop_assert!(verify_component(&signed, &signer.policy(), *NOW).is_err(), "byte {place}, bit {bit}");
        let _ = inspect(&signed, *NOW);
    }

    #[test]
    fn any_text_is_no_token(text in "[A-Za-z0-9_.-]{0,200}|\\PC{0,50}") {
        prop_assert!(ComponentToken::verify(&text).is_err());
        prop_assert!(ProviderToken::verify(&text).is_err());
        prop_assert!(Issuer::new(&text).is_err());
    }

    #[test]
    fn a_component_s_own_imports_are_always_granted(
        imports in proptest::collection::btree_set("[a-z]{2,6}:[a-z]{2,6}/[a-z]{2,6}@[1-9]\\.[0-9]\\.[0-9]", 0..8),
    ) {
        let names: Vec<_> = imports.iter().map(String::as_str).collect();
        let signer = Signer::new();
        let signed = signer.sign(&component(&names, &[]), None);
        prop_assert!(verify_component(&signed, &signer.policy(), *NOW).is_ok());
        if let Some((first, others)) = names.split_first() {
            let fewer = signer.sign(&component(&names, &[]), Some(others));
            let error = verify_component(&fewer, &signer.policy(), *NOW).unwrap_err().to_string();
            prop_assert!(error.contains(first), "{error}");
        }
    }

    #[test]
    fn grants_read_back_as_written(patterns in proptest::collection::vec(name(), 0..6)) {
        if let Ok(grants) = Grants::parse(&patterns) {
            let again = Grants::parse(grants.patterns()).unwrap();
            prop_assert_eq!(again, grants);
        }
    }

    #[test]
    fn any_name_has_an_answer(names in proptest::collection::vec(name(), 0..6)) {
        let _ = check_wasi_version(names.iter().map(String::as_str));
        let nothing = Grants::default();
        for name in &names {
            prop_assert!(!nothing.names(name));
            let _ = nothing.allows(name);
        }
    }
}

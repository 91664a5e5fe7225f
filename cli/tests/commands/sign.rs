//! Components are signed, and what was signed can be seen and checked.

use std::fs;

use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use wasm_encoder::{
    Component, ComponentImportSection, ComponentTypeRef, ComponentTypeSection, InstanceType,
    PrimitiveValType,
};

use crate::program::Folder;

/// A component that imports `acme:shop/cart@1.0.0`.
fn component() -> Vec<u8> {
    let mut instance = InstanceType::new();
    instance
        .ty()
        .function()
        .params([("item", PrimitiveValType::String)])
        .result(None);
    instance.export("add", ComponentTypeRef::Func(0));
    let mut types = ComponentTypeSection::new();
    types.instance(&instance);
    let mut imports = ComponentImportSection::new();
    imports.import("acme:shop/cart@1.0.0", ComponentTypeRef::Instance(0));
    let mut component = Component::new();
    component.section(&types).section(&imports);
    component.finish()
}

fn folder() -> Folder {
    let folder = Folder::new();
    fs::write(folder.path().join("cart.wasm"), component()).unwrap();
    folder
}

#[test]
fn a_signed_component_says_who_signed_what() {
    let folder = folder();
    let unsigned = folder.json(&["inspect", "cart.wasm"]);
    assert_eq!(unsigned["signed"], false);
    assert_eq!(unsigned["imports"][0]["name"], "acme:shop/cart@1.0.0");

    let line = [
        "sign",
        "--in-place",
        "cart.wasm",
        "--version",
        "1.2.3",
        "--expires-in",
        "2h",
    ];
    let signed = folder.json(&line);
    assert_eq!(signed[0]["changed"], true);
    let seen = folder.json(&["inspect", "--check", "cart.wasm"]);
    assert_eq!(seen["verified"], true);
    let claims = &seen["claims"];
    assert_eq!(claims["name"], "cart");
    assert_eq!(claims["version"], "1.2.3");
    assert_eq!(claims["issuer"], signed[0]["issuer"]);
    assert_eq!(claims["subject"], signed[0]["subject"]);
    assert_eq!(
        claims["grants"],
        serde_json::json!(["acme:shop/cart@1.0.0"])
    );
    for moment in ["signed_at", "expires"] {
        let text = claims[moment].as_str().unwrap();
        assert!(
            OffsetDateTime::parse(text, &Rfc3339).is_ok(),
            "{moment}: {text}"
        );
    }
    let text = folder.succeed(&["inspect", "cart.wasm"]);
    for word in [
        "claims hold  yes",
        "name         cart",
        "imports      acme:shop/cart@1.0.0 (add)",
        "(in 1 hour)",
    ] {
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn the_same_claims_make_no_new_file_and_a_new_build_keeps_its_subject() {
    let folder = folder();
    let first = folder.json(&["sign", "--in-place", "cart.wasm"]);
    let bytes = fs::read(folder.path().join("cart.wasm")).unwrap();
    let again = folder.json(&["sign", "--in-place", "cart.wasm"]);
    assert_eq!(again[0]["changed"], false);
    assert_eq!(fs::read(folder.path().join("cart.wasm")).unwrap(), bytes);

    fs::write(folder.path().join("cart.wasm"), component()).unwrap();
    let rebuilt = folder.json(&["sign", "--in-place", "cart.wasm"]);
    assert_eq!(rebuilt[0]["subject"], first[0]["subject"]);
    assert_eq!(rebuilt[0]["issuer"], first[0]["issuer"]);
}

#[test]
fn a_copy_is_signed_where_nobody_says_otherwise() {
    let folder = folder();
    folder.succeed(&["sign", "cart.wasm"]);
    assert_eq!(
        fs::read(folder.path().join("cart.wasm")).unwrap(),
        component()
    );
    assert_eq!(
        folder.json(&["inspect", "cart.signed.wasm"])["verified"],
        true
    );
}

#[test]
fn a_tampered_file_fails_the_check() {
    let folder = folder();
    folder.succeed(&["sign", "--in-place", "cart.wasm"]);
    let path = folder.path().join("cart.wasm");
    let bytes = fs::read(&path).unwrap();
    let name = b"acme:shop/cart@1.0.0";
    let at = bytes
        .windows(name.len())
        .position(|window| window == name)
        .unwrap();
    let mut tampered = bytes;
    tampered[at..at + 4].copy_from_slice(b"evil");
    fs::write(&path, tampered).unwrap();
    let seen = folder.json(&["inspect", "cart.wasm"]);
    assert_eq!(seen["verified"], false);
    assert_eq!(seen["problems"][0]["code"], "tampered");
    let output = folder.trellis(&["inspect", "--check", "cart.wasm"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn another_issuer_s_key_can_be_named() {
    let folder = folder();
    let key = folder.json(&["keys", "gen", "account", "--file", "issuer.nk"]);
    let signed = folder.json(&[
        "sign",
        "--issuer-key",
        "issuer.nk",
        "--out",
        "out.wasm",
        "cart.wasm",
    ]);
    assert_eq!(signed[0]["issuer"], key["public_key"]);
    assert!(
        !folder.path().join(".trellis/keys/account.nk").exists(),
        "no other key is made"
    );

    folder.succeed(&["keys", "gen", "host", "--file", "host.nk"]);
    let said = folder.fail(1, &["sign", "--issuer-key", "host.nk", "cart.wasm"]);
    assert!(
        said.contains("host.nk") && said.contains("account"),
        "{said}"
    );
}

#[test]
fn what_is_no_component_is_refused_and_nothing_is_written() {
    let folder = folder();
    fs::write(folder.path().join("core.wasm"), b"\0asm\x01\0\0\0").unwrap();
    fs::write(folder.path().join("text.txt"), "hello").unwrap();
    let said = folder.fail(1, &["sign", "--in-place", "cart.wasm", "core.wasm"]);
    assert!(
        said.contains("core.wasm") && said.contains("not a component"),
        "{said}"
    );
    assert_eq!(
        fs::read(folder.path().join("cart.wasm")).unwrap(),
        component()
    );
    assert!(
        !folder.path().join(".trellis").exists(),
        "no key is made for what can't be signed"
    );
    let said = folder.fail(1, &["sign", "text.txt"]);
    assert_eq!(
        said,
        "error: file text.txt: neither a WebAssembly component nor a provider archive\n"
    );
    assert!(
        folder
            .fail(1, &["inspect", "text.txt"])
            .contains("text.txt")
    );
    assert!(
        folder
            .fail(1, &["inspect", "missing.wasm"])
            .contains("missing.wasm")
    );
    let said = folder.fail(2, &["sign", "--grant", "not an interface", "cart.wasm"]);
    assert!(said.contains("not an interface"), "{said}");
}

#[test]
fn options_for_the_other_kind_of_file_are_refused() {
    let folder = folder();
    let said = folder.fail(2, &["sign", "--vendor", "acme", "cart.wasm"]);
    assert!(said.contains("--vendor is for provider archives"), "{said}");
    assert!(!folder.path().join("cart.signed.wasm").exists());
}

#[test]
fn a_package_is_granted_with_a_star_and_the_refusal_says_so() {
    let folder = folder();
    let said = folder.fail(2, &["sign", "--grant", "acme:shop", "cart.wasm"]);
    assert!(said.contains("acme:shop/*"), "{said}");
    folder.succeed(&["sign", "--in-place", "--grant", "acme:shop/*", "cart.wasm"]);
    folder.succeed(&["inspect", "--check", "cart.wasm"]);
}

//! What is not a component that can run here is refused, with the reason.

use std::sync::Arc;

use bytes::Bytes;
use trellis_host::runtime::{LoadError, RuntimeConfig};
use wasm_encoder::{
    Component, ComponentImportSection, ComponentTypeRef, ComponentTypeSection, InstanceType,
};

use crate::kit::{Kit, guest};

/// A component that imports an empty interface of that name.
fn importing(name: &str) -> Bytes {
    let mut types = ComponentTypeSection::new();
    types.instance(&InstanceType::new());
    let mut imports = ComponentImportSection::new();
    imports.import(name, ComponentTypeRef::Instance(0));
    let mut component = Component::new();
    component.section(&types).section(&imports);
    component.finish().into()
}

async fn refused(bytes: impl Into<Bytes>) -> LoadError {
    Kit::new().runtime.load(bytes).await.unwrap_err()
}

#[tokio::test]
async fn other_files_are_told_from_components() {
    let error = refused("#!/bin/sh\n").await;
    assert_eq!(
        error,
        LoadError::NotWasm {
            found: "23 21 2f 62".into()
        }
    );
    assert!(matches!(refused("").await, LoadError::NotWasm { .. }));
    let module = Bytes::from_static(b"\0asm\x01\0\0\0");
    let error = refused(module).await;
    assert_eq!(error, LoadError::CoreModule);
    assert!(error.to_string().contains("wasm32-wasip2"), "{error}");
}

#[tokio::test]
async fn broken_components_are_refused() {
    let whole = guest("http_hello");
    for end in [8, 9, 100, whole.len() / 2, whole.len() - 1] {
        let loaded = Kit::new().runtime.load(whole.slice(..end)).await;
        // A component cut at the end of a section may still be a component, without exports.
        if let Err(error) = loaded {
            assert!(matches!(error, LoadError::Invalid(_)), "{end}: {error}");
        } else {
            assert_eq!(end, 8);
        }
    }
    let mut garbled = whole.to_vec();
    garbled[5000..6000].fill(0xff);
    assert!(matches!(
        refused(garbled).await,
        LoadError::Invalid(_) | LoadError::Compile(_)
    ));
}

#[tokio::test]
async fn components_beyond_the_bound_are_refused() {
    let kit = Kit::with(RuntimeConfig {
        max_calls: 4,
        max_component_bytes: 1000,
        ..Default::default()
    });
    let error = kit.runtime.load(guest("http_hello")).await.unwrap_err();
    assert!(
        matches!(error, LoadError::TooLarge { limit: 1000, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn unsupported_imports_are_named() {
    for (import, hint) in [
        ("wasi:http/handler@0.3.0", "WASI 0.2"),
        ("wasi:cli/stdout@0.2.0-rc-2023-12-05", "WASI 0.2"),
        ("wasi:keyvalue/store@0.2.0-draft2", "0.2.0-draft"),
        ("wasi:sockets/quic@0.2.0", "udp"),
    ] {
        let error = refused(importing(import)).await;
        let LoadError::Import { import: named, why } = &error else {
            panic!("{error}")
        };
        assert_eq!(named, import);
        assert!(why.contains(hint), "{error}");
    }
}

/// What WASI 0.3 components have in their types, this host has no values for.
#[tokio::test]
async fn asynchronous_types_are_refused() {
    for func in [
        r#"(func (param "s" (stream u8)))"#,
        r#"(func (result (future u8)))"#,
        "(func async)",
    ] {
        let component = format!(
            r#"(component (import "acme:shop/cart@1.0.0" (instance (export "f" {func}))))"#
        );
        let error = refused(wat::parse_str(component).unwrap()).await;
        let text = error.to_string();
        assert!(
            text.contains("WASI 0.3") && text.contains("acme:shop/cart"),
            "{func}: {error:?}"
        );
    }
}

/// A function that belongs to no interface could not be linked.
#[tokio::test]
async fn functions_without_an_interface_are_refused() {
    let component = wat::parse_str(r#"(component (import "run" (func)))"#).unwrap();
    let error = refused(component).await;
    assert!(
        matches!(&error, LoadError::Import { import, .. } if import == "run"),
        "{error}"
    );
}

#[tokio::test]
async fn any_other_interface_can_be_imported() {
    let kit = Kit::new();
    let module = kit
        .runtime
        .load(importing("acme:shop/cart@1.0.0"))
        .await
        .unwrap();
    assert_eq!(module.describe().imports, ["acme:shop/cart@1.0.0"]);
}

#[tokio::test]
async fn the_same_bytes_give_the_same_module() {
    let kit = Kit::new();
    let (first, second) = (kit.load("http_hello").await, kit.load("http_hello").await);
    assert!(Arc::ptr_eq(&first, &second));
    let other = kit.load("greeter").await;
    assert!(!Arc::ptr_eq(&first, &other));
}

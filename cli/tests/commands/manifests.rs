//! Manifests are checked without a lattice.

use std::fs;

use crate::program::Folder;

const GOOD: &str = "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: shop
spec:
  components:
    - name: cart
      type: component
      properties:
        image: file://./cart.wasm
";

#[test]
fn a_good_manifest_is_valid() {
    let folder = Folder::new();
    fs::write(folder.path().join("app.yaml"), GOOD).unwrap();
    assert_eq!(
        folder.json(&["app", "validate", "app.yaml"])["name"],
        "shop"
    );
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let folder = Folder::new();
    let bad = GOOD
        .replace("name: cart", "nam: cart")
        .replace("image:", "imagee:");
    fs::write(folder.path().join("app.yaml"), bad).unwrap();
    let said = folder.fail(1, &["app", "validate", "app.yaml"]);
    assert!(
        said.contains("app.yaml:7:") && said.contains("app.yaml:10:"),
        "{said}"
    );
    assert!(said.contains("spec.components[0]"), "{said}");
    // The lattice is not even asked.
    let said = folder.fail(
        1,
        &[
            "app",
            "deploy",
            "app.yaml",
            "--nats-url",
            "nats://127.0.0.1:1",
        ],
    );
    assert!(said.contains("app.yaml:7:"), "{said}");
    assert!(
        folder
            .fail(1, &["app", "validate", "missing.yaml"])
            .contains("missing.yaml")
    );
}

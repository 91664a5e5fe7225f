//! Manifests are checked without a lattice.

use std::fs;

use crate::program::{Folder, code, err, out};

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
    let checked = folder.json(&["app", "validate", "app.yaml"]);
    assert_eq!(checked["valid"], true);
    assert_eq!(checked["files"][0]["name"], "shop");
    let said = folder.succeed(&["app", "validate", "app.yaml"]);
    assert_eq!(said, "app.yaml: application shop is valid\n");
}

#[test]
fn several_files_and_standard_input_are_checked_at_once() {
    let folder = Folder::new();
    fs::write(folder.path().join("good.yaml"), GOOD).unwrap();
    fs::write(
        folder.path().join("bad.yaml"),
        GOOD.replace("kind: Application", "kind: App"),
    )
    .unwrap();
    fs::write(
        folder.path().join("odd.yaml"),
        GOOD.replace("  name: shop\n", "  name: shop\n  owner: me\n"),
    )
    .unwrap();
    let files = [
        "app",
        "validate",
        "good.yaml",
        "bad.yaml",
        "odd.yaml",
        "none.yaml",
    ];
    let output = folder.trellis(&files);
    assert_eq!(code(&output), 1);
    assert_eq!(
        out(&output),
        "good.yaml: application shop is valid\nodd.yaml: application shop is valid\n"
    );
    let said = err(&output);
    for line in [
        "warning: odd.yaml:5:3: metadata.owner: unknown field",
        "error: mistakes in 2 of 4 manifest(s):",
        "bad.yaml:2:7: kind: is \"App\"",
        "none.yaml: manifest none.yaml: No such file",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }

    let output = folder.trellis(&[&files[..], &["--output", "json"]].concat());
    assert_eq!(code(&output), 1);
    let checked: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(checked["valid"], false);
    let bad = &checked["files"][1];
    assert_eq!(
        (&bad["valid"], &bad["name"]),
        (&false.into(), &serde_json::Value::Null)
    );
    let error = &bad["errors"][0];
    assert_eq!((&error["line"], &error["column"]), (&2.into(), &7.into()));
    assert_eq!(error["field"], "kind");
    assert_eq!(
        checked["files"][2]["warnings"][0]["field"],
        "metadata.owner"
    );

    let mut command = folder.command(&["app", "validate", "-"]);
    command.stdin(fs::File::open(folder.path().join("good.yaml")).unwrap());
    let output = command.output().unwrap();
    assert_eq!(
        (code(&output), out(&output).as_str()),
        (0, "-: application shop is valid\n")
    );
}

#[test]
fn errors_are_json_for_programs() {
    let folder = Folder::new();
    fs::write(
        folder.path().join("bad.yaml"),
        GOOD.replace("name: cart", "nam: cart"),
    )
    .unwrap();
    let last = |code, arguments: &[&str]| -> serde_json::Value {
        let said = folder.fail(code, arguments);
        serde_json::from_str(said.lines().last().unwrap()).unwrap()
    };
    let error = last(1, &["app", "deploy", "bad.yaml", "--output", "json"]);
    let error = &error["error"];
    assert_eq!(error["code"], 1);
    assert_eq!(error["mistakes"]["file"], "bad.yaml");
    assert_eq!(error["mistakes"]["findings"][0]["line"], 7);
    assert!(
        error["message"].as_str().unwrap().contains("bad.yaml:7:"),
        "{error}"
    );
    // Also where the arguments make no sense.
    for arguments in [
        &["app", "deployy", "--output", "json"][..],
        &["--output=json", "app", "deploy"],
    ] {
        let error = last(2, arguments);
        assert_eq!(error["error"]["code"], 2);
    }
}

#[test]
fn the_schema_is_one() {
    let schema = Folder::new().json(&["app", "schema"]);
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    assert_eq!(schema["properties"]["kind"]["const"], "Application");
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

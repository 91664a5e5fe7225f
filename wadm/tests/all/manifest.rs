//! Manifests: what is taken, and what every mistake is told as.

use proptest::prelude::*;
use trellis_wadm::manifest::{self, Manifest, TraitProperties};

const GOOD: &str = "\
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: shop
  annotations:
    description: a shop
spec:
  components:
    - name: cart
      type: component
      properties:
        image: file:///srv/cart.wasm
        config:
          - name: limits
            properties:
              items: \"10\"
      traits:
        - type: spreadscaler
          properties:
            instances: 3
            spread:
              - name: east
                requirements:
                  zone: east
                weight: 80
              - name: west
                requirements:
                  zone: west
        - type: link
          properties:
            namespace: wasi
            package: keyvalue
            interfaces: [store, atomics]
            target:
              name: store
              config:
                - name: url
                  properties:
                    url: redis://127.0.0.1:6379
    - name: store
      type: capability
      properties:
        image: builtin:keyvalue-redis
      traits:
        - type: daemonscaler
          properties:
            instances: 1
";

fn errors(text: &str) -> String {
    manifest::parse(text).unwrap_err().to_string()
}

/// The good manifest with one text in it replaced.
fn with(from: &str, to: &str) -> String {
    assert_eq!(GOOD.matches(from).count(), 1, "{from:?} must occur once");
    GOOD.replace(from, to)
}

#[test]
fn a_good_manifest_has_no_complaints() {
    let (manifest, warnings) = manifest::parse(GOOD).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(manifest.name(), "shop");
    assert_eq!(manifest.description(), Some("a shop"));
    let cart = &manifest.spec.components[0];
    let TraitProperties::Spread(spread) = &cart.traits()[0].properties else {
        panic!("{:?}", cart.traits());
    };
    assert_eq!((spread.instances, spread.spread[1].weight), (3, None));
}

#[test]
fn one_mistake_is_told_with_its_place_and_remedy() {
    let cases = [
        (
            with("core.oam.dev/v1beta1", "v1"),
            "line 1, column 13: apiVersion: is \"v1\", but must be \"core.oam.dev/v1beta1\"",
        ),
        (
            with("kind: Application", "kind: App"),
            "line 2, column 7: kind: is \"App\", but must be \"Application\"",
        ),
        (
            with("  name: shop\n", ""),
            "line 3, column 1: metadata.name: is missing",
        ),
        (
            with("name: shop", "name: my shop"),
            "line 4, column 9: metadata.name: is \"my shop\": use letters, digits, '-' and '_', at least one and at most 100",
        ),
        (
            with("instances: 3", "instancse: 3"),
            "line 19, column 11: spec.components[0].traits[0].properties.instances: is missing\n\
             line 20, column 13: spec.components[0].traits[0].properties.instancse: unknown field; did you mean \"instances\"?",
        ),
        (
            with("instances: 3", "instances: many"),
            "line 20, column 24: spec.components[0].traits[0].properties.instances: must be a whole number from 0 to 4294967295, not \"many\"",
        ),
        (
            with("weight: 80", "weight: -1"),
            "line 25, column 25: spec.components[0].traits[0].properties.spread[0].weight: must be a whole number from 0 to 4294967295, not \"-1\"",
        ),
        (
            with("      type: capability", "      type: provider"),
            "line 41, column 13: spec.components[1].type: is \"provider\": use \"component\" or \"capability\"",
        ),
        (
            with("items: \"10\"", "items: 10"),
            "line 16, column 22: spec.components[0].properties.config[0].properties.items: must be text, but 10 is a number: put it in quotes, \"10\"",
        ),
        (
            with("[store, atomics]", "store"),
            "line 33, column 25: spec.components[0].traits[1].properties.interfaces: must be a list, not text",
        ),
        (
            with("[store, atomics]", "[\"wasi:keyvalue/store\"]"),
            "line 33, column 13: spec.components[0].traits[1].properties.interfaces: is \"wasi:keyvalue/store\": a WIT name has letters, digits and '-' and starts with a letter",
        ),
        (
            with("              name: store\n", "              name: stroe\n"),
            "line 35, column 21: spec.components[0].traits[1].properties.target.name: no component is named \"stroe\"; did you mean \"store\"?",
        ),
        (
            with("daemonscaler", "daemonscalar"),
            "line 45, column 17: spec.components[1].traits[0].type: unknown trait \"daemonscalar\"; did you mean \"daemonscaler\"?",
        ),
        (
            with("    - name: store\n", "    - name: cart\n"),
            "line 35, column 21: spec.components[0].traits[1].properties.target.name: no component is named \"store\"\n\
             line 40, column 13: spec.components[1].name: another component is named \"cart\" already",
        ),
        (
            with("image: file:///srv/cart.wasm", "image: builtin:http-server"),
            "line 12, column 16: spec.components[0].properties.image: is \"builtin:http-server\", which names a provider: use `type: capability`",
        ),
        (
            with("image: file:///srv/cart.wasm", "image: https://h/cart.wasm"),
            "line 12, column 16: spec.components[0].properties.image: is \"https://h/cart.wasm\": write file://PATH, builtin:NAME or a registry's reference",
        ),
        (
            with("        image: file:///srv/cart.wasm\n", ""),
            "line 11, column 7: spec.components[0].properties.image: is missing: give an image's reference, or the shared `application` it belongs to",
        ),
        (
            with("traits:\n        - type: daemonscaler", "trait:\n        - type: daemonscaler"),
            "line 44, column 7: spec.components[1].trait: unknown field; did you mean \"traits\"?",
        ),
        (
            with("                weight: 80\n", "                weight: 0\n").replace(
                "                requirements:\n                  zone: west\n",
                "                requirements:\n                  zone: west\n                weight: 0\n",
            ),
            "line 21, column 13: spec.components[0].traits[0].properties.spread: all weights are 0: no instance could be placed",
        ),
    ];
    let mut wrong = Vec::new();
    for (text, expected) in cases {
        let told = errors(&text);
        if told != expected {
            wrong.push(format!("told:     {told}\nexpected: {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn names_with_control_characters_are_refused() {
    let text = r#"
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {name: "sh\aop"}
spec:
  components:
    - name: "ca\e[31mrt"
      type: component
      properties: {image: 'file:///cart.wasm', config: [{name: "co\nfig", properties: {a: b}}]}
      traits:
        - type: spreadscaler
          properties: {instances: 1, spread: [{name: "ea\x7fst"}]}
        - type: link
          properties:
            name: "ma\bin"
            namespace: wasi
            package: keyvalue
            interfaces: [store]
            target: {name: store, config: [{name: "\u0085url", properties: {a: b}}]}
    - {name: store, type: capability, properties: {image: 'builtin:keyvalue-nats'}}
"#;
    let errors = manifest::parse(text).unwrap_err().to_string();
    let expected = [
        r#"line 4, column 18: metadata.name: is "sh\u{7}op": use letters, digits, '-' and '_', at least one and at most 100"#,
        r#"line 7, column 13: spec.components[0].name: is "ca\u{1b}[31mrt": a name has no control characters"#,
        r#"line 9, column 64: spec.components[0].properties.config[0].name: is "co\nfig": a name has no control characters"#,
        r#"line 12, column 54: spec.components[0].traits[0].properties.spread[0].name: is "ea\u{7f}st": a name has no control characters"#,
        r#"contains white space or control characters"#,
        r#"line 19, column 51: spec.components[0].traits[1].properties.target.config[0].name: is "\u{85}url": a name has no control characters"#,
    ];
    let errors: Vec<&str> = errors.lines().collect();
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
    for (error, expected) in errors.iter().zip(expected) {
        assert!(error.contains(expected), "{error}\n{expected}");
    }
}

#[test]
fn all_mistakes_are_told_at_once_in_order() {
    let text = with("kind: Application", "kind: App")
        .replace("instances: 3", "instances: x")
        .replace(
            "items: \"10\"",
            "items: yes_please\n              many: true",
        )
        .replace("name: east", "nmae: east");
    let expected = "\
line 17, column 21: spec.components[0].properties.config[0].properties.many: must be text, but true is a truth value: put it in quotes, \"true\"
line 21, column 24: spec.components[0].traits[0].properties.instances: must be a whole number from 0 to 4294967295, not \"x\"
line 23, column 17: spec.components[0].traits[0].properties.spread[0].nmae: unknown field; did you mean \"name\"?
line 23, column 17: spec.components[0].traits[0].properties.spread[0].name: is missing";
    assert_eq!(errors(&text), expected);
}

#[test]
fn what_is_no_manifest_at_all_is_told() {
    let deep = format!("a: {}1{}", "[".repeat(60), "]".repeat(60));
    let bomb = (0..20).fold("a0: &a0 [x, x]\n".to_owned(), |text, level| {
        let (next, alias) = (level + 1, format!("*a{level}, *a{level}, *a{level}"));
        format!("{text}a{next}: &a{next} [{alias}]\n")
    });
    let cases = [
        (String::new(), "the manifest is empty"),
        ("just text".into(), "must be a group of fields, not text"),
        ("a: [1, 2".into(), "not YAML"),
        (
            "a: 1\na: 2\n".into(),
            "line 2, column 1: field \"a\" stands here a second time",
        ),
        (
            format!("{GOOD}---\n{GOOD}"),
            "a second document begins here",
        ),
        ("x".repeat(300_000), "more than the 262144 allowed"),
        (deep, "nested deeper than 48 levels"),
        (bomb, "more than 100000 values, aliases expanded"),
        ("? [a]\n: 1\n".into(), "a field's name must be text"),
    ];
    for (text, expected) in cases {
        let told = errors(&text);
        assert!(told.contains(expected), "{told:?} lacks {expected:?}");
    }
}

#[test]
fn what_1_x_ignores_is_a_warning() {
    let text = with("  name: shop\n", "  name: shop\n  owner: me\n")
        .replace("type: daemonscaler", "type: ingress");
    let (manifest, warnings) = manifest::parse(&text).unwrap();
    let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "line 5, column 3: metadata.owner: unknown field; known are name, annotations, labels",
            "line 46, column 17: spec.components[1].traits[0].type: unknown trait \"ingress\" has no effect; known are spreadscaler, daemonscaler, link, placement, rollout, autoscale",
        ]
    );
    // Kept as it came, for whoever knows it.
    let stored = serde_json::to_value(&manifest).unwrap();
    assert_eq!(
        stored["spec"]["components"][1]["traits"][0],
        serde_json::json!({"type": "ingress", "properties": {"instances": 1}})
    );
}

#[test]
fn older_forms_of_1_x_are_read() {
    let text = with(
        "            target:\n              name: store\n              config:\n                - name: url\n                  properties:\n                    url: redis://127.0.0.1:6379\n",
        "            target: store\n            target_config:\n              - name: url\n                properties: {url: \"redis://127.0.0.1:6379\"}\n",
    )
    .replace("instances: 3", "replicas: 3");
    let (manifest, warnings) = manifest::parse(&text).unwrap();
    assert_eq!(manifest, manifest::parse(GOOD).unwrap().0);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
}

#[test]
fn yaml_and_json_mean_the_same() {
    let (manifest, _) = manifest::parse(GOOD).unwrap();
    let json = serde_json::to_string(&manifest).unwrap();
    assert_eq!(manifest::parse(&json).unwrap().0, manifest);
    // Tabs are JSON but not YAML.
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    let tabs = serde_json::to_string_pretty(&value)
        .unwrap()
        .replace("  ", "\t");
    assert_eq!(manifest::parse(&tabs).unwrap().0, manifest);
    assert_eq!(serde_json::from_str::<Manifest>(&json).unwrap(), manifest);
}

#[test]
fn what_was_put_to_1_x_is_read_and_stored_as_there() {
    let stored: serde_json::Value =
        serde_json::from_str(include_str!("captured/stored-app.json")).unwrap();
    for (version, manifest) in stored["manifests"].as_object().unwrap() {
        let (read, _) = manifest::parse(&manifest.to_string()).unwrap();
        assert_eq!(read.version(), Some(version.as_str()));
        assert_eq!(&serde_json::to_value(&read).unwrap(), manifest);
    }
}

#[test]
fn the_examples_are_good() {
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&examples).unwrap() {
        let folder = entry.unwrap().path();
        let Ok(text) = std::fs::read_to_string(folder.join("app.yaml")) else {
            continue;
        };
        let (mut manifest, warnings) = manifest::parse(&text)
            .unwrap_or_else(|errors| panic!("{}:\n{errors}", folder.display()));
        assert_eq!(warnings, [], "{}", folder.display());
        assert!(manifest.check_images().is_err());
        manifest.resolve_images(&folder).unwrap();
        manifest.check_images().unwrap();
        // The manifest's name is its folder's, as its README says.
        assert_eq!(manifest.name(), folder.file_name().unwrap());
        names.push(manifest.name().to_owned());
    }
    assert!(names.len() >= 5, "{names:?}");
}

#[test]
fn relative_images_are_seen_from_the_manifest_s_folder() {
    let text = with(
        "file:///srv/cart.wasm",
        "file://../../target/actors/cart.wasm",
    );
    let (mut manifest, _) = manifest::parse(&text).unwrap();
    manifest.resolve_images("/p/examples/shop").unwrap();
    assert_eq!(
        manifest.spec.components[0].properties().image.as_deref(),
        Some("file:///p/target/actors/cart.wasm")
    );
    assert_eq!(
        manifest.spec.components[1].properties().image.as_deref(),
        Some("builtin:keyvalue-redis")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_text_makes_it_panic(text in "[-a-z0-9:{}\\[\\]&*!|>'\",#?%@` \t\n]{0,200}") {
        let _ = manifest::parse(&text);
    }

    #[test]
    fn no_damage_to_a_manifest_makes_it_panic(
        at in 0..GOOD.len(), length in 0..40_usize, with in "[-a-z0-9:{}\\[\\]&*!|>'\",#? \t\n]{0,20}",
    ) {
        let end = (at + length).min(GOOD.len());
        let text = format!("{}{with}{}", &GOOD[..at], &GOOD[end..]);
        if let Err(errors) = manifest::parse(&text) {
            prop_assert!(!errors.0.is_empty(), "refused without a reason:\n{text}");
        }
    }
}

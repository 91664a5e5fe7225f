//! What the README shows is a manifest that is taken without a complaint.

use trellis_wadm::manifest;

const POLICIES: &str = "
policies:
  - {name: vault, type: policy.secret.wasmcloud.dev/v1alpha1, properties: {backend: vault}}
";

fn indented(text: &str, by: usize) -> String {
    let lines = text.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| format!("{}{line}\n", " ".repeat(by)))
        .collect()
}

#[test]
fn every_example_of_the_readme_is_taken() {
    let readme = include_str!("../../README.md");
    let examples: Vec<&str> = readme
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split_once("```"))
        .map(|(example, _)| example)
        .collect();
    assert!(examples.len() >= 5, "{examples:?}");
    for example in examples {
        // A part of the whole: what it refers to is there beside it.
        let (policies, traits) = match example.starts_with("policies:") {
            true => (indented(example, 2), String::new()),
            false => (indented(POLICIES, 2), indented(example, 6)),
        };
        let text = format!(
            "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: readme
spec:
{policies}  components:
    - name: actor
      type: component
      properties:
        image: file:///actor.wasm
{traits}    - name: kv
      type: capability
      properties:
        image: builtin:keyvalue-redis
"
        );
        match manifest::parse(&text) {
            Ok((_, warnings)) => assert_eq!(warnings, [], "{example}"),
            Err(errors) => panic!("{example}\n{errors}"),
        }
    }
}

//! What the README shows is a manifest that is taken without a complaint.

use trellis_wadm::manifest;

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
        let traits: String = example
            .lines()
            .map(|line| format!("      {line}\n"))
            .collect();
        let text = format!(
            "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: readme
spec:
  components:
    - name: actor
      type: component
      properties:
        image: file:///actor.wasm
{traits}"
        );
        match manifest::parse(&text) {
            Ok((_, warnings)) => assert_eq!(warnings, [], "{example}"),
            Err(errors) => panic!("{example}\n{errors}"),
        }
    }
}

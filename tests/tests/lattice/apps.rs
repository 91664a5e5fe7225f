//! Applications stay as declared, through change and failure.

mod manager;
mod placement;
mod update;

/// The hello actor alone, with a scaler and what else its traits are.
fn hello(name: &str, image: &str, traits: &str) -> String {
    trellis_tests::manifest::application(
        name,
        &format!(
            "    - name: hello
      type: component
      properties:
        image: {image}
      traits:
{traits}"
        ),
    )
}

//! Applications stay as declared, through change and failure.

mod autoscale;
mod canary;
mod manager;
mod placement;
mod secrets;
mod surge;
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

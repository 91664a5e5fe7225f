//! Manifests of small applications.

/// The hello actor behind HTTP: its image, and the address where it answers.
pub fn hello(image: &str, address: &str) -> String {
    application(
        "hello",
        &format!(
            "    - name: hello
      type: component
      properties:
        image: {image}
      traits:
        - type: spreadscaler
          properties:
            instances: 4
{}",
            http_server("hello", address)
        ),
    )
}

/// The hello actor on every host, each behind an HTTP server of its own at a port of the host's address, which says who
/// answered.
pub fn hello_everywhere(image: &str, port: u16) -> String {
    let http = http_server("hello", &format!("0.0.0.0:{port}"))
        .replace(
            "      traits:\n",
            "      traits:
        - type: daemonscaler
          properties:
            instances: 1
",
        )
        .trim_end()
        .to_owned();
    application(
        "everywhere",
        &format!(
            "    - name: hello
      type: component
      properties:
        image: {image}
      traits:
        - type: daemonscaler
          properties:
            instances: 10
{http}
                    served_by: \"true\"
"
        ),
    )
}

/// An application of components that are written already.
pub fn application(name: &str, components: &str) -> String {
    format!(
        "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: {name}
spec:
  components:
{components}"
    )
}

/// The component `http`: an HTTP server at an address, linked to the component `target`.
pub fn http_server(target: &str, address: &str) -> String {
    format!(
        "    - name: http
      type: capability
      properties:
        image: builtin:http-server
      traits:
        - type: link
          properties:
            target: {target}
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            source:
              config:
                - name: address
                  properties:
                    address: {address}
"
    )
}

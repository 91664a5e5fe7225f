//! Whom a request comes from, as the component is told.

use anyhow::Result;
use trellis_provider::rpc::interface::http::Request as WireRequest;
use trellis_provider_testkit::wait::until;

use crate::{
    client::{Connection, told},
    kit::{Lattice, text},
};

const LIES: [(&str, &str); 4] = [
    ("x-forwarded-for", "192.0.2.1, 192.0.2.2"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "bank.example"),
    ("forwarded", "for=192.0.2.9"),
];

fn described(request: &WireRequest) -> String {
    let mut lines: Vec<_> = request
        .headers
        .iter()
        .filter(|(name, _)| name.contains("forwarded"))
        .map(|(name, values)| format!("{name}: {}", String::from_utf8_lossy(&values.concat())))
        .collect();
    lines.sort();
    lines.push(format!("{:?}", request.scheme));
    lines.join("\n")
}

#[tokio::test]
async fn only_trusted_proxies_are_believed() -> Result<()> {
    let lattice = Lattice::start(&[]).await?;
    let _component = lattice
        .component("tells", |request| async move {
            Ok(text(200, described(&request)))
        })
        .await?;
    let by_itself = "forwarded: for=127.0.0.1;proto=http;host=\"a.example\"
x-forwarded-for: 127.0.0.1
x-forwarded-host: a.example
x-forwarded-proto: http
Some(Http)";
    let believed =
        "forwarded: for=192.0.2.1, for=192.0.2.2, for=127.0.0.1;proto=https;host=\"bank.example\"
x-forwarded-for: 192.0.2.1, 192.0.2.2, 127.0.0.1
x-forwarded-host: bank.example
x-forwarded-proto: https
Some(Https)";
    for (config, expected) in [
        (&[][..], "Some(Http)"),
        (&[("forwarded_headers", "on")], by_itself),
        (&[("trusted_proxies", "192.0.2.0/24")], by_itself),
        (&[("trusted_proxies", "192.0.2.0/24, 127.0.0.1")], believed),
        (
            &[
                ("trusted_proxies", "127.0.0.1"),
                ("forwarded_headers", "off"),
            ],
            "Some(Http)",
        ),
    ] {
        lattice.put(&lattice.link("tells", config)).await?;
        for http2 in [false, true] {
            until("the link is the new one", || async {
                let mut connection = Connection::open(lattice.address, http2).await?;
                let response = connection.get("http://a.example/", &LIES).await?;
                let (_, body) = told(&response);
                anyhow::ensure!(body == expected, "{config:?} http2={http2}: {body}");
                Ok(())
            })
            .await?;
        }
    }
    Ok(())
}

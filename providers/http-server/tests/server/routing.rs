//! Several components behind one address, by host and path.

use anyhow::{Result, ensure};
use trellis_provider_testkit::wait::until;
use trellis_tests::http::{Http, Load};

use crate::{
    client::{Connection, told},
    kit::{Lattice, SERVER},
};

#[tokio::test]
async fn requests_find_their_component_by_host_and_path() -> Result<()> {
    let lattice = Lattice::start(&[]).await?;
    let _components = lattice
        .named_components(&["site", "api", "v2", "shop", "any"])
        .await?;
    let site = [("host", "WWW.example.com")];
    let api = [
        ("host", "www.example.com"),
        ("path", "/api"),
        ("strip_prefix", "true"),
    ];
    let v2 = [("host", "www.example.com"), ("path", "/api/v2/")];
    let shop = [("host", "*.shop.example.com"), ("path", "/")];
    for (component, config) in [
        ("site", &site[..]),
        ("api", &api),
        ("v2", &v2),
        ("shop", &shop),
    ] {
        let link = lattice.named(component, component, config)?;
        lattice.put(&link).await?;
    }
    until("the last link is there", || async {
        let mut client = Connection::open(lattice.address, false).await?;
        let response = client.get("http://a.shop.example.com/", &[]).await?;
        ensure!(response.status() == 200, "{response:?}");
        Ok(())
    })
    .await?;
    for http2 in [false, true] {
        let mut client = Connection::open(lattice.address, http2).await?;
        for (uri, expected) in [
            ("http://www.example.com/", (200, "site /")),
            (
                "http://www.example.com:8080/apis?a=b",
                (200, "site /apis?a=b"),
            ),
            ("http://WWW.EXAMPLE.COM/api", (200, "api /")),
            ("http://www.example.com./api?a=b", (200, "api /?a=b")),
            ("http://www.example.com/api/x/?y", (200, "api /x/?y")),
            ("http://www.example.com/api/v2/x", (200, "v2 /api/v2/x")),
            ("http://a.b.shop.example.com/api", (200, "shop /api")),
            (
                "http://shop.example.com/",
                (404, "404 Not Found: nothing is here\n"),
            ),
            (
                "http://127.0.0.1/api",
                (404, "404 Not Found: nothing is here\n"),
            ),
        ] {
            let (status, body) = told(&client.get(uri, &[]).await?);
            assert_eq!((status, body.as_str()), expected, "{uri} http2={http2}");
        }
    }
    // One that takes what is nobody's.
    lattice.put(&lattice.link("any", &[])).await?;
    let mut client = Connection::open(lattice.address, true).await?;
    until("the link is there", || async {
        let mut client = Connection::open(lattice.address, false).await?;
        let (status, body) = told(&client.get("http://127.0.0.1/api", &[]).await?);
        ensure!(
            (status, body.as_str()) == (200, "any /api"),
            "{status} {body}"
        );
        Ok(())
    })
    .await?;
    let (_, body) = told(&client.get("http://www.example.com/api", &[]).await?);
    assert_eq!(body, "api /");
    Ok(())
}

#[tokio::test]
async fn a_route_is_one_link_s_at_a_time() -> Result<()> {
    let lattice = Lattice::start(&[]).await?;
    let _components = lattice.named_components(&["one", "two"]).await?;
    let one = lattice.named("first", "one", &[("path", "/a")])?;
    lattice.put(&one).await?;
    let two = lattice.named("second", "two", &[("path", "/a/")])?;
    lattice.host.put(SERVER, &two).await?;
    let message = lattice.host.until_healthy(SERVER, false).await?;
    let said = format!(
        "every host, path /a, at address {} is link http -(wasi:http, first)->'s: give this one an `address` of its own",
        lattice.address
    );
    ensure!(message.contains(&said), "{message}");
    ensure!(message.contains("another `host` or `path`"), "{message}");
    let http = Http::new(lattice.address);
    assert_eq!(http.get("/a/b").await?.body, "one /a/b");
    // The second one's turn comes by itself.
    lattice.host.delete(SERVER, &one).await?;
    lattice.host.until_healthy(SERVER, true).await?;
    assert_eq!(http.get("/a/b").await?.body, "two /a/b");
    Ok(())
}

#[tokio::test]
async fn routes_come_change_and_go_without_a_failed_request() -> Result<()> {
    let lattice = Lattice::start(&[("replace_grace_ms", "200")]).await?;
    let _components = lattice.named_components(&["root", "part"]).await?;
    lattice.put(&lattice.link("root", &[])).await?;
    let part = |path| lattice.named("part", "part", &[("path", path)]);
    let load = Load::start(lattice.address, "/a/b", 8);
    load.goes_on(50).await?;
    for _ in 0..3 {
        lattice.put(&part("/a")?).await?;
        load.goes_on(50).await?;
        // The same link has another path, and what it had falls to the one that takes everything.
        lattice.put(&part("/b")?).await?;
        load.goes_on(50).await?;
        lattice.put(&part("/a/b")?).await?;
        load.goes_on(50).await?;
        lattice.host.delete(SERVER, &part("/a/b")?).await?;
        load.goes_on(50).await?;
    }
    let http = Http::new(lattice.address);
    until("the route is gone", || async {
        let body = http.get("/a/b").await?.body;
        ensure!(body == "root /a/b", "{body}");
        Ok(())
    })
    .await?;
    let seen = load.stop().await;
    ensure!(seen.failed() == 0, "{seen:?}");
    ensure!(seen.answers.len() == 2, "both answered: {seen:?}");
    Ok(())
}

#[tokio::test]
async fn the_modes_of_1_x_say_what_a_link_needs() -> Result<()> {
    let lattice = Lattice::start(&[("routing_mode", "path")]).await?;
    let _components = lattice.named_components(&["one"]).await?;
    let link = lattice.link("one", &[]);
    lattice.host.put(SERVER, &link).await?;
    let message = lattice.host.until_healthy(SERVER, false).await?;
    ensure!(
        message
            .contains("field `path`: it is missing, and the provider's `routing_mode` is `path`"),
        "{message}"
    );
    let link = lattice.link("one", &[("path", "/one")]);
    lattice.put(&link).await?;
    let http = Http::new(lattice.address);
    assert_eq!(http.get("/one").await?.body, "one /one");
    assert_eq!(http.get("/two").await?.status, 404);
    Ok(())
}

//! A client that asks too often is told so, and the others are not.

use anyhow::{Result, ensure};

use crate::{
    client::{Connection, header_of, told},
    kit::{Lattice, text},
};

#[tokio::test]
async fn each_client_has_its_rate() -> Result<()> {
    let lattice = Lattice::start(&[]).await?;
    let _component = lattice
        .component("hello", |_| async { Ok(text(200, "hello")) })
        .await?;
    let config = [
        ("rate_limit", "2/h"),
        ("rate_burst", "3"),
        // Clients are told apart by what the proxy says.
        ("trusted_proxies", "127.0.0.0/8"),
    ];
    lattice.put(&lattice.link("hello", &config)).await?;
    for (http2, client) in [(false, "192.0.2.1"), (true, "192.0.2.2")] {
        let mut connection = Connection::open(lattice.address, http2).await?;
        let from = [("x-forwarded-for", client)];
        for _ in 0..3 {
            let response = connection.get(&lattice.url("/"), &from).await?;
            assert_eq!(response.status(), 200);
        }
        let response = connection.get(&lattice.url("/"), &from).await?;
        let said = "429 Too Many Requests: too many requests: ask again later\n".to_owned();
        assert_eq!(told(&response), (429, said));
        let wait: u64 = header_of(response.headers(), "retry-after")
            .unwrap_or_default()
            .parse()?;
        ensure!((1700..=1800).contains(&wait), "{wait} s");
    }
    Ok(())
}

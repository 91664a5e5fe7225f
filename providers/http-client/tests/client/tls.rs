//! TLS: who is trusted, and what is spoken.

use anyhow::{Result, ensure};
use futures::future::join_all;
use trellis_provider::rpc::interface::http::{Body, ErrorCode};

use crate::{
    kit::{Lattice, get, request, whole},
    server::{Authority, Server, told},
};

#[tokio::test]
async fn an_authority_of_the_link_s_own_is_trusted() -> Result<()> {
    let authority = Authority::vouching_for(&["localhost"])?;
    let server = Server::with_tls(&authority, told).await?;
    let lattice = Lattice::start(&[
        ("allow_private", "true"),
        ("tls_ca_file", &authority.path()),
        ("tls_system_roots", "false"),
    ])
    .await?;
    let asked = request("POST", &server.https("/a"), Body::Full("hello".into()))?;
    let response = lattice.respond(asked).await?;
    let told = String::from_utf8(whole(response).await?.to_vec())?;
    ensure!(
        told.starts_with(&format!("POST {} HTTP/2.0", server.https("/a")))
            && told.ends_with("body of 5 bytes"),
        "{told}"
    );
    // HTTP/2 needs one connection, however many requests run.
    let at_once = (0..50).map(|_| lattice.get_ok(&server));
    for outcome in join_all(at_once).await {
        outcome?;
    }
    ensure!(server.connections() == 1, "{}", server.connections());
    lattice.running.stop().await?;
    Ok(())
}

impl Lattice {
    async fn get_ok(&self, server: &Server) -> Result<()> {
        let (status, _) = self.get(&server.https("/")).await?;
        ensure!(status == 200);
        Ok(())
    }
}

#[tokio::test]
async fn http_1_is_spoken_where_the_link_says_so() -> Result<()> {
    let authority = Authority::vouching_for(&["localhost"])?;
    let server = Server::with_tls(&authority, told).await?;
    let lattice = Lattice::start(&[
        ("allow_private", "true"),
        ("tls_ca_file", &authority.path()),
        ("http2", "false"),
    ])
    .await?;
    let (_, told) = lattice.get(&server.https("/")).await?;
    ensure!(told.starts_with(b"GET / HTTP/1.1"), "{told:?}");
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn nobody_else_is_trusted() -> Result<()> {
    let (authority, other) = (
        Authority::vouching_for(&["localhost"])?,
        Authority::vouching_for(&["other.example"])?,
    );
    let unknown = Server::with_tls(&other, told).await?;
    let lattice = Lattice::start(&[
        ("allow_private", "true"),
        ("tls_ca_file", &authority.path()),
    ])
    .await?;
    let code = lattice.refusal(get(&unknown.https("/"))?).await?;
    ensure!(code == ErrorCode::TlsCertificateError, "{code:?}");

    let file = other.path();
    let other_ca = Lattice::start(&[("allow_private", "true"), ("tls_ca_file", &file)]).await?;
    let code = other_ca.refusal(get(&unknown.https("/"))?).await?;
    ensure!(
        code == ErrorCode::TlsCertificateError,
        "the name is another one: {code:?}"
    );

    let plain = Server::start(told).await?;
    let code = lattice.refusal(get(&plain.https("/"))?).await?;
    ensure!(code == ErrorCode::TlsProtocolError, "{code:?}");
    lattice.running.stop().await?;
    other_ca.running.stop().await?;
    Ok(())
}

//! What a link does not allow, and what goes wrong on the way.

use std::sync::Arc;

use anyhow::{Result, ensure};
use tokio::sync::Notify;
use trellis_provider::rpc::interface::http::ErrorCode;
use trellis_provider_testkit::{port, wait::until};

use crate::{
    kit::{COMPONENT, Lattice, get, link},
    server::{Server, Then, text},
};

#[tokio::test]
async fn the_machine_s_own_networks_are_out_of_reach() -> Result<()> {
    let server = Server::start(|_| async { text(200, "secret") }).await?;
    let lattice = Lattice::start(&[]).await?;
    let port = server.address.port();
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "127.1",
        "0x7f000001",
        "2130706433",
        "0.0.0.0",
        "[64:ff9b::7f00:1]",
    ] {
        let code = lattice
            .refusal(get(&format!("http://{host}:{port}/"))?)
            .await?;
        ensure!(
            code == ErrorCode::DestinationIpProhibited,
            "{host}: {code:?}"
        );
    }
    let code = lattice.refusal(get("http://169.254.169.254/latest/meta-data/")?);
    ensure!(code.await? == ErrorCode::DestinationIpProhibited);
    ensure!(server.connections() == 0, "a byte was sent");
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn networks_are_allowed_one_by_one() -> Result<()> {
    let server = Server::start(|_| async { text(200, "x") }).await?;
    let lattice = Lattice::start(&[("allow_private", "127.0.0.0/8")]).await?;
    ensure!(lattice.get(&server.url("/")).await?.0 == 200);
    // The name has another address as well, which is left out.
    let by_name = format!("http://localhost:{}/", server.address.port());
    ensure!(lattice.get(&by_name).await?.0 == 200);
    let code = lattice.refusal(get("http://10.0.0.1/")?).await?;
    ensure!(code == ErrorCode::DestinationIpProhibited, "{code:?}");
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn only_the_hosts_that_a_link_names_are_asked() -> Result<()> {
    let server = Server::start(|_| async { text(200, "x") }).await?;
    let address = server.address.to_string();
    let lattice = Lattice::start(&[
        ("allow_private", "true"),
        ("allowed_hosts", &format!("example.org, {address}")),
    ])
    .await?;
    ensure!(lattice.get(&server.url("/")).await?.0 == 200);
    for url in [
        format!("http://localhost:{}/", server.address.port()),
        "http://127.0.0.1/".to_owned(),
        "http://example.org:8080/".to_owned(),
        "https://www.example.org/".to_owned(),
    ] {
        let code = lattice.refusal(get(&url)?).await?;
        ensure!(code == ErrorCode::HttpRequestDenied, "{url}: {code:?}");
    }
    ensure!(server.connections() == 1);
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_component_without_a_link_is_told_so() -> Result<()> {
    let lattice = Lattice::start(&[]).await?;
    let answer = lattice.ask_as("stranger", get("http://example.org/")?, None);
    let Err(ErrorCode::InternalError(Some(why))) = answer.await? else {
        anyhow::bail!("a stranger is answered")
    };
    ensure!(
        why.contains("\"stranger\" has no link named \"default\""),
        "{why}"
    );
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn what_goes_wrong_has_its_code() -> Result<()> {
    let lattice = Lattice::open().await?;
    let nobody = format!("http://127.0.0.1:{}/", port::free()?);
    let code = lattice.refusal(get(&nobody)?).await?;
    ensure!(code == ErrorCode::ConnectionRefused, "{code:?}");

    // Too long for DNS, so that none is asked.
    let nowhere = format!("http://{}.example/", "a".repeat(70));
    let code = lattice.refusal(get(&nowhere)?).await?;
    ensure!(matches!(code, ErrorCode::DnsError(_)), "{code:?}");

    for (said, wanted) in [
        (
            &b"not HTTP at all\r\n\r\n"[..],
            ErrorCode::HttpProtocolError,
        ),
        (b"", ErrorCode::HttpResponseIncomplete),
        (
            b"HTTP/1.1 200 OK\r\ncontent-",
            ErrorCode::HttpResponseIncomplete,
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe",
            ErrorCode::HttpResponseIncomplete,
        ),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
            ErrorCode::HttpUpgradeFailed,
        ),
    ] {
        let server = Server::saying(said, Then::Close).await?;
        let code = lattice.refusal(get(&server.url("/"))?).await?;
        ensure!(code == wanted, "{}: {code:?}", said.escape_ascii());
    }
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_response_s_head_has_a_bound() -> Result<()> {
    let server = Server::start(|request| async move {
        let mut response = text(200, "x");
        let long = "y".repeat(request.uri().path().len());
        for index in 0..4_u8 {
            let name = http::HeaderName::from_bytes(format!("x-{index}").as_bytes());
            if let (Ok(name), Ok(value)) = (name, long.parse()) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    })
    .await?;
    let lattice = Lattice::start(&[
        ("allow_private", "true"),
        ("max_response_header_bytes", "8192"),
    ])
    .await?;
    ensure!(lattice.get(&server.url("/short")).await?.0 == 200);
    for length in [2500, 20_000] {
        let path = format!("/{}", "z".repeat(length));
        let code = lattice.refusal(get(&server.url(&path))?).await?;
        let too_large = matches!(code, ErrorCode::HttpResponseHeaderSectionSize(_));
        ensure!(too_large, "{length}: {code:?}");
    }
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn requests_beyond_the_limit_are_refused_at_once() -> Result<()> {
    let (arrived, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (told, may) = (arrived.clone(), go_on.clone());
    let server = Server::start(move |_| {
        let (told, may) = (told.clone(), may.clone());
        async move {
            told.notify_one();
            may.notified().await;
            text(200, "x")
        }
    })
    .await?;
    let lattice = Lattice::start(&[("allow_private", "true"), ("max_requests", "1")]).await?;
    let url = server.url("/");
    let first = lattice.get(&url);
    let second = async {
        arrived.notified().await;
        let code = lattice.refusal(get(&url)?).await?;
        ensure!(code == ErrorCode::ConnectionLimitReached, "{code:?}");
        go_on.notify_one();
        Ok(())
    };
    let (first, second) = tokio::join!(first, second);
    second?;
    ensure!(first?.0 == 200);
    go_on.notify_one();
    ensure!(lattice.get(&url).await?.0 == 200);
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_with_its_field() -> Result<()> {
    let lattice = Lattice::start(&[]).await?;
    for (name, value, message) in [
        (
            "allowed_hosts",
            "https://x",
            "target_config: field `allowed_hosts`: \"https://x\"",
        ),
        (
            "allow_private",
            "perhaps",
            "target_config: field `allow_private`: \"perhaps\"",
        ),
        (
            "first_byte_timeout_ms",
            "0",
            "target_config: field `first_byte_timeout_ms`: 0 is not",
        ),
        (
            "tls_ca_file",
            "/nowhere/ca.pem",
            "target_config: field `tls_ca_file`: /nowhere/ca.pem: ",
        ),
        (
            "allow_hosts",
            "x",
            "there is no field `allow_hosts`; did you mean `allowed_hosts`?",
        ),
    ] {
        let wrong = link("wrong", &[(name, value)]);
        lattice.host.put(crate::kit::CLIENT, &wrong).await?;
        let told = until("the link is refused", || async {
            let told = lattice.host.health(crate::kit::CLIENT).await?.message;
            let told = told.unwrap_or_default();
            ensure!(told.contains(message), "{told}");
            Ok(told)
        });
        told.await?;
        let answer = lattice
            .ask_as("wrong", get("http://example.org/")?, None)
            .await?;
        ensure!(answer.is_err(), "a refused link is used");
        lattice.host.delete(crate::kit::CLIENT, &wrong).await?;
    }
    // The other link goes on.
    let code = lattice
        .ask_as(COMPONENT, get("http://127.0.0.1/")?, None)
        .await?;
    ensure!(code.err() == Some(ErrorCode::DestinationIpProhibited));
    lattice.running.stop().await?;
    Ok(())
}

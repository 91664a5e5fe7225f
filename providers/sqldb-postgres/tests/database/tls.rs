//! TLS to the database.

use anyhow::{Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use trellis_provider_testkit::wait::until;
use trellis_sqldb_postgres::wire::{PgValue, Query};
use trellis_tests::postgres::PostgresServer;

use crate::kit::{COMPONENT, Lattice, PROVIDER, link};

const IS_TLS: &str = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";

#[tokio::test]
async fn tls_is_required_with_a_certificate_that_is_trusted() -> Result<()> {
    let mut own = CertificateParams::new(Vec::new())?;
    own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(own, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let names = vec!["127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names)?.signed_by(&key, &authority)?;
    let (certificate, key) = (certificate.pem(), key.serialize_pem());
    let server = PostgresServer::with_tls(Some((&certificate, &key))).await?;
    let ca = server.socket_folder().join("ca.pem");
    std::fs::write(&ca, authority.pem())?;
    let (url, ca) = (server.url(), ca.display().to_string());

    let trusting = [
        ("url", url.as_str()),
        ("tls_required", "true"),
        ("tls_ca_file", &ca),
    ];
    let doubting = [("url", url.as_str()), ("POSTGRES_TLS_REQUIRED", "true")];
    let plain = [("url", url.as_str())];
    let links = vec![
        link(COMPONENT, &trusting),
        link("doubting", &doubting),
        link("plain", &plain),
    ];
    let lattice = Lattice::over(server, links).await?;
    ensure!(lattice.value(IS_TLS, vec![]).await? == PgValue::Bool(true));

    let ask = |component: &'static str| {
        let lattice = &lattice;
        async move {
            let params = (IS_TLS.to_owned(), vec![]);
            lattice
                .host
                .call::<Query>(component, PROVIDER, &params)
                .await
        }
    };
    let doubted = format!("{:?}", ask("doubting").await?);
    ensure!(doubted.contains("certificate"), "{doubted}");
    let plain = until("the plain link is there", || async {
        ask("plain")
            .await?
            .map_err(|error| anyhow::anyhow!("{error:?}"))
    });
    ensure!(plain.await?[0][0].value == PgValue::Bool(false));
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_server_without_tls_is_not_spoken_to_where_it_is_required() -> Result<()> {
    let lattice = Lattice::with(&[("tls_required", "true")]).await?;
    let answer = format!("{:?}", lattice.query("SELECT 1", vec![]).await?);
    ensure!(answer.contains("TLS"), "{answer}");
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_unix_socket_is_a_host() -> Result<()> {
    let server = PostgresServer::start().await?;
    let (folder, port) = (
        server.socket_folder().display().to_string(),
        server.port().to_string(),
    );
    let config = [
        ("host", folder.as_str()),
        ("port", &port),
        ("username", "trellis"),
        ("password", PostgresServer::PASSWORD),
    ];
    let link = link(COMPONENT, &config);
    let lattice = Lattice::over(server, vec![link]).await?;
    let address = lattice.value("SELECT inet_server_addr()", vec![]).await?;
    ensure!(address == PgValue::Null, "{address:?}");
    lattice.running.stop().await?;
    Ok(())
}

//! What goes wrong: statements, configurations, servers.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::future::join_all;
use trellis_provider_testkit::{port, wait::until};
use trellis_sqldb_postgres::wire::{PgValue, QueryError};
use trellis_tests::postgres::PostgresServer;

use crate::kit::{COMPONENT, Lattice, PROVIDER, link, text};

#[tokio::test]
async fn a_failure_is_told_by_its_kind_and_code() -> Result<()> {
    let lattice = Lattice::start().await?;
    lattice
        .done("CREATE TABLE item (id int PRIMARY KEY)")
        .await?;
    let one = || vec![PgValue::Int4(1)];
    let insert = "INSERT INTO item VALUES ($1)";
    lattice.values(insert, one()).await?;
    for (sql, params, kind, code) in [
        ("SELEC 1", vec![], "InvalidQuery", "42601: syntax error"),
        (
            "SELECT * FROM nowhere",
            vec![],
            "InvalidQuery",
            "42P01: relation",
        ),
        ("SELECT 1; SELECT 2", vec![], "InvalidQuery", "42601: "),
        (
            "SELECT $1::int",
            vec![text("many")],
            "InvalidParams",
            "22P02: invalid input",
        ),
        (
            "SELECT $1::int",
            vec![],
            "InvalidParams",
            "has 1 parameters, and 0 were given",
        ),
        (
            "SELECT 1",
            one(),
            "InvalidParams",
            "has 0 parameters, and 1 were given",
        ),
        (
            "SELECT 1 / ($1::int - 1)",
            one(),
            "InvalidParams",
            "22012: division by zero",
        ),
        (insert, one(), "Unexpected", "23505: duplicate key"),
        (
            "BEGIN",
            vec![],
            "InvalidQuery",
            "trellis:postgres/transaction",
        ),
        (
            "SELECT ARRAY[[1,2],[3,4]]",
            vec![],
            "Unexpected",
            "column \"array\" of type _int4: ",
        ),
        (
            "SELECT ROW(1, 2)",
            vec![],
            "Unexpected",
            "have the query cast it",
        ),
    ] {
        let error = format!("{:?}", lattice.query(sql, params).await?.err());
        ensure!(
            error.starts_with(&format!("Some({kind}("))
                && error.contains(&code.replace('"', "\\\"")),
            "{sql}: {error}"
        );
    }
    // After each of them the connection can be used.
    ensure!(lattice.value("SELECT count(*) FROM item", vec![]).await? == PgValue::Int8(1));
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_with_its_field() -> Result<()> {
    let lattice = Lattice::start().await?;
    for (config, message) in [
        (&[][..], "target_config: field `host`: is missing"),
        (
            &[("host", "db")][..],
            "target_config: field `username`: is missing",
        ),
        (
            &[("url", "mysql://:hush@db")][..],
            "target_config: field `url`: not a PostgreSQL URL",
        ),
        (
            &[("url", "postgres://me@db"), ("pool_size", "many")][..],
            "target_config: field `pool_size`: \"many\" is not a whole number",
        ),
        (
            &[("POSTGRES_HOST", "db"), ("POSTGRES_PORT", "99999")][..],
            "target_config: field `POSTGRES_PORT`: ",
        ),
        (
            &[
                ("url", "postgres://me@db"),
                ("tls_ca_file", "/nowhere/ca.pem"),
            ][..],
            "target_config: field `tls_ca_file`: /nowhere/ca.pem: ",
        ),
        (
            &[("hots", "db")][..],
            "there is no field `hots`; did you mean `host`?",
        ),
    ] {
        let wrong = link("wrong", config);
        lattice.host.put(PROVIDER, &wrong).await?;
        let told = until("the link is refused", || async {
            let told = lattice.host.health(PROVIDER).await?.message;
            let told = told.unwrap_or_default();
            ensure!(told.contains(message), "{told}");
            Ok(told)
        });
        ensure!(!told.await?.contains("hush"));
        lattice.host.delete(PROVIDER, &wrong).await?;
    }
    ensure!(lattice.value("SELECT 1", vec![]).await? == PgValue::Int4(1));
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_database_that_comes_late_is_found() -> Result<()> {
    let mut server = PostgresServer::start().await?;
    server.crash().await?;
    let url = server.url();
    let lattice = Lattice::over(server, vec![link(COMPONENT, &[("url", &url)])]);
    let mut lattice = lattice.await?;
    let begun = Instant::now();
    let Err(QueryError::Unexpected(why)) = lattice.query("SELECT 1", vec![]).await? else {
        anyhow::bail!("a server that is not there answers")
    };
    ensure!(why.contains("PostgreSQL at 127.0.0.1:"), "{why}");
    ensure!(!why.contains("password"), "{why}");
    ensure!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    let told = lattice.host.until_healthy(PROVIDER, false).await?;
    ensure!(told.contains("PostgreSQL at 127.0.0.1:"), "{told}");

    lattice.server.resume().await?;
    until("the database is found", || {
        lattice.value("SELECT 1", vec![])
    })
    .await?;
    lattice.host.until_healthy(PROVIDER, true).await?;
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_database_that_restarts_under_load_is_found_again() -> Result<()> {
    let mut lattice = Lattice::with(&[("pool_size", "4")]).await?;
    lattice
        .done("CREATE TABLE item (id int PRIMARY KEY)")
        .await?;
    let mut sure = Vec::new();
    for round in 0..3 {
        let ids = (0..100).map(|n| round * 100 + n);
        let insert = |id| {
            let lattice = &lattice;
            async move {
                let done = lattice
                    .query("INSERT INTO item VALUES ($1)", vec![PgValue::Int4(id)])
                    .await;
                (id, matches!(done, Ok(Ok(_))))
            }
        };
        sure.extend(
            join_all(ids.map(insert))
                .await
                .into_iter()
                .filter(|(_, done)| *done),
        );
        lattice.server.crash().await?;
        ensure!(lattice.query("SELECT 1", vec![]).await?.is_err());
        lattice.server.resume().await?;
        until("the database is found again", || {
            lattice.value("SELECT 1", vec![])
        })
        .await?;
    }
    ensure!(sure.len() >= 300, "{} inserts", sure.len());
    for (id, _) in sure {
        let there = lattice
            .value(
                "SELECT count(*) FROM item WHERE id = $1",
                vec![PgValue::Int4(id)],
            )
            .await?;
        ensure!(
            there == PgValue::Int8(1),
            "{id} was acknowledged, and is not there"
        );
    }
    lattice.host.until_healthy(PROVIDER, true).await?;
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_wrong_password_is_told_and_not_shown() -> Result<()> {
    let lattice = Lattice::start().await?;
    let wrong = [
        ("url", lattice.server.url()),
        ("POSTGRES_PASSWORD", "hush-hush".to_owned()),
    ];
    let wrong: Vec<(&str, &str)> = wrong
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    lattice.host.put(PROVIDER, &link("wrong", &wrong)).await?;
    let told = until("the link is there", || async {
        let params = ("SELECT 1".to_owned(), vec![]);
        let answer = lattice
            .host
            .call::<trellis_sqldb_postgres::wire::Query>("wrong", PROVIDER, &params)
            .await?;
        let told = format!("{:?}", answer.err());
        ensure!(told.contains("28P01"), "{told}");
        Ok(told)
    });
    ensure!(!told.await?.contains("hush"));
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_place_where_nobody_is_does_not_hold_anybody_up() -> Result<()> {
    let lattice = Lattice::start().await?;
    let nobody = format!("postgres://me:x@127.0.0.1:{}/x", port::free()?);
    lattice
        .host
        .put(PROVIDER, &link("lost", &[("url", &nobody)]))
        .await?;
    let told = lattice.host.until_healthy(PROVIDER, false).await?;
    ensure!(told.contains("PostgreSQL at 127.0.0.1:"), "{told}");
    ensure!(lattice.value("SELECT 1", vec![]).await? == PgValue::Int4(1));
    lattice.running.stop().await?;
    Ok(())
}

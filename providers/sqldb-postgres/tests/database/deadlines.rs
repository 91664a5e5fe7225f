//! What nobody waits for any more ends at the server.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use trellis_provider::rpc::CallError;
use trellis_provider_testkit::wait::until;
use trellis_sqldb_postgres::wire::{PgValue, Query, QueryError};

use crate::kit::Lattice;

const SLEEP: &str = "SELECT pg_sleep(600)";

async fn sleeping(lattice: &Lattice) -> Result<u64> {
    let running = lattice.server.sql(
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%'",
    );
    Ok(running.await?.parse()?)
}

async fn until_none_sleeps(lattice: &Lattice) -> Result<()> {
    until("the statement ends at the server", || async {
        let running = sleeping(lattice).await?;
        ensure!(running == 0, "{running} run");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_deadline_ends_the_statement() -> Result<()> {
    let lattice = Lattice::with(&[("pool_size", "1"), ("statement_timeout_ms", "600000")]).await?;
    let begun = Instant::now();
    let params = (SLEEP.to_owned(), vec![]);
    let answer = lattice.call_within::<Query>(Duration::from_millis(500), &params);
    let error = answer.await.err();
    ensure!(
        matches!(error, Some(CallError::DeadlineExceeded { .. })),
        "{error:?}"
    );
    until_none_sleeps(&lattice).await?;
    // The only connection is free again, or replaced.
    ensure!(lattice.value("SELECT 1", vec![]).await? == PgValue::Int4(1));
    ensure!(begun.elapsed() < Duration::from_secs(60));
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_caller_that_goes_ends_the_statement() -> Result<()> {
    let lattice = Lattice::with(&[("statement_timeout_ms", "600000")]).await?;
    let asked = lattice.query(SLEEP, vec![]);
    let runs = until("the statement runs", || async {
        ensure!(sleeping(&lattice).await? == 1);
        Ok(())
    });
    tokio::select! {
        answer = asked => anyhow::bail!("it has slept: {answer:?}"),
        runs = runs => runs?,
    }
    until_none_sleeps(&lattice).await?;
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_statement_has_a_limit_of_its_own() -> Result<()> {
    let lattice = Lattice::with(&[("statement_timeout_ms", "300")]).await?;
    let answer = lattice.query(SLEEP, vec![]).await?;
    let Err(QueryError::Unexpected(why)) = answer else {
        anyhow::bail!("it has slept: {answer:?}")
    };
    ensure!(why.starts_with("57014: "), "{why}");
    ensure!(lattice.value("SELECT 1", vec![]).await? == PgValue::Int4(1));
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn who_finds_no_connection_free_is_told() -> Result<()> {
    let lattice = Lattice::with(&[("pool_size", "1"), ("pool_timeout_ms", "200")]).await?;
    let asked = lattice.query(SLEEP, vec![]);
    let second = async {
        until("the statement runs", || async {
            ensure!(sleeping(&lattice).await? == 1);
            Ok(())
        })
        .await?;
        let answer = lattice.query("SELECT 1", vec![]).await?;
        let Err(QueryError::Unexpected(why)) = answer else {
            anyhow::bail!("there is a second connection: {answer:?}")
        };
        ensure!(why.starts_with("all 1 connections"), "{why}");
        Ok(())
    };
    tokio::select! {
        answer = asked => anyhow::bail!("it has slept: {answer:?}"),
        second = second => second?,
    }
    lattice.running.stop().await?;
    Ok(())
}

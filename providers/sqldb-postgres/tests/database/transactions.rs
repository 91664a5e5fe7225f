//! Several statements that are one.

use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;
use trellis_provider_testkit::wait::until;
use trellis_sqldb_postgres::wire::{
    Isolation::{self, ReadCommitted, Serializable},
    PgValue, QueryError, Statement, TransactionError,
};

use crate::kit::{COMPONENT, Lattice, PACKAGES, PROVIDER, link_of, statement};

const ACCOUNTS: &str = "CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL); \
    INSERT INTO account VALUES (1, 100), (2, 0)";
const TAKE: &str =
    "UPDATE account SET balance = balance - $2 WHERE id = $1 AND balance >= $2 RETURNING balance";
const GIVE: &str = "UPDATE account SET balance = balance + $2 WHERE id = $1";

/// So much from one account to the other.
fn transfer(amount: i32) -> Vec<Statement> {
    let (from, to, amount) = (PgValue::Int4(1), PgValue::Int4(2), PgValue::Int4(amount));
    vec![
        statement(TAKE, vec![from, amount.clone()], Some(1)),
        statement(GIVE, vec![to, amount], Some(1)),
    ]
}

async fn balances(lattice: &Lattice) -> Result<String> {
    let balances = "SELECT string_agg(balance::text, ' ' ORDER BY id) FROM account";
    lattice.server.sql(balances).await
}

#[tokio::test]
async fn all_statements_are_done_or_none() -> Result<()> {
    let lattice = Lattice::with(&[("pool_size", "1")]).await?;
    lattice.done(ACCOUNTS).await?;
    let outcomes = lattice.transact(transfer(30), ReadCommitted).await?;
    let outcomes = outcomes.map_err(|error| anyhow::anyhow!("{error:?}"))?;
    ensure!(
        outcomes[0].rows[0][0].value == PgValue::Int4(70),
        "{outcomes:?}"
    );
    ensure!((outcomes[0].affected, outcomes[1].affected) == (1, 1));
    ensure!(balances(&lattice).await? == "70 30");

    // There is not so much: the second statement would have given it nevertheless.
    let poor = lattice.transact(transfer(71), ReadCommitted).await?;
    ensure!(poor == Err(TransactionError::Rows((0, 0))), "{poor:?}");

    let mut broken = transfer(10);
    broken.push(statement("INSERT INTO account VALUES (1, 1)", vec![], None));
    let broken = lattice.transact(broken, Serializable).await?;
    let Err(TransactionError::Statement((2, QueryError::Unexpected(why)))) = broken else {
        anyhow::bail!("{broken:?}")
    };
    ensure!(why.starts_with("23505: "), "{why}");

    let mut early = transfer(10);
    early.push(statement("/* now */ COMMIT", vec![], None));
    early.push(statement("SELECT 1 / 0", vec![], None));
    let early = lattice.transact(early, ReadCommitted).await?;
    ensure!(
        matches!(
            early,
            Err(TransactionError::Statement((
                2,
                QueryError::InvalidQuery(_)
            )))
        ),
        "{early:?}"
    );
    ensure!(balances(&lattice).await? == "70 30", "something was done");
    ensure!(lattice.transact(vec![], ReadCommitted).await? == Ok(vec![]));
    lattice.running.stop().await?;
    Ok(())
}

/// Whatever comes in between, what is there in the end is what was answered.
#[tokio::test]
async fn transactions_at_once_count_right() -> Result<()> {
    let lattice = Lattice::with(&[("pool_size", "8")]).await?;
    lattice.done(ACCOUNTS).await?;
    let one = |isolation: Isolation| {
        let lattice = &lattice;
        async move {
            until("no other comes in between", || async {
                match lattice.transact(transfer(1), isolation).await? {
                    Ok(_) => Ok(true),
                    Err(TransactionError::Rows((0, 0))) => Ok(false),
                    Err(error) => anyhow::bail!("{error:?}"),
                }
            })
            .await
        }
    };
    let attempts = (0..150).map(|n| {
        one(if n % 2 == 0 {
            ReadCommitted
        } else {
            Serializable
        })
    });
    let mut moved = 0;
    for outcome in join_all(attempts).await {
        moved += u32::from(outcome?);
    }
    ensure!(moved == 100, "{moved}");
    ensure!(balances(&lattice).await? == "0 100");
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_transaction_that_is_given_up_is_undone() -> Result<()> {
    let lattice = Lattice::with(&[("pool_size", "1"), ("statement_timeout_ms", "600000")]).await?;
    lattice.done(ACCOUNTS).await?;
    let mut slow = transfer(10);
    slow.push(statement("SELECT pg_sleep(600)", vec![], None));
    let asked = lattice.transact(slow, ReadCommitted);
    let sleeps = until("the transaction runs", || async {
        let running = lattice.server.sql(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%'",
        );
        ensure!(running.await? == "1");
        Ok(())
    });
    tokio::select! {
        answer = asked => anyhow::bail!("it has slept: {answer:?}"),
        sleeps = sleeps => sleeps?,
    }
    // The rows are not locked any more either.
    let outcomes = lattice.transact(transfer(1), ReadCommitted).await?;
    outcomes.ok().context("the next one fails")?;
    ensure!(balances(&lattice).await? == "99 1");
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn isolation_is_as_asked() -> Result<()> {
    let lattice = Lattice::start().await?;
    for (isolation, name) in [
        (ReadCommitted, "read committed"),
        (Isolation::RepeatableRead, "repeatable read"),
        (Serializable, "serializable"),
    ] {
        let show = statement("SHOW transaction_isolation", vec![], None);
        let outcomes = lattice.transact(vec![show], isolation).await?;
        let outcomes = outcomes.map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let shown = &outcomes[0].rows[0][0].value;
        ensure!(*shown == crate::kit::text(name), "{shown:?}");
    }
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn each_package_goes_where_its_own_link_leads() -> Result<()> {
    let lattice = Lattice::start().await?;
    lattice.server.sql("CREATE DATABASE elsewhere").await?;
    let url = lattice.server.url();
    let (server, _) = url.rsplit_once('/').context("no database in the URL")?;
    let elsewhere = link_of(
        PACKAGES[1],
        COMPONENT,
        &[("url", &format!("{server}/elsewhere"))],
    );
    let question = "SELECT current_database()::text";
    let here = lattice.value(question, vec![]).await?;
    lattice.host.put(PROVIDER, &elsewhere).await?;
    let asked = || lattice.transact(vec![statement(question, vec![], None)], ReadCommitted);
    until("transactions go elsewhere", || async {
        let outcomes = asked().await?;
        let outcomes = outcomes.map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let there = &outcomes[0].rows[0][0].value;
        ensure!(*there == PgValue::Text("elsewhere".into()), "{there:?}");
        Ok(())
    })
    .await?;
    ensure!(lattice.value(question, vec![]).await? == here);

    lattice.host.delete(PROVIDER, &elsewhere).await?;
    until("transactions have no link", || async {
        let outcomes = asked().await?;
        ensure!(outcomes.is_err(), "{outcomes:?}");
        Ok(())
    })
    .await?;
    ensure!(lattice.value(question, vec![]).await? == here);
    lattice.running.stop().await?;
    Ok(())
}

//! Accounts in a PostgreSQL database.
//!
//! | request | answer |
//! | --- | --- |
//! | `/setup` | makes the table, if it is not there |
//! | `/open?name=ada&amount=100` | opens an account with so much in it |
//! | `/pay?from=ada&to=bob&amount=30` | moves money: all of it or nothing; 409 when there is not so much |
//! | `/balance?name=ada` | what is in the account |
//!
//! What went wrong with the database stands in the log; the client is only told that it did.

use web::{Handler, Request, Response};

use crate::bindings::trellis::postgres::transaction::{
    Isolation, Statement, TransactionError, transact,
};
use crate::bindings::wasi::logging::logging::{Level, log};
use crate::bindings::wasmcloud::postgres::prepared::{exec, prepare};
use crate::bindings::wasmcloud::postgres::query::{query, query_batch};
use crate::bindings::wasmcloud::postgres::types::PgValue;

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package trellis:sql-ledger;
            world ledger {
                import wasmcloud:postgres/query@0.1.1-draft;
                import wasmcloud:postgres/prepared@0.1.1-draft;
                import trellis:postgres/transaction@0.1.0;
                import wasi:logging/logging@0.1.0-draft;
            }
        ",
        path: [
            "../../wit/wasmcloud-postgres",
            "../../wit/trellis-postgres",
            "../../wit/wasi-logging",
        ],
        world: "trellis:sql-ledger/ledger",
        generate_all,
    });
}

const SETUP: &str = "CREATE TABLE IF NOT EXISTS account (\
    name text PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0))";
const OPEN: &str = "INSERT INTO account (name, balance) VALUES ($1, $2)";
const BALANCE: &str = "SELECT balance FROM account WHERE name = $1";
const TAKE: &str = "UPDATE account SET balance = balance - $2 WHERE name = $1 AND balance >= $2";
const GIVE: &str = "UPDATE account SET balance = balance + $2 WHERE name = $1";

struct Ledger;

/// Why there is no 200.
enum Failure {
    /// The asker's mistake.
    Asked(u16, String),
    /// The database's.
    Database(String),
}

impl Handler for Ledger {
    fn handle(request: Request) -> Response {
        let done = match request.path() {
            "/setup" => setup(),
            "/open" => open(&request),
            "/pay" => pay(&request),
            "/balance" => balance(&request),
            path => Err(Failure::Asked(404, format!("nothing at {path}"))),
        };
        match done {
            Ok(text) => Response::text(200, text + "\n"),
            Err(Failure::Asked(status, why)) => Response::text(status, why + "\n"),
            Err(Failure::Database(why)) => {
                log(Level::Error, "ledger", &why);
                Response::text(500, "the ledger can't be reached, or is not set up\n")
            }
        }
    }
}

fn setup() -> Result<String, Failure> {
    query_batch(SETUP).map_err(|error| Failure::Database(format!("{error:?}")))?;
    Ok("set up".into())
}

fn open(request: &Request) -> Result<String, Failure> {
    let (name, amount) = (wanted(request, "name")?, amount(request)?);
    let database = |error: String| Failure::Database(error);
    // Prepared once on each of the provider's connections.
    let token = prepare(OPEN).map_err(|error| database(format!("{error:?}")))?;
    exec(
        &token,
        &[PgValue::Text(name.clone()), PgValue::Int8(amount)],
    )
    .map_err(|error| database(format!("{error:?}")))?;
    Ok(format!("{name} has {amount}"))
}

fn pay(request: &Request) -> Result<String, Failure> {
    let (from, to) = (wanted(request, "from")?, wanted(request, "to")?);
    let amount = amount(request)?;
    let step = |sql: &str, name: &str| Statement {
        query: sql.into(),
        params: vec![PgValue::Text(name.into()), PgValue::Int8(amount)],
        // One account, no more and no less, or nothing is done.
        rows: Some(1),
    };
    let steps = [step(TAKE, &from), step(GIVE, &to)];
    match transact(&steps, Isolation::ReadCommitted) {
        Ok(_) => Ok(format!("{amount} from {from} to {to}")),
        Err(TransactionError::Rows((0, _))) => Err(Failure::Asked(
            409,
            format!("{from} does not have {amount}"),
        )),
        Err(TransactionError::Rows(_)) => Err(Failure::Asked(404, format!("no account {to}"))),
        Err(TransactionError::Conflict(_)) => Err(Failure::Asked(503, "try again".into())),
        Err(error) => Err(Failure::Database(format!("{error:?}"))),
    }
}

fn balance(request: &Request) -> Result<String, Failure> {
    let name = wanted(request, "name")?;
    let rows = query(BALANCE, &[PgValue::Text(name.clone())])
        .map_err(|error| Failure::Database(format!("{error:?}")))?;
    let value = rows.into_iter().flatten().next().map(|entry| entry.value);
    match value {
        Some(PgValue::Int8(balance)) => Ok(balance.to_string()),
        Some(other) => Err(Failure::Database(format!("a balance of {other:?}"))),
        None => Err(Failure::Asked(404, format!("no account {name}"))),
    }
}

fn wanted(request: &Request, name: &str) -> Result<String, Failure> {
    let value = request.query(name);
    value.ok_or_else(|| Failure::Asked(400, format!("the query needs {name}=")))
}

fn amount(request: &Request) -> Result<i64, Failure> {
    match wanted(request, "amount")?.parse() {
        Ok(amount) if amount > 0 => Ok(amount),
        _ => Err(Failure::Asked(
            400,
            "an amount is a whole number above 0".into(),
        )),
    }
}

web::serve!(Ledger);

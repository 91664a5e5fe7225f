//! What goes wrong with a statement, and what a component is told.

use std::error::Error as _;

use deadpool_postgres::{PoolError, TimeoutType};
use tokio_postgres::{
    Error,
    error::{DbError, SqlState},
};

use crate::{
    config::Settings,
    wire::{ExecError, PrepareError, QueryError, TransactionError},
};

/// Why a statement failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The parameters don't fit.
    Params(String),
    /// The statement itself.
    Query(String),
    /// Another transaction came in between.
    Conflict(String),
    /// A statement that was prepared earlier is out of date: a table has other columns now. Nothing was done.
    Stale(String),
    /// PostgreSQL said no for any other reason.
    Refused(String),
    /// Whether it was done, and what the connection is doing now, is not known.
    Broken(String),
    /// The result can't be given: it is more than the link lets through, or has what the interface has no case for.
    Result(String),
}

impl Failure {
    /// What PostgreSQL, or the way there, said.
    pub fn new(error: &Error) -> Self {
        match error.as_db_error() {
            Some(error) => Self::said(error),
            None => Self::Broken(words(error)),
        }
    }

    fn said(error: &DbError) -> Self {
        let text = said(error);
        let code = error.code();
        if *code == SqlState::T_R_SERIALIZATION_FAILURE || *code == SqlState::T_R_DEADLOCK_DETECTED
        {
            return Self::Conflict(text);
        }
        if *code == SqlState::FEATURE_NOT_SUPPORTED && error.message().contains("cached plan") {
            return Self::Stale(text);
        }
        // The codes' classes, after the standard.
        match code.code().as_bytes() {
            b"08P01" | [b'2', b'2', ..] => Self::Params(text),
            b"42501" => Self::Refused(text),
            [b'4', b'2', ..] | [b'2', b'6', ..] => Self::Query(text),
            _ => Self::Refused(text),
        }
    }

    /// Whether the connection is as it was before.
    pub fn leaves_connection(&self) -> bool {
        !matches!(self, Self::Broken(_) | Self::Result(_))
    }

    /// What happened, in words.
    pub fn into_text(self) -> String {
        match self {
            Self::Params(text)
            | Self::Query(text)
            | Self::Conflict(text)
            | Self::Stale(text)
            | Self::Refused(text)
            | Self::Broken(text)
            | Self::Result(text) => text,
        }
    }

    /// What a transaction failed with at a statement.
    pub fn at(self, index: usize) -> TransactionError {
        match self {
            Self::Conflict(text) => TransactionError::Conflict(text),
            // It was not committed, and never will be.
            Self::Broken(text) => TransactionError::Unexpected(text),
            failure => {
                let index = u32::try_from(index).unwrap_or(u32::MAX);
                TransactionError::Statement((index, failure.into()))
            }
        }
    }
}

impl From<Failure> for QueryError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Params(text) => Self::InvalidParams(text),
            Failure::Query(text) => Self::InvalidQuery(text),
            failure => Self::Unexpected(failure.into_text()),
        }
    }
}

impl From<Failure> for PrepareError {
    fn from(failure: Failure) -> Self {
        Self::Unexpected(failure.into_text())
    }
}

impl From<Failure> for ExecError {
    fn from(failure: Failure) -> Self {
        Self::Query(failure.into())
    }
}

impl From<Failure> for TransactionError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Conflict(text) => Self::Conflict(text),
            failure => Self::Unexpected(failure.into_text()),
        }
    }
}

/// Why there is no connection.
pub fn no_connection(error: &PoolError, settings: &Settings) -> Failure {
    let place = settings.shown();
    Failure::Refused(match error {
        PoolError::Timeout(TimeoutType::Wait) => format!(
            "all {} connections to PostgreSQL at {place} are in use, and none became free within {} ms",
            settings.pool_size,
            settings.pool_timeout.as_millis()
        ),
        PoolError::Timeout(_) => format!(
            "PostgreSQL at {place} did not answer within {} ms",
            settings.connect_timeout.as_millis()
        ),
        PoolError::Backend(error) => match error.as_db_error() {
            Some(error) => format!("PostgreSQL at {place}: {}", said(error)),
            None => format!("PostgreSQL at {place}: {}", words(error)),
        },
        error => format!("PostgreSQL at {place}: {error}"),
    })
}

/// The code, so that a component can go by it, and what there is in words.
fn said(error: &DbError) -> String {
    let mut text = format!("{}: {}", error.code().code(), error.message());
    for more in [error.detail(), error.hint()].into_iter().flatten() {
        text.push_str("; ");
        text.push_str(more);
    }
    text
}

/// An error and its causes in one line.
fn words(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some say what their cause says.
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

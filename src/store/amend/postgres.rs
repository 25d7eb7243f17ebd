//! A change on a server.

use super::steps::Step;
use super::{AmendError, Amended};
use crate::store::inspect::query::Param;
use crate::store::postgres::target::{Connection, Target};
use crate::store::postgres::trouble::said;
use std::time::Duration;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};

/// How often a transaction is begun again that got into somebody's way.
const ATTEMPTS: usize = 5;

/// Longest that a transaction may be open with nothing happening in it: if this program is stopped or cut off in the middle,
/// the locks of the sagas are given back.
const IDLE_LIMIT: Duration = Duration::from_secs(5);

/// How much longer than the server itself we wait.
const GRACE: Duration = Duration::from_secs(1);

/// How far a transaction came before it failed.
enum Failed {
    /// Nothing of it can have happened.
    Before(Error),
    /// Its commit was sent.
    Committing(Error),
}

/// Carries out all steps or none.
pub(super) async fn run(target: &Target, steps: &[Step], limit: Duration) -> Result<Amended, AmendError> {
    let connecting = async {
        let connection = target.connect().await?;
        set_up(&connection, limit).await?;
        Ok::<_, Error>(connection)
    };
    let doing = |doing: &str, why: &str| format!("cannot {doing} database {}: {why}", target.shown());
    let connection = match tokio::time::timeout(limit + GRACE, connecting).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return Err(explain(&error, doing("open", &said(&error)))),
        Err(_) => return Err(AmendError::Unavailable(doing("open", "it does not answer"))),
    };
    let mut attempt = 0;
    loop {
        attempt += 1;
        let mut is_committing = false;
        let trying = attempt_once(&connection, steps, &mut is_committing);
        let failed = match tokio::time::timeout(limit + GRACE, trying).await {
            Ok(Ok(amended)) => return Ok(amended),
            Ok(Err(failed)) => failed,
            Err(_) => {
                let text = doing("write to", "it does not answer");
                return Err(match is_committing {
                    true => AmendError::InDoubt(text),
                    false => AmendError::Unavailable(text),
                });
            }
        };
        match failed {
            Failed::Before(error) if is_in_the_way(&error) && attempt < ATTEMPTS => {}
            Failed::Before(error) => return Err(explain(&error, doing("write to", &said(&error)))),
            // What the server itself says of a commit is sure: it has not happened, unless it says that it does not know.
            Failed::Committing(error) => match error.code() {
                Some(code) if *code != SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN => {
                    if !is_in_the_way(&error) || attempt >= ATTEMPTS {
                        return Err(explain(&error, doing("commit to", &said(&error))));
                    }
                }
                _ => return Err(AmendError::InDoubt(doing("commit to", &said(&error)))),
            },
        }
    }
}

async fn set_up(connection: &Connection, limit: Duration) -> Result<(), Error> {
    let settings = format!(
        "SET statement_timeout = {limit}; SET lock_timeout = {limit}; \
         SET idle_in_transaction_session_timeout = {idle}; SET synchronous_commit = on; SET TIME ZONE 'UTC'",
        limit = limit.as_millis().max(1),
        idle = IDLE_LIMIT.as_millis(),
    );
    connection.client.batch_execute(&settings).await
}

async fn attempt_once(
    connection: &Connection,
    steps: &[Step],
    is_committing: &mut bool,
) -> Result<Amended, Failed> {
    let client = &connection.client;
    // Not serializable: whoever has to wait for a lock goes on with what is there then.
    client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED").await.map_err(Failed::Before)?;
    for step in steps {
        let count = match carry_out(connection, step).await {
            Ok(count) => count,
            Err(error) => {
                // If that fails as well, the connection is gone, and the transaction with it.
                let _ = client.batch_execute("ROLLBACK").await;
                return Err(Failed::Before(error));
            }
        };
        if step.expect.is_some_and(|expected| expected != count) {
            let _ = client.batch_execute("ROLLBACK").await;
            return Ok(Amended::NotAsSeen);
        }
    }
    *is_committing = true;
    client.batch_execute("COMMIT").await.map_err(Failed::Committing)?;
    Ok(Amended::Applied)
}

async fn carry_out(connection: &Connection, step: &Step) -> Result<u64, Error> {
    let params: Vec<(&(dyn ToSql + Sync), Type)> = step
        .query
        .params()
        .iter()
        .map(|param| match param {
            Param::Text(text) => (text as &(dyn ToSql + Sync), Type::TEXT),
            Param::Int(number) => (number as &(dyn ToSql + Sync), Type::INT8),
        })
        .collect();
    match step.changes {
        true => connection.client.execute_typed(step.query.text_of(), &params).await,
        false => {
            connection.client.query_typed(step.query.text_of(), &params).await.map(|rows| rows.len() as u64)
        }
    }
}

fn is_in_the_way(error: &Error) -> bool {
    [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED]
        .iter()
        .any(|code| error.code() == Some(code))
}

/// Whether trying again may help.
fn explain(error: &Error, text: String) -> AmendError {
    match error.code() {
        None => AmendError::Unavailable(text),
        Some(code) if ["08", "40", "53", "55", "57"].iter().any(|class| code.code().starts_with(class)) => {
            AmendError::Unavailable(text)
        }
        Some(_) => AmendError::Refused(text),
    }
}

//! A connection that is set up for its purpose, with its prepared statements.

use super::dialect::{Conflicts, grouped, translate};
use super::link::{Epoch, Link};
use super::plan::{Key, Step, key};
use super::target::{Connection, Target};
use super::value::{Argument, One};
use crate::store::error::StoreError;
use crate::store::sql::Statement;
use futures::future::maybe_done;
use futures::poll;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error};

/// Longest that the server works on one statement. The largest are adoptions and pages of listings, well under a second.
pub(super) const STATEMENT_LIMIT: Duration = Duration::from_secs(20);

/// Longest that a statement waits for somebody else's lock, after which it is tried again. More than [`IDLE_LIMIT`], so
/// that whoever waits for a coordinator that was stopped between two messages gets the lock at the first try.
const LOCK_LIMIT: Duration = Duration::from_secs(10);

/// Longest that a transaction may be open with nothing happening in it. A coordinator sends the next message within
/// microseconds; one that was stopped must not keep the locks of its sagas from those who take them over.
const IDLE_LIMIT: Duration = Duration::from_secs(5);

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Writing the queue.
    Write,
    /// Reading beside a writer of the same process.
    Read,
    /// Reading somebody else's database, where nothing may be changed.
    Visit,
}

/// A connection with its prepared statements.
pub(super) struct Session {
    connection: Connection,
    epoch: Epoch,
    one: HashMap<Key, tokio_postgres::Statement>,
    many: HashMap<(Key, Conflicts), tokio_postgres::Statement>,
}

impl Session {
    /// A new session.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] or [`StoreError::Unusable`], depending on whether trying again may help.
    pub(super) async fn open(target: &Target, epoch: Epoch, purpose: Purpose) -> Result<Self, StoreError> {
        let opening = async {
            let connection = target.connect().await?;
            set_up(&connection.client, purpose).await?;
            Ok(connection)
        };
        let connection = target.in_time(opening).await?;
        Ok(Self { connection, epoch, one: HashMap::new(), many: HashMap::new() })
    }

    /// A new session in place of one that was lost, however long it takes.
    pub(super) async fn reopen(link: &Arc<Link>, purpose: Purpose) -> Self {
        loop {
            let epoch = link.up().await;
            match Self::open(link.target(), epoch, purpose).await {
                Ok(session) => return session,
                Err(error) => link.lost(epoch, &error.to_string()),
            }
        }
    }

    /// When it was made.
    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// For what is not hot.
    pub(super) fn client(&self) -> &Client {
        &self.connection.client
    }

    /// Reads to the end.
    pub(super) async fn query(&mut self, statement: &Statement) -> Result<Vec<tokio_postgres::Row>, Error> {
        let prepared = self.prepare(statement.sql).await?;
        let arguments: Vec<Argument<'_>> = statement.params.iter().map(Argument::One).collect();
        let arguments: Vec<&(dyn ToSql + Sync)> = arguments.iter().map(|argument| argument as _).collect();
        self.client().query(&prepared, &arguments).await
    }

    /// Makes a step ready to be sent. To be called outside of transactions, which a mistake would end.
    pub(super) async fn prepare_step<'s>(
        &mut self,
        step: &'s Step<'_>,
        conflicts: Conflicts,
    ) -> Result<Call<'s>, Error> {
        let params = |index: usize| step.members[index].statement().params.iter();
        let one = self.prepare(step.sql()).await?;
        if step.members.len() == 1 {
            return Ok(Call { prepared: one, arguments: params(0).map(Argument::One).collect() });
        }
        let prepared = match self.many.get(&(key(step.sql()), conflicts)) {
            Some(prepared) => prepared.clone(),
            None => {
                let types: Vec<&str> = one.params().iter().map(|ty| ty.name()).collect();
                // Only statements with such a form are planned into one step.
                let sql = grouped(step.sql(), &types, conflicts).expect("the text can be grouped");
                let prepared = self.client().prepare(&sql).await?;
                self.many.insert((key(step.sql()), conflicts), prepared.clone());
                prepared
            }
        };
        let mut columns: Vec<Vec<One<'s>>> =
            one.params().iter().map(|_| Vec::with_capacity(step.members.len())).collect();
        for member in 0..step.members.len() {
            for (column, value) in columns.iter_mut().zip(params(member)) {
                column.push(One(value));
            }
        }
        Ok(Call { prepared, arguments: columns.into_iter().map(Argument::Many).collect() })
    }

    async fn prepare(&mut self, sql: &'static str) -> Result<tokio_postgres::Statement, Error> {
        if let Some(prepared) = self.one.get(&key(sql)) {
            return Ok(prepared.clone());
        }
        let prepared = self.client().prepare(&translate(sql)).await?;
        self.one.insert(key(sql), prepared.clone());
        Ok(prepared)
    }

    /// Sends `begin` and all calls at once and then waits for their answers, in this order: one round trip.
    pub(super) async fn send_all(
        &self,
        begin: &str,
        calls: &[Call<'_>],
    ) -> Result<Vec<Result<u64, Error>>, Error> {
        // A request is sent when its future is polled for the first time.
        let mut begun = Box::pin(maybe_done(self.client().batch_execute(begin)));
        let _ = poll!(begun.as_mut());
        let mut sent: Vec<Pin<Box<_>>> = Vec::with_capacity(calls.len());
        for call in calls {
            let arguments = call.arguments.iter().map(|argument| argument as &(dyn ToSql + Sync));
            let mut answer = Box::pin(maybe_done(self.client().execute_raw(&call.prepared, arguments)));
            let _ = poll!(answer.as_mut());
            sent.push(answer);
        }
        begun.as_mut().await;
        begun.as_mut().take_output().expect("just awaited")?;
        let mut answers = Vec::with_capacity(sent.len());
        for mut answer in sent {
            answer.as_mut().await;
            answers.push(answer.as_mut().take_output().expect("just awaited"));
        }
        Ok(answers)
    }
}

/// A statement, ready to be sent.
pub(super) struct Call<'s> {
    prepared: tokio_postgres::Statement,
    arguments: Vec<Argument<'s>>,
}

async fn set_up(client: &Client, purpose: Purpose) -> Result<(), Error> {
    let limits = format!(
        "SET statement_timeout = {}; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = {}",
        STATEMENT_LIMIT.as_millis(),
        LOCK_LIMIT.as_millis(),
        IDLE_LIMIT.as_millis(),
    );
    client.batch_execute(&limits).await?;
    match purpose {
        // Acknowledged means durable, whatever the server's administrator prefers.
        Purpose::Write => client.batch_execute("SET synchronous_commit = on").await?,
        Purpose::Read => {}
        Purpose::Visit => client.batch_execute("SET default_transaction_read_only = on").await?,
    }
    if purpose == Purpose::Write {
        // Everything that is written is found by a key. A plan that was made when the tables were small, and is kept with
        // the prepared statement, must not scan them for ever after. These are PostgreSQL's own; CockroachDB has others and
        // no need of them, so it does not matter if they are refused.
        for hint in ["enable_seqscan = off", "enable_hashjoin = off", "enable_mergejoin = off", "jit = off"] {
            match client.batch_execute(&format!("SET {hint}")).await {
                Err(error) if error.as_db_error().is_none() => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

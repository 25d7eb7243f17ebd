//! Looking at a PostgreSQL or CockroachDB server's database, whoever made it.
//!
//! One session, which can change nothing (`default_transaction_read_only`) and waits for nothing longer than it is told to
//! (`statement_timeout`, and a watch on our side for a server that does not answer at all). When the session breaks,
//! the question that was under way is asked once more in a new one.

use super::cell::Cell;
use super::error::InspectError;
use super::query::{Param, Query, RawRow};
use super::source::{Engine, Index, Origin, Source, Table};
use crate::client::retry::RetryScope;
use crate::store::operations::DatabaseOperation;
use crate::store::postgres::target::{Connection, Target};
use crate::store::postgres::trouble::said;
use std::collections::BTreeMap;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSql, ToSql, Type};

/// How much longer than the server itself we wait: a server that is there says by itself that it took too long.
const GRACE: Duration = Duration::from_secs(1);

/// Tables that are looked for.
const TABLES: [&str; 6] =
    ["saga", "saga_node_event", "sec", "db_metadata_nexus", "db_metadata", "sagactl_schema"];

/// A database on a server that is being looked at.
#[derive(Clone)]
pub(super) struct Server {
    target: Target,
    connect_timeout: Duration,
    statement_timeout: Duration,
    retry: RetryScope,
    session: Arc<Mutex<Option<Arc<Connection>>>>,
}

impl Server {
    /// Connects and finds out what is there.
    pub(super) async fn open(
        url: &str,
        connect_timeout: Duration,
        statement_timeout: Duration,
        retry: RetryScope,
    ) -> Result<(Self, Source), InspectError> {
        let target = Target::parse(url).map_err(|error| InspectError::Unusable(error.to_string()))?;
        let session = Arc::new(Mutex::new(None));
        let server = Self { target, connect_timeout, statement_timeout, retry, session };
        let source = server.discover().await?;
        Ok((server, source))
    }

    /// Asks, and waits no longer than it was told to. A question changes nothing and its answer is taken as a whole, so when
    /// the session breaks it is asked once more, in a new one.
    pub(super) async fn ask(&self, query: Query) -> Result<Vec<RawRow>, InspectError> {
        let operation = DatabaseOperation::Look;
        let may_repeat = self.retry.allows_class(true, operation.retry_class(), false);
        match self.ask_once(&query).await {
            Err(InspectError::Lost { .. }) if may_repeat => {
                // It may not have noticed yet that it is closed.
                *self.session.lock().await = None;
                self.ask_once(&query).await
            }
            answered => answered,
        }
    }

    async fn ask_once(&self, query: &Query) -> Result<Vec<RawRow>, InspectError> {
        let session = self.session().await?;
        let params: Vec<(&(dyn ToSql + Sync), Type)> = query
            .params()
            .iter()
            .map(|param| match param {
                Param::Text(text) => (text as &(dyn ToSql + Sync), Type::TEXT),
                Param::Int(number) => (number as &(dyn ToSql + Sync), Type::INT8),
            })
            .collect();
        let asking = session.client.query_typed(query.text_of(), &params);
        let rows = match tokio::time::timeout(self.statement_timeout + GRACE, asking).await {
            Ok(rows) => rows.map_err(|error| self.failed(&error))?,
            Err(_) => {
                // Whatever it is still doing, nobody waits for it any more.
                *self.session.lock().await = None;
                return Err(self.timed_out(self.statement_timeout));
            }
        };
        Ok(rows
            .iter()
            .map(|row| {
                let cells: Vec<Cell> = (0..row.len())
                    .map(|index| row.try_get::<_, Raw>(index).map_or(Cell::Null, |raw| raw.0))
                    .collect();
                RawRow(cells.into_iter())
            })
            .collect())
    }

    /// The open session, or a new one.
    async fn session(&self) -> Result<Arc<Connection>, InspectError> {
        let mut session = self.session.lock().await;
        if let Some(open) = session.as_ref().filter(|open| !open.client.is_closed()) {
            return Ok(Arc::clone(open));
        }
        let limit = self.connect_timeout;
        let connecting = async {
            let connection = self.target.connect().await.map_err(|error| self.no_connection(&error))?;
            let timeout = self.statement_timeout.as_millis().max(1);
            let settings = format!(
                "SET default_transaction_read_only = on; SET statement_timeout = {timeout}; \
                 SET TIME ZONE 'UTC'; SET DateStyle = 'ISO'"
            );
            connection.client.batch_execute(&settings).await.map_err(|error| self.failed(&error))?;
            Ok(Arc::new(connection))
        };
        let open = tokio::time::timeout(limit, connecting).await.map_err(|_| self.timed_out(limit))??;
        *session = Some(Arc::clone(&open));
        Ok(open)
    }

    /// Where it is.
    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    fn url(&self) -> String {
        self.target.shown().to_owned()
    }

    fn timed_out(&self, limit: Duration) -> InspectError {
        InspectError::TimedOut { url: self.url(), limit }
    }

    fn no_connection(&self, error: &Error) -> InspectError {
        let (url, reason) = (self.url(), said(error));
        match error.code() {
            // Passwords, permission to connect, a database that does not exist.
            Some(code) if code.code().starts_with("28") || *code == SqlState::INVALID_CATALOG_NAME => {
                InspectError::Refused { url, reason }
            }
            Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => InspectError::Refused { url, reason },
            Some(_) => InspectError::Unreachable { url, reason },
            None if is_no_postgresql(error) => InspectError::Nonsense { url, reason },
            None if error.to_string().contains("password missing") => InspectError::Refused { url, reason },
            None => InspectError::Unreachable { url, reason },
        }
    }

    fn failed(&self, error: &Error) -> InspectError {
        let (url, reason) = (self.url(), said(error));
        match error.code() {
            Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => InspectError::Refused { url, reason },
            Some(code) if *code == SqlState::QUERY_CANCELED => self.timed_out(self.statement_timeout),
            Some(code) if ["08", "40", "53", "57"].iter().any(|class| code.code().starts_with(class)) => {
                InspectError::Lost { url, reason }
            }
            Some(_) => InspectError::Nonsense { url, reason },
            None if is_no_postgresql(error) => InspectError::Nonsense { url, reason },
            None => InspectError::Lost { url, reason },
        }
    }

    async fn discover(&self) -> Result<Source, InspectError> {
        let version = self.ask(Query::new(Engine::Postgresql, "SELECT version()")).await?;
        let version = version.into_iter().next().map(|mut row| row.next());
        let is_cockroach =
            version.as_ref().and_then(Cell::as_text).is_some_and(|text| text.contains("CockroachDB"));
        let engine = if is_cockroach { Engine::Cockroachdb } else { Engine::Postgresql };
        let mut tables = self.find_tables(engine).await?;
        let origin = self.find_origin(engine, &tables).await?;
        Ok(Source {
            url: self.url(),
            engine,
            origin,
            saga: tables.remove("saga"),
            event: tables.remove("saga_node_event"),
            sec: tables.remove("sec"),
            nexus: tables.remove("db_metadata_nexus"),
        })
    }

    /// The tables that there are. From the system's own catalogue, which also tells of tables that we may not read: these are
    /// there and refuse us, which is something else than not being there.
    async fn find_tables(&self, engine: Engine) -> Result<BTreeMap<String, Table>, InspectError> {
        let mut tables: BTreeMap<String, Table> = BTreeMap::new();
        let columns = Query::new(
            engine,
            "SELECT c.relname::TEXT, a.attname::TEXT FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid \
             WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'v', 'm', 'p', 'f') \
             AND a.attnum > 0 AND NOT a.attisdropped AND ",
        )
        .one_of("c.relname::TEXT", &TABLES);
        for mut row in self.ask(columns).await? {
            if let (Cell::Text(table), Cell::Text(column)) = (row.next(), row.next()) {
                tables.entry(table).or_default().columns.insert(column);
            }
        }
        let indexes = Query::new(
            engine,
            "SELECT tablename::TEXT, indexdef::TEXT FROM pg_catalog.pg_indexes WHERE schemaname = current_schema() AND ",
        )
        .one_of("tablename::TEXT", &TABLES)
        .sql(" ORDER BY indexname");
        for mut row in self.ask(indexes).await? {
            if let (Cell::Text(table), Cell::Text(definition)) = (row.next(), row.next())
                && let Some(table) = tables.get_mut(&table)
            {
                table.indexes.extend(Index::parse(&definition));
            }
        }
        Ok(tables)
    }

    async fn find_origin(
        &self,
        engine: Engine,
        tables: &BTreeMap<String, Table>,
    ) -> Result<Origin, InspectError> {
        let has = |table: &str, columns: &[&str]| {
            tables.get(table).is_some_and(|table| columns.iter().all(|column| table.has(column)))
        };
        let first = async |sql: &str| {
            let rows = self.ask(Query::new(engine, sql)).await?;
            Ok::<_, InspectError>(rows.into_iter().next())
        };
        if has("sagactl_schema", &["version"])
            && let Some(mut row) = first("SELECT version FROM sagactl_schema LIMIT 1").await?
            && let Some(version) = row.next().as_int()
        {
            return Ok(Origin::Sagactl { version });
        }
        if has("db_metadata", &["version", "target_version"])
            && let Some(mut row) =
                first("SELECT version::TEXT, target_version::TEXT FROM db_metadata LIMIT 1").await?
            && let Cell::Text(version) = row.next()
        {
            return Ok(Origin::Nexus { version, target_version: row.next().as_text().map(str::to_owned) });
        }
        Ok(Origin::Unnamed)
    }
}

/// Whether what answers speaks something else than PostgreSQL's protocol.
fn is_no_postgresql(error: &Error) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<std::io::Error>() {
            return matches!(
                error.kind(),
                std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput
            );
        }
        source = cause.source();
    }
    false
}

/// Whatever a column holds.
struct Raw(Cell);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(match *ty {
            Type::INT2 => Cell::Int(i16::from_sql(ty, raw)?.into()),
            Type::INT4 => Cell::Int(i32::from_sql(ty, raw)?.into()),
            Type::INT8 => Cell::Int(i64::from_sql(ty, raw)?),
            // Everything else is asked for as text.
            _ => Cell::bytes(raw),
        }))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(Cell::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

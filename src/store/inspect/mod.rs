//! Looking at any database of sagas, whoever made it and whatever state it is in. Reads only.
//!
//! The rest of `store` is written for a database that a coordinator of this very version keeps: known columns, known types, and
//! a value that cannot be read is an error. An operator looks at databases of other years and of other programs (a Nexus has
//! the same tables, see the eras in [`source`]), and most of all at broken ones. So here
//!
//! - tables, columns and indexes are found out when a database is opened, and what is missing is a fact that is passed on;
//! - a value that cannot be read is a [`Field`](crate::wire::field::Field) that says so, and hides nothing beside it;
//! - nothing is read that an index does not serve unless the caller asks for just that, and everything comes in pages by
//!   full keys, so that memory stays flat whatever the size of the history.
//!
//! Both backends answer the same questions: `query.rs` words them for each, `cell.rs` makes sense of what comes back. What is
//! asked stands in `saga.rs` (one saga) and its neighbours.

mod cell;
pub mod contents;
pub mod effects;
pub mod error;
pub mod listing;
pub mod logs;
mod owners;
mod postgres;
pub(in crate::store) mod query;
pub mod saga;
pub mod source;
pub(in crate::store) mod sqlite;
#[cfg(test)]
mod tests;

use super::postgres::target::Target;
use super::sqlite::visitor;
use crate::client::retry::RetryScope;
use error::InspectError;
use query::{Query, RawRow};
use source::Source;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How to look at a database.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for one answer. Long listings consist of many.
    pub statement_timeout: Duration,
    /// Whether a question may be asked again when the connection broke.
    pub retry: RetryScope,
    /// Who asks.
    pub asker: Asker,
}

/// Who asks, which matters for files: answers from them are had fastest on the spot, where whoever asks can do nothing else
/// meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Asker {
    /// One that other things must reach soon: time limits, an interrupt, the answers of others.
    #[default]
    Busy,
    /// A thread that does nothing else. A question is broken off at its time limit, and between two of them it hears of others.
    OnItsOwnThread,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(30),
            retry: RetryScope::default(),
            asker: Asker::default(),
        }
    }
}

/// A database of sagas, opened for a look. Cheap to clone.
#[derive(Clone)]
pub struct Inspector {
    backend: Backend,
    source: Arc<Source>,
    statement_timeout: Duration,
}

/// A moment of a database's contents. Moments of one inspector can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(visitor::Moment);

#[derive(Clone)]
enum Backend {
    File(sqlite::File),
    Server(postgres::Server),
}

/// Where a database is.
pub(in crate::store) enum Place {
    /// A file, behind all links.
    File(PathBuf),
    /// A server.
    Server(Target),
}

impl Inspector {
    /// Opens `sqlite:PATH` or `postgresql://…` and finds out what is in it.
    ///
    /// # Errors
    ///
    /// Any [`InspectError`]; a database without a single table of sagas is [`InspectError::WrongSchema`].
    pub async fn open(url: &str, options: &OpenOptions) -> Result<Self, InspectError> {
        match url.split_once(':') {
            Some(("sqlite", path)) => Self::open_file(Path::new(path), options).await,
            _ => Self::open_server(url, options).await,
        }
    }

    /// Opens a SQLite file and finds out what is in it.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn open_file(path: &Path, options: &OpenOptions) -> Result<Self, InspectError> {
        // On this thread: whoever opens a database has nothing else to do meanwhile.
        let (file, source) = sqlite::File::open(path, options.asker)?;
        Self::of(Backend::File(file), source, options)
    }

    /// Opens a database on a server, `postgresql://…`, and finds out what is in it.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn open_server(url: &str, options: &OpenOptions) -> Result<Self, InspectError> {
        let OpenOptions { connect_timeout, statement_timeout, retry, asker: _ } = *options;
        let (server, source) = postgres::Server::open(url, connect_timeout, statement_timeout, retry).await?;
        Self::of(Backend::Server(server), source, options)
    }

    fn of(backend: Backend, source: Source, options: &OpenOptions) -> Result<Self, InspectError> {
        if source.saga.is_none() && source.event.is_none() {
            return Err(no_sagas(&source));
        }
        Ok(Self { backend, source: Arc::new(source), statement_timeout: options.statement_timeout })
    }

    /// Which database this is and what it has.
    pub fn describe(&self) -> &Source {
        &self.source
    }

    /// The present moment of its contents, which stays the same until somebody changes something. Known of files, to who is on
    /// its own thread; else `None`.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub fn moment(&self) -> Result<Option<Moment>, InspectError> {
        match &self.backend {
            Backend::File(file) => Ok(file.moment()?.map(Moment)),
            Backend::Server(_) => Ok(None),
        }
    }

    /// Where it is, for whoever is to change it.
    pub(in crate::store) fn place(&self) -> Place {
        match &self.backend {
            Backend::File(file) => Place::File(file.path()),
            Backend::Server(server) => Place::Server(server.target().clone()),
        }
    }

    fn query(&self, sql: &str) -> Query {
        Query::new(self.source.engine, sql)
    }

    async fn ask(&self, query: Query) -> Result<Vec<RawRow>, InspectError> {
        match &self.backend {
            Backend::File(file) => file.ask(query, self.statement_timeout).await,
            Backend::Server(server) => server.ask(query).await,
        }
    }
}

fn no_sagas(source: &Source) -> InspectError {
    InspectError::WrongSchema(format!(
        "{} is a database without sagas: it has neither a table saga nor a table saga_node_event",
        source.url
    ))
}

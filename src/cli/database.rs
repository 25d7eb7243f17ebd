//! Which database is looked at when none was named, and how it is opened.
//!
//! The order is the one that surprises least: what the user named; what the coordinator says it uses; where a coordinator keeps
//! its database unless it is told otherwise. The last makes `sagas list` work after a coordinator has stopped, without a
//! flag. A note says which it was whenever the user did not name it for this very command.

use super::config::DbUrl;
use super::context::Context;
use super::failure::{Failure, Kind};
use crate::client::retry::RetryScope;
use crate::coordinator::server::DATABASE_FILE;
use crate::store::inspect::error::InspectError;
use crate::store::inspect::{Inspector, OpenOptions};
use crate::wire::info::Info;
use crate::wire::part::Part;
use std::path::PathBuf;
use std::time::Duration;

/// Longest wait for a coordinator to say where its database is.
const INFO_PATIENCE: Duration = Duration::from_secs(2);

/// Longest wait for a connection, if the command has that much time.
pub(super) const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

const NAME_ANOTHER: &str = "--db-url names another database";

impl Context<'_> {
    /// The database for reading, whoever made it, opened when it is first asked for.
    ///
    /// # Errors
    ///
    /// If there is none, or it cannot be read.
    pub async fn inspector(&mut self) -> Result<Inspector, Failure> {
        if let Some(inspector) = &self.inspector {
            return Ok(inspector.clone());
        }
        let url = self.choose_database().await?;
        // The command's whole time for each answer: a listing of everything consists of many.
        let patience = CONNECT_PATIENCE.min(self.time_left());
        let inspector = open(&url, patience, self.timeout(), self.settings().retry).await?;
        self.inspector = Some(inspector.clone());
        Ok(inspector)
    }

    /// The same as a part of a larger answer: the one that the user named, else the one that the coordinator says it uses.
    /// Nobody waits longer than `patience` for a connection to it.
    pub async fn inspector_of(&mut self, info: Option<&Info>, patience: Duration) -> Part<Inspector> {
        if let Some(inspector) = &self.inspector {
            return Part::Present(inspector.clone());
        }
        let url = match self.database_of(info) {
            Part::Present(url) => url,
            Part::Missing(reason) => return Part::Missing(reason),
        };
        // A server is also asked what is in it, which takes as long as it likes.
        let opening = open(&url, patience, self.timeout(), self.settings().retry);
        match tokio::time::timeout(patience, opening).await {
            Ok(Ok(inspector)) => {
                self.inspector = Some(inspector.clone());
                Part::Present(inspector)
            }
            Ok(Err(error)) => Part::Missing(error.to_string()),
            Err(_) => {
                Part::Missing(format!("{url} did not answer within {}", humantime::format_duration(patience)))
            }
        }
    }

    /// Which database there is beside a coordinator that says so much of itself.
    pub(super) fn database_of(&mut self, info: Option<&Info>) -> Part<DbUrl> {
        match (self.named_database(), info) {
            (Some(url), _) => Part::Present(url),
            (None, Some(info)) => match info.db_url.parse() {
                Ok(url) => Part::Present(url),
                Err(reason) => {
                    Part::Missing(format!("the coordinator names its database {:?}: {reason}", info.db_url))
                }
            },
            (None, None) => Part::Missing("no database; --db-url names one".to_owned()),
        }
    }

    /// Which database a command is about that cannot do without one.
    pub(super) async fn choose_database(&mut self) -> Result<DbUrl, Failure> {
        if let Some(url) = self.named_database() {
            return Ok(url);
        }
        let client = self.client()?.with_at_most(INFO_PATIENCE);
        let info = client.fetch_info().await;
        let (url, who) = match info {
            Ok(Some(info)) => {
                let url = info.db_url.parse::<DbUrl>().map_err(|reason| {
                    Failure::new(Kind::Nonsense, "the coordinator names a database that cannot be one")
                        .because(format!("{:?}: {reason}", info.db_url))
                        .hint("--db-url names one")
                })?;
                (url, "the coordinator's own")
            }
            // Down, or a program that does not say: there is still what it leaves behind.
            Ok(None) | Err(_) => {
                let file = self.default_data_dir()?.join(DATABASE_FILE);
                (
                    DbUrl::Sqlite(file),
                    "where a coordinator keeps it by default; no coordinator says otherwise",
                )
            }
        };
        self.note(format_args!("using database {url} ({who}; --db-url names another)"));
        Ok(url)
    }

    /// Where a coordinator keeps its data unless it is told otherwise.
    pub(super) fn default_data_dir(&self) -> Result<PathBuf, Failure> {
        let directory = |name| self.variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let data_home = directory("XDG_DATA_HOME").or_else(|| Some(directory("HOME")?.join(".local/share")));
        data_home.map(|dir| dir.join("sagactl")).ok_or_else(|| {
            Failure::unusable("there is no home directory to keep the coordinator's data in")
                .hint("give --data-dir DIR or --db-url URL")
        })
    }
}

/// A database for commands that look again and again. It stays open until something goes wrong with it.
#[derive(Default)]
pub(super) struct Kept(Option<(DbUrl, Inspector)>);

impl Kept {
    /// Takes the database out, opened within this time if need be. What is not put back is opened anew at the next look.
    pub(super) async fn take(
        &mut self,
        ctx: &Context<'_>,
        url: &DbUrl,
        patience: Duration,
    ) -> Result<Inspector, InspectError> {
        match self.0.take() {
            Some((opened, inspector)) if opened == *url => Ok(inspector),
            _ => open(url, patience.min(ctx.timeout()), ctx.timeout(), ctx.settings().retry).await,
        }
    }

    /// Keeps a database that has answered.
    pub(super) fn put_back(&mut self, url: DbUrl, inspector: Inspector) {
        self.0 = Some((url, inspector));
    }
}

async fn open(
    url: &DbUrl,
    connect_timeout: Duration,
    statement_timeout: Duration,
    retry: RetryScope,
) -> Result<Inspector, InspectError> {
    let options = OpenOptions { connect_timeout, statement_timeout, retry, ..OpenOptions::default() };
    match url {
        DbUrl::Sqlite(path) => Inspector::open_file(path, &options).await,
        DbUrl::Postgresql(url) => Inspector::open_server(url, &options).await,
    }
}

impl From<InspectError> for Failure {
    fn from(error: InspectError) -> Self {
        let text = error.to_string();
        match error {
            InspectError::Unusable(_) => Self::unusable(text).hint(NAME_ANOTHER),
            InspectError::WrongSchema(_) => {
                Self::unusable(text).hint("is it a coordinator's database? --db-url names another")
            }
            InspectError::BadQuestion(_) => Self::unusable(text),
            InspectError::Unreachable { .. } => Self::new(Kind::Unreachable, text)
                .hint("is the database server running there? --db-url names another"),
            InspectError::Refused { .. } => Self::new(Kind::Unreachable, text).hint(
                "user, password and database are part of --db-url: postgresql://user:password@host/database",
            ),
            InspectError::Lost { .. } => {
                Self::new(Kind::Unreachable, text).hint("what was printed before is not all; try again")
            }
            InspectError::TimedOut { .. } => {
                Self::new(Kind::TimedOut, text).hint("--timeout waits longer for each answer")
            }
            InspectError::Nonsense { .. } => Self::new(Kind::Nonsense, text),
        }
    }
}

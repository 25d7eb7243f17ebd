//! Recorded databases of `fixtures/databases`, made anew for each test: as a SQLite file, or on the scratch PostgreSQL.

use super::{TestEnv, fixture};
use crate::postgres::{Database, Server};
use sagactl::store::postgres::{self, PostgresStore};
use sagactl::store::sqlite::{OpenOptions, SqliteStore};
use sagactl::wire::ids::SecId;
use std::sync::Arc;

/// A recorded database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// Our coordinator's, in its own schema.
    Sagactl,
    /// A Nexus's of this schema.
    Nexus(u32),
    /// One in which nothing can be relied on. SQLite only.
    Damaged,
}

impl Recorded {
    pub(crate) const ALL: [Self; 5] =
        [Self::Sagactl, Self::Nexus(137), Self::Nexus(200), Self::Nexus(294), Self::Damaged];

    pub(crate) fn name(self) -> String {
        match self {
            Self::Sagactl => "sagactl".to_owned(),
            Self::Nexus(schema) => format!("nexus-{schema}"),
            Self::Damaged => "damaged".to_owned(),
        }
    }

    fn sql(self) -> String {
        fixture(&format!("databases/{}.sql", self.name()))
    }

    /// A file in the environment's directory; answers its URL.
    pub(crate) fn in_sqlite(self, env: &TestEnv) -> String {
        let path = env.path().join(format!("{}.db", self.name()));
        if self == Self::Sagactl {
            let options = OpenOptions::new(Arc::new(|reason| panic!("{reason}")));
            drop(SqliteStore::open(&path, options).expect("a new database"));
        }
        let connection = rusqlite::Connection::open(&path).expect("a file");
        connection.execute_batch(&self.sql()).expect("the SQL of a fixture");
        format!("sqlite:{}", path.display())
    }

    /// A database on the scratch server, unless it is for SQLite only.
    pub(crate) fn in_postgres(self) -> Option<Database<'static>> {
        let database = match self {
            Self::Damaged => return None,
            Self::Sagactl | Self::Nexus(_) => Server::shared().database(),
        };
        if self == Self::Sagactl {
            let options = postgres::OpenOptions::new(SecId::random(), Arc::new(|reason| panic!("{reason}")));
            drop(PostgresStore::open(&database.url(), options).expect("a new database"));
        } else {
            database.sql(&fixture(&format!("databases/{}.types.sql", self.name())));
        }
        database.sql(&self.sql());
        Some(database)
    }
}

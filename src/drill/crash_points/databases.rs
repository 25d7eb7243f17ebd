//! Where the drill has its databases: files in the scratch directory, or schemas of its own on a server.
//!
//! Each kind has an *original*, which its coordinator has filled with what the saga needs, and each run has a copy of it.
//! A file is copied. On a server copying rows is quick and making tables is not, so there are as many schemas for runs as
//! there are runs at the same time, each filled anew for every run. All of them are gone when the drill is over, however it
//! ends; whatever else is in that database is neither seen nor touched.

use super::CrashPointsError;
use super::ending::Ending;
use crate::drill::harness::{CoordinatorProcess, CoordinatorSpec, DATABASE_FILE};
use crate::store::contents::Contents;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::contents as server_contents;
use crate::store::postgres::schema_copy::SchemaCopy;
use crate::store::postgres::scratch::ScratchSchema;
use crate::store::sagas::load_log;
use crate::store::sqlite::{SqliteStore, contents as file_contents};
use crate::wire::ids::SagaId;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// All of them.
pub(super) struct Databases {
    /// The server, if they are to be on one.
    server: Option<String>,
    /// Schemas that no run uses at the moment.
    spare: Mutex<Vec<SchemaCopy>>,
}

/// What all runs of a kind start from.
pub(super) enum Original {
    /// A file.
    File(PathBuf),
    /// A schema on the server.
    Schema(ScratchSchema),
}

/// What one run has to itself.
pub(super) enum RunDatabase {
    /// A file in its data directory.
    File(PathBuf),
    /// A schema on the server.
    Schema(Box<SchemaCopy>),
}

impl Databases {
    /// On the server at this URL, or in files without one.
    pub(super) fn new(db_url: Option<&str>) -> Self {
        Self { server: db_url.map(str::to_owned), spare: Mutex::default() }
    }

    /// A new one, for a coordinator that has its data in `dir`.
    pub(super) async fn original(&self, dir: &Path) -> Result<Original, CrashPointsError> {
        Ok(match &self.server {
            Some(url) => Original::Schema(new_schema(url).await?),
            None => Original::File(dir.join(DATABASE_FILE)),
        })
    }

    /// A copy for a run with this specification, whose data directory holds copies of the original's files.
    pub(super) async fn copy_of(
        &self,
        original: &Original,
        spec: &CoordinatorSpec,
    ) -> Result<RunDatabase, CrashPointsError> {
        let original = match original {
            Original::File(_) => return Ok(RunDatabase::File(spec.data_dir.join(DATABASE_FILE))),
            Original::Schema(original) => original,
        };
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let copy = match spare {
            Some(copy) => copy,
            None => self.with_tables(spec).await?,
        };
        copy.fill_from(original).await.map_err(CrashPointsError::Schema)?;
        Ok(RunDatabase::Schema(Box::new(copy)))
    }

    /// A schema with the tables of the coordinator that is drilled, which only that coordinator can make.
    async fn with_tables(&self, spec: &CoordinatorSpec) -> Result<SchemaCopy, CrashPointsError> {
        let url = self.server.as_deref().expect("originals are schemas only on a server");
        let schema = new_schema(url).await?;
        let mut spec = spec.clone();
        // Another one than it is to be later, who leaves nothing in the run's directory.
        spec.data_dir.set_extension("tables");
        spec.arguments.extend(use_database(Some(schema.url())));
        let dir = spec.data_dir.clone();
        CoordinatorProcess::start(spec).await?.kill()?;
        // What is not removed here goes with the scratch directory.
        let _ = std::fs::remove_dir_all(dir);
        SchemaCopy::of(schema).await.map_err(CrashPointsError::Schema)
    }

    /// Takes back what a run has had. Its processes must be gone.
    pub(super) fn give_back(&self, database: RunDatabase) {
        if let RunDatabase::Schema(copy) = database {
            self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(*copy);
        }
    }

    /// Removes the schemas of runs.
    pub(super) fn finish(self) -> Result<(), CrashPointsError> {
        let spare = self.spare.into_inner().unwrap_or_else(PoisonError::into_inner);
        spare.into_iter().try_for_each(|copy| copy.remove().map_err(CrashPointsError::Schema))
    }
}

async fn new_schema(url: &str) -> Result<ScratchSchema, CrashPointsError> {
    ScratchSchema::create(url).await.map_err(CrashPointsError::Schema)
}

/// What tells a coordinator to use a database on a server; without a URL it uses the file in its data directory.
fn use_database(url: Option<&str>) -> impl Iterator<Item = String> + use<> {
    url.map(|url| ["--db-url".to_owned(), url.to_owned()]).into_iter().flatten()
}

impl Original {
    /// What tells a coordinator to use it.
    pub(super) fn arguments(&self) -> impl Iterator<Item = String> + use<> {
        use_database(match self {
            Self::File(_) => None,
            Self::Schema(schema) => Some(schema.url()),
        })
    }

    /// Makes sure that nothing moves in it any more. Its coordinator must be gone.
    pub(super) async fn settle(&self) -> Result<(), CrashPointsError> {
        match self {
            Self::File(path) => Ok(file_contents::pack(path)?),
            Self::Schema(schema) => schema.end_sessions().await.map_err(CrashPointsError::Schema),
        }
    }

    /// What is in it besides sagas.
    pub(super) async fn contents(&self) -> Result<Contents, CrashPointsError> {
        Ok(match self {
            Self::File(path) => file_contents::read_contents(path)?,
            Self::Schema(schema) => server_contents::read_contents(schema.url()).await?,
        })
    }

    /// Removes what does not go with the scratch directory, unless it is to stay; then answers its name.
    pub(super) fn finish(self, keep: bool) -> Result<Option<String>, CrashPointsError> {
        match self {
            Self::File(_) => Ok(None),
            Self::Schema(schema) if keep => Ok(Some(schema.keep())),
            Self::Schema(schema) => schema.remove().map(|()| None).map_err(CrashPointsError::Schema),
        }
    }
}

impl RunDatabase {
    /// What tells a coordinator to use it.
    pub(super) fn arguments(&self) -> impl Iterator<Item = String> + use<> {
        use_database(match self {
            Self::File(_) => None,
            Self::Schema(copy) => Some(copy.url()),
        })
    }

    /// What a saga at rest has left.
    pub(super) async fn ending(&self, saga: SagaId) -> Result<Ending, CrashPointsError> {
        Ok(match self {
            Self::File(path) => Ending {
                events: load_log(&SqliteStore::open_read_only(path)?, saga).await?,
                contents: file_contents::read_contents(path)?,
            },
            Self::Schema(copy) => Ending {
                events: load_log(&PostgresStore::open_read_only(copy.url())?, saga).await?,
                contents: copy.contents().await?,
            },
        })
    }
}

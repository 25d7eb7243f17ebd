//! What drills that make load have in common: a client for a coordinator, its database, load, and waiting until it has
//! recovered.

use super::harness::HarnessError;
use crate::blast::names::Names;
use crate::blast::{Config, StartError, records};
use crate::client::base_url::BaseUrl;
use crate::client::error::CallError;
use crate::client::{Client, ClientError};
use crate::observe::status::StatusError;
use crate::saga_log::Reading;
use crate::store::error::StoreError;
use crate::store::inspect::error::InspectError;
use crate::store::inspect::{Inspector, OpenOptions};
use crate::store::postgres::PostgresStore;
use crate::store::sql::Statement;
use crate::store::sqlite::SqliteStore;
use crate::store::{SharedStore, Store};
use crate::wire::ids::SagaId;
use crate::wire::info::ReadyFile;
use crate::wire::time::{Time, now};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Makes a client for an internal API.
pub type ClientFor<'a> = &'a (dyn Fn(BaseUrl) -> Result<Client, ClientError> + Sync);

/// The saga behind the creation of a project, which load through the external API consists of.
pub const PROJECT_CREATE: &str = "project-create";

/// How long recovery may take. It takes a fraction of a second; a machine that needs this long is worth an error.
const RECOVERY_DEADLINE: Duration = Duration::from_secs(60);

/// Time between two looks at how far recovery is.
const RECOVERY_POLL: Duration = Duration::from_millis(5);

/// How long one request of a load may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Sagas whose ids are read at once.
const PAGE: usize = 1000;

/// Why a drill could not be done.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// A coordinator could not be started or killed.
    #[error(transparent)]
    Harness(#[from] HarnessError),
    /// A coordinator did not answer as it should.
    #[error("asking the coordinator")]
    Call(#[from] CallError),
    /// A coordinator did not answer as it should.
    #[error("asking the coordinator")]
    Status(#[from] StatusError),
    /// A background task could not be activated.
    #[error("activating recovery")]
    Activate(#[from] crate::observe::activation::ActivateError),
    /// No HTTP client could be made.
    #[error("setting up the HTTP client")]
    Client(#[source] ClientError),
    /// The load could not begin.
    #[error("making load")]
    Load(#[from] StartError),
    /// The database could not be read.
    #[error("reading the coordinator's database")]
    Store(#[from] StoreError),
    /// There is no such kind of saga.
    #[error("unknown saga {unknown:?}; sagas that this coordinator can drill: {known}")]
    UnknownSaga {
        /// What was asked for.
        unknown: String,
        /// What there is.
        known: String,
    },
    /// A coordinator without the external API's sagas, in a drill that makes load through that API.
    #[error(
        "this drill makes projects, which this coordinator has no saga for; drill crash takes any kinds of sagas"
    )]
    NoProjects,
    /// A coordinator that cannot make a single kind of saga by itself.
    #[error("there is no saga that this coordinator can drill")]
    NothingToDrill,
    /// The drill could not have a schema of its own, or could not remove it.
    #[error("a schema for the drill")]
    Schema(#[source] StoreError),
    /// The database could not be read.
    #[error("reading the coordinator's database")]
    Inspect(#[from] InspectError),
    /// The records of the load could not be read.
    #[error("reading the records of the load: {0}")]
    Records(String),
    /// Recovery took too long.
    #[error("recovery was not over after {}", humantime::format_duration(RECOVERY_DEADLINE))]
    NotRecovered,
}

/// A client for a coordinator's internal API.
pub fn client(client_for: ClientFor<'_>, ready: &ReadyFile) -> Result<Client, DrillError> {
    let url: BaseUrl = ready.internal_url.parse().expect("the ready file holds the URL it listens on");
    client_for(url).map_err(DrillError::Client)
}

/// Load on a coordinator: projects, from so many clients, in a closed loop. `label` is a part of every name.
pub fn load(ready: &ReadyFile, label: &str, clients: u32) -> Config {
    let url: BaseUrl = ready.external_url.parse().expect("the ready file holds the URL it listens on");
    let names = Names::new("drill-", label).expect("a good beginning of names");
    Config { request_timeout: REQUEST_TIMEOUT, ..Config::new(url, names, clients) }
}

/// Waits until recovery is over and nothing is in flight any more; answers how long that was after `since`.
pub async fn wait_until_recovered(client: &Client, since: Instant) -> Result<Duration, DrillError> {
    let deadline = Instant::now() + RECOVERY_DEADLINE;
    loop {
        if let Some(info) = client.with_fresh_budget().fetch_info().await?
            && info.recovered
            && info.sagas_in_flight == 0
        {
            return Ok(since.elapsed());
        }
        if Instant::now() > deadline {
            return Err(DrillError::NotRecovered);
        }
        tokio::time::sleep(RECOVERY_POLL).await;
    }
}

/// A drill's database, as its tool reads it: records for reconciliation, logs for judging them.
pub struct Records {
    store: SharedStore,
    inspector: Inspector,
}

/// What the logs of some sagas say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogVerdicts {
    /// Sagas looked at.
    pub sagas: u64,
    /// Sagas that were unwound.
    pub unwound: u64,
    /// Sagas with an undo action that failed.
    pub stuck: u64,
    /// Sagas that are not at rest.
    pub unfinished: u64,
    /// Logs that no run of their DAG could have written, in words.
    pub illegal: Vec<String>,
}

impl Records {
    /// Of the database at this URL, which a coordinator uses.
    pub async fn open(db_url: &str) -> Result<Self, DrillError> {
        let inspector = Inspector::open(db_url, &OpenOptions::default()).await?;
        let store: SharedStore = match db_url.strip_prefix("sqlite:") {
            Some(path) => Arc::new(SqliteStore::open_read_only(path.as_ref())?),
            None => Arc::new(PostgresStore::open_read_only(db_url)?),
        };
        Ok(Self { store, inspector })
    }

    /// The database, for questions of other modules.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// What the run named `stem` has left.
    pub async fn recorded(&self, stem: &str) -> Result<records::Recorded, DrillError> {
        records::from_database(self.store(), stem).await.map_err(DrillError::Records)
    }

    /// Names of projects of that run that lack a part.
    pub async fn incomplete(&self, stem: &str) -> Result<Vec<String>, DrillError> {
        Ok(records::incomplete_projects(self.store(), stem).await?)
    }

    /// Judges the logs of all sagas made after `after`; answers the last of them, too. Nobody may be making any.
    pub async fn judge_logs(&self, after: Made) -> Result<(LogVerdicts, Made), DrillError> {
        let mut verdicts = LogVerdicts::default();
        let mut last = after;
        loop {
            let page = i64::try_from(PAGE).expect("a small number");
            let rows = self
                .store
                .read(Statement::new(
                    "SELECT time_created, id FROM saga WHERE (time_created, id) > ($1, $2) \
                     ORDER BY time_created, id LIMIT $3",
                    vec![last.time.into(), last.id.into(), page.into()],
                ))
                .await?;
            for row in &rows {
                last = Made { time: row.time(0)?, id: SagaId::from_uuid(row.uuid(1)?) };
                if let Some(records) = self.inspector.load_saga(last.id).await? {
                    judge(&mut verdicts, last.id, &Reading::of(&records));
                }
            }
            if rows.len() < PAGE {
                return Ok((verdicts, last));
            }
        }
    }
}

/// A place in the order in which sagas were made, of all coordinators of this machine together. Their ids have no such
/// order.
#[derive(Clone, Copy, Debug)]
pub struct Made {
    time: Time,
    id: SagaId,
}

impl Made {
    /// Behind all that were made until now.
    pub fn until_now() -> Self {
        Self { time: now(), id: SagaId::from_uuid(uuid::Uuid::nil()) }
    }
}

fn judge(verdicts: &mut LogVerdicts, id: SagaId, reading: &Reading<'_>) {
    use crate::wire::sagas::Outcome;
    verdicts.sagas += 1;
    match reading.outcome {
        None => verdicts.unfinished += 1,
        Some(Outcome::Failed) => verdicts.unwound += 1,
        Some(Outcome::Stuck) => verdicts.stuck += 1,
        Some(Outcome::Succeeded | Outcome::Unknown) => {}
    }
    if let Some(violation) = reading.legal.first() {
        verdicts.illegal.push(format!("saga {id}: {}", violation.message));
    }
}

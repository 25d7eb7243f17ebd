//! The tour for a newcomer: load, kill -9, recover, prove. Under a minute, no questions, nothing left behind.
//!
//! It is a drill like the others, with real processes and a real database; only its numbers are small and it says what
//! it does while it does it.

use super::harness::{CoordinatorProcess, CoordinatorSpec, HarnessError, Scratch};
use crate::blast::ledger::Totals;
use crate::blast::names::Names;
use crate::blast::{Blast, Config, Report, StartError, records};
use crate::client::base_url::BaseUrl;
use crate::client::error::CallError;
use crate::client::{Client, ClientError};
use crate::observe::status::{self, Everything, SeenBy, Status, StatusError};
use crate::reconcile::Reconciliation;
use crate::store::SharedStore;
use crate::store::error::StoreError;
use crate::store::sqlite::SqliteStore;
use crate::wire::info::ReadyFile;
use crate::wire::part::Part;
use crate::wire::time::now;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Clients at the same time.
pub const CLIENTS: u32 = 64;

/// How long they make load before the coordinator is killed.
pub const LOAD: Duration = Duration::from_secs(2);

/// How long a machine that is busy with something else may take until the first project is acknowledged.
const FIRST_DONE_DEADLINE: Duration = Duration::from_secs(20);

/// How long recovery may take. It takes a fraction of a second; a machine that needs this long is worth an error.
const RECOVERY_DEADLINE: Duration = Duration::from_secs(30);

/// Time between two looks at how far recovery is.
const RECOVERY_POLL: Duration = Duration::from_millis(5);

/// What happens, as it happens.
pub enum Event<'a> {
    /// A coordinator runs.
    Started {
        /// Where it keeps its data.
        data_dir: PathBuf,
        /// Who and where it is.
        ready: &'a ReadyFile,
        /// From process start to both APIs answering.
        time_to_ready: Duration,
    },
    /// Load begins.
    Loading,
    /// The coordinator was killed.
    Killed {
        /// The client's books at that moment.
        totals: Totals,
    },
    /// It was started again, and everything that was in flight has come to rest.
    Recovered {
        /// Sagas that recovery took up.
        recovered: u64,
        /// From process start to both APIs answering.
        time_to_ready: Duration,
        /// From process start to the last of them at rest.
        time_to_recovered: Duration,
    },
}

/// What the tour has shown.
pub struct Tour {
    /// What `status` says at the end.
    pub status: Status,
    /// The client's report, held against the database.
    pub report: Report,
    /// Projects in the database that lack a part, by name. Should be none.
    pub incomplete: Vec<String>,
    /// Where the data stays, if it is to be kept.
    pub kept: Option<PathBuf>,
}

/// Why the tour ended early.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A coordinator could not be started or killed.
    #[error(transparent)]
    Harness(#[from] HarnessError),
    /// A coordinator did not answer as it should.
    #[error("asking the coordinator")]
    Status(#[from] StatusError),
    /// A coordinator did not answer as it should.
    #[error("asking the coordinator")]
    Call(#[from] CallError),
    /// The load could not begin.
    #[error("making load")]
    Load(#[source] StartError),
    /// No HTTP client could be made.
    #[error("setting up the HTTP client")]
    Client(#[source] ClientError),
    /// The database could not be read.
    #[error("reading the coordinator's database")]
    Store(#[from] StoreError),
    /// Recovery took too long.
    #[error("recovery was not over after {}", humantime::format_duration(RECOVERY_DEADLINE))]
    NotRecovered,
}

/// Runs the tour. `client_for` makes a client for an internal API.
///
/// # Errors
///
/// See [`DemoError`]; whatever was started has ended.
pub async fn run(
    keep: bool,
    client_for: impl Fn(BaseUrl) -> Result<Client, ClientError>,
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<Tour, DemoError> {
    let scratch = Scratch::new(keep)?;
    let spec = CoordinatorSpec::new(&scratch.path().join("coordinator"))?;
    let coordinator = CoordinatorProcess::start(spec).await?;
    tell(Event::Started {
        data_dir: scratch.path().to_owned(),
        ready: coordinator.ready(),
        time_to_ready: coordinator.time_to_ready(),
    });

    tell(Event::Loading);
    let blast = Blast::new(load(coordinator.ready()));
    let running = tokio::spawn({
        let blast = blast.clone();
        async move { blast.run().await }
    });
    tokio::time::sleep(LOAD).await;
    // A kill before anything was acknowledged would prove nothing.
    let deadline = Instant::now() + FIRST_DONE_DEADLINE;
    while blast.progress().totals.done == 0 && Instant::now() < deadline {
        tokio::time::sleep(RECOVERY_POLL).await;
    }
    let spec = coordinator.kill()?;
    tell(Event::Killed { totals: blast.progress().totals });
    blast.stop_now();
    let ran = running.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    ran.map_err(DemoError::Load)?;

    let restarted = Instant::now();
    let coordinator = CoordinatorProcess::start(spec).await?;
    let url: BaseUrl =
        coordinator.ready().internal_url.parse().expect("the ready file holds the URL it listens on");
    let client = client_for(url).map_err(DemoError::Client)?;
    let time_to_recovered = wait_until_recovered(&client, restarted).await?;
    let (status, store) = look(&client, coordinator.ready()).await?;
    tell(Event::Recovered {
        recovered: status.recovery.since_start.as_ref().map_or(0, |counters| counters.recovered),
        time_to_ready: coordinator.time_to_ready(),
        time_to_recovered,
    });

    let stem = blast.stem();
    let reconciliation = match records::from_database(&*store, &stem).await {
        Ok(recorded) => blast.reconcile(&recorded),
        Err(reason) => Reconciliation::not_checked(reason),
    };
    let incomplete = records::incomplete_projects(&*store, &stem).await?;
    drop(coordinator);
    Ok(Tour {
        status,
        report: blast.report(reconciliation),
        incomplete,
        kept: keep.then(|| scratch.path().to_owned()),
    })
}

fn load(ready: &ReadyFile) -> Config {
    let url: BaseUrl = ready.external_url.parse().expect("the ready file holds the URL it listens on");
    let run_id = format!("{:06x}", rand::random::<u32>() & 0xff_ffff);
    let names = Names::new("demo-", &run_id).expect("a good beginning of names");
    Config { request_timeout: Duration::from_secs(10), ..Config::new(url, names, CLIENTS) }
}

async fn wait_until_recovered(client: &Client, since: Instant) -> Result<Duration, DemoError> {
    loop {
        if let Some(info) = client.with_fresh_budget().fetch_info().await?
            && info.recovered
            && info.sagas_in_flight == 0
        {
            return Ok(since.elapsed());
        }
        if since.elapsed() > RECOVERY_DEADLINE {
            return Err(DemoError::NotRecovered);
        }
        tokio::time::sleep(RECOVERY_POLL).await;
    }
}

async fn look(client: &Client, ready: &ReadyFile) -> Result<(Status, SharedStore), DemoError> {
    let client = client.with_fresh_budget();
    let Everything { api, database } = status::ask_for_everything(&client).await?;
    let mut status = Status::new(client.base().to_string(), &api.task, &api.info, now());
    let view = database.unwrap_or_else(|| Part::Missing("the coordinator has not told".to_owned()));
    status.add_database(view, SeenBy::Coordinator);
    let path = ready.db_url.strip_prefix("sqlite:").unwrap_or(&ready.db_url);
    let store: SharedStore = std::sync::Arc::new(SqliteStore::open_read_only(path.as_ref())?);
    Ok((status, store))
}

//! The main view: one coordinator, its saga recovery, and what its database adds.

use super::database::{DatabaseView, SagaCounts};
use super::recovery::{Recovery, Trouble};
use super::sagas::Row;
use crate::client::error::CallError;
use crate::client::{Client, FetchedOverview, FetchedTask};
use crate::wire::bgtasks::SAGA_RECOVERY;
use crate::wire::ids::SecId;
use crate::wire::info::Info;
use crate::wire::overview::ListedSaga;
use crate::wire::part::Part;
use crate::wire::time::Time;
use futures::future::Either;
use serde::{Serialize, Serializer};
use std::pin::pin;
use std::time::{Duration, Instant};

/// Longest wait for `GET /info` beside the task: it is the smaller half of the answer.
const INFO_PATIENCE: Duration = Duration::from_secs(2);

/// How long `GET /overview` has before the parts are asked for by themselves as well.
const OVERVIEW_AT_ONCE: Duration = Duration::from_millis(100);

/// Longest wait for it. A coordinator whose database does not answer says so after three seconds.
const OVERVIEW_PATIENCE: Duration = Duration::from_secs(4);

/// What the API says, before anything else is asked.
#[derive(Clone, Debug)]
pub struct ApiPart {
    /// The task `saga_recovery`.
    pub task: FetchedTask,
    /// Who the coordinator is.
    pub info: Part<Info>,
}

/// What the API says, if it says what the database does.
#[derive(Clone, Debug)]
pub struct Everything {
    /// What it knows itself.
    pub api: ApiPart,
    /// What its database says; `None` if it has not told whether it knows that.
    pub database: Option<Part<DatabaseView>>,
}

/// Who looked at a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SeenBy {
    /// The coordinator, which told us.
    Coordinator,
    /// This program.
    Sagactl,
}

/// A database that somebody looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeenDatabase {
    /// Which one, in words.
    pub source: String,
    /// Who looked.
    pub seen_by: SeenBy,
}

/// Recovery at a glance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// Who was asked.
    pub coordinator: Coordinator,
    /// Its saga recovery.
    #[serde(flatten)]
    pub recovery: Recovery,
    /// Sagas that failed, latest failure first; `None` without a database to ask.
    #[serde(serialize_with = "as_rows")]
    pub failed_sagas: Option<Vec<ListedSaga>>,
    /// Sagas by name, state and outcome; `None` without a database to ask.
    pub sagas: Option<SagaCounts>,
    /// The database that was looked at; `None` if nobody could.
    pub database: Option<SeenDatabase>,
    /// What is missing or odd, and why.
    pub notes: Vec<String>,
}

/// A coordinator, as far as it says who it is. Only `url` is always known.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Coordinator {
    /// Its internal API.
    pub url: String,
    /// Its id as a SEC.
    pub sec_id: Option<SecId>,
    /// Version of its program.
    pub version: Option<String>,
    /// Its process id.
    pub pid: Option<u32>,
    /// When its process started.
    pub time_started: Option<Time>,
    /// How long ago that was, by our clock.
    pub uptime_secs: Option<u64>,
    /// Kind of its database.
    pub store: Option<String>,
    /// Where its database is.
    pub db_url: Option<String>,
    /// Base URL of its external API.
    pub external_url: Option<String>,
    /// It answers.
    pub healthy: Option<bool>,
    /// It accepts sagas.
    pub ready: Option<bool>,
    /// A pass is complete, and the last one left nothing behind that could not be recovered.
    pub recovered: Option<bool>,
    /// Sagas in flight there that recovery took up.
    pub sagas_recovering: Option<u64>,
    /// All sagas in flight there.
    pub sagas_in_flight: Option<u64>,
}

/// What must be had before there is a status at all.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// The coordinator did not answer as it should.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The coordinator has no task that recovers sagas.
    #[error("the coordinator at {url} has no background task {SAGA_RECOVERY:?}")]
    NoRecoveryTask {
        /// Who was asked.
        url: String,
    },
}

/// Asks the coordinator. Only the task must be had; who the coordinator is may remain open.
pub async fn ask_api(client: &Client) -> Result<ApiPart, StatusError> {
    let info = async {
        // Bounded, and without an error of its own: an older coordinator has no such operation.
        Ok(match client.with_at_most(INFO_PATIENCE).fetch_info().await {
            Ok(Some(info)) => Part::Present(info),
            Ok(None) => {
                Part::Missing("the coordinator does not say who it is (it has no GET /info)".to_owned())
            }
            Err(error) => Part::Missing(format!("the coordinator did not say who it is: {}", error.problem)),
        })
    };
    let (task, info) = tokio::try_join!(client.fetch_task(SAGA_RECOVERY), info)?;
    match task {
        Some(task) => Ok(ApiPart { task, info }),
        None => Err(StatusError::NoRecoveryTask { url: client.base().to_string() }),
    }
}

/// The same, and what the coordinator's database says if the coordinator tells it.
///
/// One answer has it all, nearly always, and it comes at once. If it does not, that may be the database's fault, which then has some
/// time while the rest is asked for by itself.
pub async fn ask_for_everything(client: &Client) -> Result<Everything, StatusError> {
    let began = Instant::now();
    // If it brings nothing, the database is yet to be asked, which takes time too.
    let patient = client.with_at_most(OVERVIEW_PATIENCE.min(client.time_left() / 2));
    let mut overview = pin!(patient.fetch_overview());
    let only_api = |api| Everything { api, database: None };
    match tokio::time::timeout(OVERVIEW_AT_ONCE, &mut overview).await {
        Ok(Ok(Some(overview))) => return Ok(overview.into()),
        // A Nexus, an older coordinator, or one in trouble. What the trouble is, the task tells.
        Ok(Ok(None) | Err(_)) => return ask_api(client).await.map(only_api),
        Err(_) => {}
    }
    let parts = client.since(began);
    match futures::future::select(overview, pin!(ask_api(&parts))).await {
        Either::Left((Ok(Some(overview)), _)) => Ok(overview.into()),
        Either::Left((Ok(None) | Err(_), api)) => api.await.map(only_api),
        Either::Right((api, overview)) => match overview.await {
            Ok(Some(overview)) => Ok(overview.into()),
            Ok(None) | Err(_) => api.map(only_api),
        },
    }
}

impl From<FetchedOverview> for Everything {
    fn from(overview: FetchedOverview) -> Self {
        let FetchedOverview { info, task, database } = overview;
        Self {
            api: ApiPart { task, info: Part::Present(info) },
            database: Some(database.map(DatabaseView::from)),
        }
    }
}

fn as_rows<S: Serializer>(sagas: &Option<Vec<ListedSaga>>, serializer: S) -> Result<S::Ok, S::Error> {
    match sagas {
        None => serializer.serialize_none(),
        Some(sagas) => serializer.collect_seq(sagas.iter().map(Row)),
    }
}

impl Status {
    /// Puts a status together from what the API says.
    pub fn new(url: String, task: &FetchedTask, info: &Part<Info>, now: Time) -> Self {
        let mut notes = Vec::new();
        let coordinator = match info {
            Part::Present(info) => Coordinator::of(url, info, now),
            Part::Missing(reason) => {
                notes.push(reason.clone());
                Coordinator { url, ..Coordinator::default() }
            }
        };
        let recovery = Recovery::new(task);
        notes.extend(recovery.trouble.as_ref().map(Trouble::in_words));
        if recovery.since_start.is_some() && recovery.recent_passes.is_none() {
            notes.push("the coordinator keeps no history of passes".to_owned());
        }
        Self { coordinator, recovery, failed_sagas: None, sagas: None, database: None, notes }
    }

    /// Adds what the database knows, or why it is not known.
    pub fn add_database(&mut self, view: Part<DatabaseView>, seen_by: SeenBy) {
        let DatabaseView { source: _, names, failed_sagas, sagas } = match view {
            Part::Present(view) => {
                let is_blank = view.is_blank();
                self.database = (!is_blank).then(|| SeenDatabase { source: view.source.clone(), seen_by });
                view
            }
            Part::Missing(reason) => {
                self.notes.push(format!("nothing is known from the database: {reason}"));
                return;
            }
        };
        match names {
            Part::Present(names) => self.recovery.add_names(&names),
            Part::Missing(reason) => {
                self.notes.push(format!("what became of the recovered sagas is not known: {reason}"));
            }
        }
        match failed_sagas {
            Part::Present(failed) => self.failed_sagas = Some(failed),
            Part::Missing(reason) => self.notes.push(format!("which sagas failed is not known: {reason}")),
        }
        match sagas {
            Part::Present(sagas) => self.sagas = Some(sagas),
            Part::Missing(reason) => {
                self.notes.push(format!("how many sagas there are is not known: {reason}"))
            }
        }
    }
}

impl Coordinator {
    fn of(url: String, info: &Info, now: Time) -> Self {
        let Info {
            sec_id,
            version,
            pid,
            time_started,
            store,
            db_url,
            internal_url: _, // its own idea of `url`, which may be wrong from where we are
            external_url,
            healthy,
            ready,
            recovered,
            sagas_recovering,
            sagas_in_flight,
        } = info;
        Self {
            url,
            sec_id: Some(*sec_id),
            version: Some(version.clone()),
            pid: Some(*pid),
            time_started: Some(*time_started),
            uptime_secs: u64::try_from(now.signed_duration_since(*time_started).num_seconds()).ok(),
            store: Some(store.clone()),
            db_url: Some(db_url.clone()),
            external_url: Some(external_url.clone()),
            healthy: Some(*healthy),
            ready: Some(*ready),
            recovered: Some(*recovered),
            sagas_recovering: Some(*sagas_recovering),
            sagas_in_flight: Some(*sagas_in_flight),
        }
    }
}

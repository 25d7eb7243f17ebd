//! What one look saw. Plain data, so that a test can make up any world.

use super::event::{Absence, Ending};
use crate::saga_log::record::SagaRecord;
use crate::saga_log::summary::{LogTotals, outcome};
use crate::wire::bgtasks::ActivationReason;
use crate::wire::field::Field;
use crate::wire::ids::{SagaId, SecId};
use crate::wire::recovery::RecoveryFailure;
use crate::wire::sagas::Outcome;
use crate::wire::time::Time;
use std::time::Duration;

/// One look at everything.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    /// When.
    pub time: Time,
    /// The internal API.
    pub api: Looked<ApiView>,
    /// The database; `None` while nobody knows which it is.
    pub database: Option<Looked<DatabaseView>>,
}

/// One look at one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Looked<T> {
    /// Where it is.
    pub url: String,
    /// What was seen, or why nothing was.
    pub seen: Result<T, String>,
}

/// What a coordinator's reports say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ApiView {
    /// Who it is, if it says so.
    pub sec_id: Option<SecId>,
    /// When its process started, if it says so.
    pub time_started: Option<Time>,
    /// Passes that the report keeps, in any order.
    pub passes: Vec<PassView>,
    /// Recoveries that the report keeps: when, which saga, of which kind.
    pub recoveries: Vec<(Time, SagaId, Option<String>)>,
    /// Failures that the report keeps.
    pub failures: Vec<RecoveryFailure>,
    /// Sagas recovered since its process started, also those that the report does not keep.
    pub recovered_in_all: Option<u64>,
}

/// A recovery pass.
#[derive(Clone, Debug, PartialEq)]
pub struct PassView {
    /// Its number since the start of the process.
    pub iteration: u64,
    /// What caused it.
    pub reason: ActivationReason,
    /// When it began.
    pub time_started: Time,
    /// Whether it went through.
    pub completed: bool,
    /// Unfinished sagas of the SEC.
    pub found: Option<u64>,
    /// Of these, recovered.
    pub recovered: Option<u64>,
    /// Of these, not recovered for a failure.
    pub failed: Option<u64>,
    /// Why it did not go through.
    pub message: Option<String>,
}

/// What the database says. The three lists of sagas are read one after the other, in this order, while everything goes on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DatabaseView {
    /// Sagas made since the moment that [`Memory::since`](super::memory::Memory::since) names, or as long before the newest
    /// at the first look.
    pub recent: Vec<SagaView>,
    /// Sagas that had not come to rest.
    pub unfinished: Vec<SagaView>,
    /// What became of those that [`Memory::wanted`](super::memory::Memory::wanted) asks for.
    pub settled: Vec<SagaView>,
    /// The registry of SECs; `None` if the database has none.
    pub secs: Option<Vec<SecView>>,
}

/// A saga as a look sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct SagaView {
    /// Which.
    pub saga_id: SagaId,
    /// Its kind.
    pub name: Option<String>,
    /// Its owner.
    pub current_sec: Option<SecId>,
    /// When it was made.
    pub created: Option<Time>,
    /// How it ended, if it has. Only what is settled tells more than that it has ended.
    pub ending: Option<Ending>,
    /// When its log last grew, where the log was looked at.
    pub last_event: Option<Time>,
}

impl SagaView {
    /// A saga by its row, and by its log if that was read after the row.
    pub fn new(row: &SagaRecord, log: Option<&LogTotals>) -> Self {
        let ending = match row.state.value().map(String::as_str) {
            Some("abandoned") => Some(Ending::Abandoned),
            Some("done") => Some(match log.and_then(|log| outcome(&row.state, log.worst())) {
                Some(Outcome::Succeeded) => Ending::Succeeded,
                Some(Outcome::Failed) => Ending::Failed,
                Some(Outcome::Stuck) => Ending::Stuck,
                Some(Outcome::Unknown) | None => Ending::Unknown,
            }),
            _ => None,
        };
        Self {
            saga_id: row.id,
            name: row.name.value().cloned(),
            current_sec: row.current_sec.value().copied(),
            created: row.time_created.value().copied(),
            ending,
            last_event: log.and_then(|log| log.last_event.value().copied()),
        }
    }
}

/// A SEC in the registry.
#[derive(Clone, Debug, PartialEq)]
pub struct SecView {
    /// Which.
    pub sec_id: SecId,
    /// Whether it is out of service for ever.
    pub is_expunged: bool,
    /// When its process started.
    pub time_started: Option<Time>,
    /// When it was heard of last.
    pub time_heartbeat: Option<Time>,
}

impl SecView {
    /// A SEC by its row.
    pub fn new(
        sec_id: SecId,
        state: &Field<String>,
        time_started: &Field<Time>,
        time_heartbeat: &Field<Time>,
    ) -> Self {
        Self {
            sec_id,
            is_expunged: matches!(state.value().map(String::as_str), Some("expunged" | "quiesced")),
            time_started: time_started.value().copied(),
            time_heartbeat: time_heartbeat.value().copied(),
        }
    }

    /// Whether and how it is absent. A SEC without a heartbeat says nothing about itself, so it is there until its row says
    /// otherwise.
    pub fn absence(&self, now: Time, fresh: Duration) -> Option<Absence> {
        let age =
            self.time_heartbeat.map(|beat| now.signed_duration_since(beat).to_std().unwrap_or_default());
        match age {
            _ if self.is_expunged => Some(Absence::Expunged),
            Some(age) if age > fresh => Some(Absence::Silent),
            _ => None,
        }
    }
}

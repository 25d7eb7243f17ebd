//! `/quiesce`: a coordinator that takes no new sagas, finishes those that it has, and then says so. Nexus's shapes; what
//! older Nexuses called otherwise is read too.

use super::ids::SagaId;
use super::time::{Time, WireDuration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Answer of `GET /quiesce`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QuiesceStatus {
    /// How far it has come.
    pub state: QuiesceState,
    /// Its sagas.
    pub sagas: SagaQuiesceStatus,
    /// Uses of its database that are under way, as far as the coordinator counts them. Ours does not: its database is
    /// used by its sagas only.
    #[serde(default)]
    pub db_claims: Vec<DbClaim>,
}

/// How far a coordinator has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", content = "quiesce_details", rename_all = "snake_case")]
pub enum QuiesceState {
    /// It does not know yet whether it is to take sagas.
    Undetermined,
    /// It takes sagas.
    Running,
    /// It takes none, and has some left.
    #[serde(alias = "waiting_for_sagas")]
    DrainingSagas {
        /// Since when.
        time_requested: Time,
    },
    /// It has no sagas left, and its database is still used.
    #[serde(alias = "waiting_for_db")]
    DrainingDb {
        /// When it was asked to.
        time_requested: Time,
        /// How long the sagas took.
        #[serde(alias = "duration_waiting_for_sagas")]
        duration_draining_sagas: WireDuration,
    },
    /// It is writing down that it has quiesced.
    RecordingQuiesce {
        /// When it was asked to.
        time_requested: Time,
        /// How long the sagas took.
        #[serde(alias = "duration_waiting_for_sagas")]
        duration_draining_sagas: WireDuration,
        /// How long the database took.
        #[serde(alias = "duration_waiting_for_db")]
        duration_draining_db: WireDuration,
    },
    /// It has nothing left to do.
    Quiesced {
        /// When it was asked to.
        time_requested: Time,
        /// How long the sagas took.
        #[serde(alias = "duration_waiting_for_sagas")]
        duration_draining_sagas: WireDuration,
        /// How long the database took.
        #[serde(alias = "duration_waiting_for_db")]
        duration_draining_db: WireDuration,
        /// How long it took to write it down.
        #[serde(default)]
        duration_recording_quiesce: WireDuration,
        /// How long everything took.
        duration_total: WireDuration,
        /// When it was done.
        time_quiesced: Time,
    },
}

/// Sagas of a coordinator that is to quiesce, or is not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SagaQuiesceStatus {
    /// Whether it takes new ones.
    pub new_sagas_allowed: SagasAllowed,
    /// Those that it has not finished.
    pub sagas_pending: Vec<PendingSaga>,
    /// Whether it has looked for sagas to recover since it started.
    pub first_recovery_complete: bool,
    /// Counts how often it may have been given sagas of others.
    pub reassignment_generation: u64,
    /// Nexus's, `null` in ours.
    #[serde(default)]
    pub reassignment_blueprint_id: Option<String>,
    /// Whether it is just being given some.
    pub reassignment_pending: bool,
    /// The count that the last successful recovery pass began with: those sagas are among the pending ones, or done.
    pub recovered_reassignment_generation: u64,
    /// Nexus's, `null` in ours.
    #[serde(default)]
    pub recovered_blueprint_id: Option<String>,
    /// Nexus's, `null` in ours.
    #[serde(default)]
    pub drained_blueprint_id: Option<String>,
    /// The recovery pass that is under way.
    #[serde(default)]
    pub recovery_pending: Option<PendingRecovery>,
    /// Sagas that it did not take for this reason. Ours only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
}

/// Whether a coordinator takes new sagas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SagasAllowed {
    /// It does.
    Allowed,
    /// It does not, since it is to quiesce.
    DisallowedQuiesce,
    /// It does not, since it does not know yet.
    DisallowedUnknown,
}

/// A saga that has to come to rest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PendingSaga {
    /// Which.
    pub saga_id: SagaId,
    /// Its kind.
    pub saga_name: String,
    /// Since when this process has it.
    pub time_pending: Time,
    /// Whether recovery took it up, rather than this process having created it.
    pub recovered: bool,
}

/// A recovery pass that is under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PendingRecovery {
    /// The count of reassignments when it began.
    pub generation: u64,
    /// Nexus's, `null` in ours.
    #[serde(default)]
    pub blueprint_id: Option<String>,
}

/// Sagas that were not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refused {
    /// How many.
    pub count: u64,
    /// When the first one was asked for.
    pub first: Time,
    /// When the last one was.
    pub last: Time,
}

/// A use of the database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DbClaim {
    /// Its number.
    pub id: u64,
    /// Since when.
    pub held_since: Time,
    /// What a developer makes of it.
    pub debug: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn states_are_read_as_nexus_writes_them_and_as_it_used_to() {
        let time = "2026-11-02T09:30:00Z";
        let none = json!({"secs": 0, "nanos": 0});
        let read = |value: serde_json::Value| serde_json::from_value::<QuiesceState>(value).expect("a state");
        assert_eq!(read(json!({"state": "running"})), QuiesceState::Running);
        let draining = QuiesceState::DrainingSagas { time_requested: time.parse().expect("a time") };
        for name in ["draining_sagas", "waiting_for_sagas"] {
            let value = json!({"state": name, "quiesce_details": {"time_requested": time}});
            assert_eq!(read(value), draining);
        }
        for (sagas, db) in [
            ("duration_draining_sagas", "duration_draining_db"),
            ("duration_waiting_for_sagas", "duration_waiting_for_db"),
        ] {
            let details = json!({"time_requested": time, sagas: none, db: none, "duration_total": none,
                "time_quiesced": time});
            let state = read(json!({"state": "quiesced", "quiesce_details": details}));
            assert!(matches!(state, QuiesceState::Quiesced { .. }), "{state:?}");
        }
    }
}

//! What task `saga_recovery` reports (`details` of its last activation).
//!
//! The first group of fields is Nexus's, name for name; `kind` and `current_sec` of a failure were added in 2026 and are
//! missing in older reports. `recent_passes` and `name` are ours and absent elsewhere.

use super::bgtasks::ActivationReason;
use super::ids::{SagaId, SecId};
use super::time::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many recoveries, failures and passes a report keeps; older ones fall out at the front.
pub const REPORT_RING: usize = 128;

/// Everything saga recovery has to say for itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecoveryReport {
    /// The last recoveries, oldest first, at most [`REPORT_RING`].
    pub recent_recoveries: Vec<RecoverySuccess>,
    /// The last failures, oldest first, at most [`REPORT_RING`].
    pub recent_failures: Vec<RecoveryFailure>,
    /// How the last pass ended.
    pub last_pass: LastPass,
    /// Sagas recovered since the coordinator started.
    pub ntotal_recovered: u64,
    /// Failed attempts to recover a saga since the coordinator started.
    pub ntotal_failures: u64,
    /// Sagas that this coordinator was observed to start itself.
    pub ntotal_started: u64,
    /// Sagas inferred to have finished.
    pub ntotal_finished: u64,
    /// Sagas inferred to have finished that the SEC had never heard of: an alarm.
    pub ntotal_sec_errors_missing: u64,
    /// Sagas inferred to have finished that the SEC still runs: an alarm.
    pub ntotal_sec_errors_bad_state: u64,
    /// The last passes, oldest first, at most [`REPORT_RING`]. Ours; absent from a Nexus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recent_passes: Option<Vec<PassSummary>>,
}

/// One saga that was recovered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecoverySuccess {
    /// When it was handed to the SEC.
    pub time: Time,
    /// Which one.
    pub saga_id: SagaId,
    /// Its name, as ours reports it; absent from a Nexus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// One failed attempt to recover a saga.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecoveryFailure {
    /// When it failed.
    pub time: Time,
    /// Which saga.
    pub saga_id: SagaId,
    /// Its owner at the time; absent in reports from before July 2026.
    #[serde(default)]
    pub current_sec: Option<SecId>,
    /// Whether trying again can help; absent in reports from before July 2026.
    #[serde(default)]
    pub kind: Option<RecoveryFailureKind>,
    /// Why.
    pub message: String,
}

/// Whether trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecoveryFailureKind {
    /// Something around the saga was in the way; the next pass tries again.
    Transient,
    /// A definite verdict on the saga's own data: its DAG, its log, or an action that nobody knows.
    Permanent,
}

/// How the last pass ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum LastPass {
    /// There was none yet.
    NeverStarted,
    /// The list of candidates could not be had.
    Failed {
        /// Why.
        message: String,
    },
    /// It went through; single sagas may have failed all the same.
    Success(LastPassSuccess),
}

/// The counts of a pass that went through. `nfound = nrecovered + nfailed + nskipped`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LastPassSuccess {
    /// Unfinished sagas of this coordinator in the database.
    pub nfound: u64,
    /// Of these, recovered now.
    pub nrecovered: u64,
    /// Of these, could not be recovered now.
    pub nfailed: u64,
    /// Of these, were running here already.
    pub nskipped: u64,
    /// Sagas that ran here and were found to have finished.
    pub nremoved: u64,
}

/// One pass in the history that our coordinator keeps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PassSummary {
    /// Number of the activation that ran it, from 1.
    pub iteration: u64,
    /// What caused it.
    pub reason: ActivationReason,
    /// When it began.
    pub time_started: Time,
    /// How long it took, in milliseconds.
    pub duration_ms: f64,
    /// How it ended.
    pub result: LastPass,
}

impl RecoveryReport {
    /// The report of a coordinator that has not run a pass.
    pub fn new() -> Self {
        Self {
            recent_recoveries: Vec::new(),
            recent_failures: Vec::new(),
            last_pass: LastPass::NeverStarted,
            ntotal_recovered: 0,
            ntotal_failures: 0,
            ntotal_started: 0,
            ntotal_finished: 0,
            ntotal_sec_errors_missing: 0,
            ntotal_sec_errors_bad_state: 0,
            recent_passes: Some(Vec::new()),
        }
    }
}

impl Default for RecoveryReport {
    fn default() -> Self {
        Self::new()
    }
}

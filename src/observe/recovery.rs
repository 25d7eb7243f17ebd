//! What saga recovery has to say for itself, read from the `details` of its task.
//!
//! That field has no schema. Two vintages of the report are known (`wire::recovery` reads both), any task may report an
//! error instead, and a later coordinator may report something else again. So reading it has four ends, and in each the raw
//! JSON is kept and shown.

use super::database::SagaNames;
use super::task::{TaskView, details};
use crate::client::FetchedTask;
use crate::client::decode;
use crate::client::error::Unreadable;
use crate::wire::bgtasks::ActivationReason;
use crate::wire::ids::{SagaId, SecId};
use crate::wire::recovery as wire;
use crate::wire::recovery::RecoveryFailureKind;
use crate::wire::time::Time;
use serde::Serialize;
use serde_json::Value;

/// Saga recovery at a glance. Absent is `null`, never 0.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recovery {
    /// The task itself.
    pub task: TaskView,
    /// Counters since the coordinator started.
    pub since_start: Option<SinceStart>,
    /// How the last pass ended.
    pub last_pass: Option<LastPass>,
    /// The last passes, newest first; absent from a Nexus.
    pub recent_passes: Option<Vec<Pass>>,
    /// The last recoveries, newest first.
    pub recent_recoveries: Option<Vec<Recovered>>,
    /// The last failures to recover a saga, newest first.
    pub recovery_failures: Option<Vec<wire::RecoveryFailure>>,
    /// What the task reported, as it came, with fields that we do not know.
    pub details: Option<Value>,
    /// Why the details could not be read, if so.
    #[serde(skip)]
    pub trouble: Option<Trouble>,
}

/// Why the details of the task are no report that we can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A report of a shape that we do not know: from another vintage perhaps.
    Unknown(String),
    /// One of a shape that we know, in which something has the wrong type.
    Malformed(Unreadable),
}

/// Counters since the coordinator started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SinceStart {
    /// Sagas recovered.
    pub recovered: u64,
    /// Failed attempts to recover a saga.
    pub recovery_errors: u64,
    /// Sagas that the coordinator was observed to start itself.
    pub observed_started: u64,
    /// Sagas inferred to have finished.
    pub inferred_finished: u64,
    /// Of these, unknown to the SEC: an alarm.
    pub missing_from_sec: u64,
    /// Of these, still running in the SEC: an alarm.
    pub bad_state_in_sec: u64,
}

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PassResult {
    /// It went through; single sagas may have failed all the same.
    Completed,
    /// The candidates could not be listed.
    Failed,
    /// There was none.
    NeverStarted,
}

/// The numbers of a pass. Absent unless it went through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastPass {
    /// How it ended.
    pub result: PassResult,
    /// Unfinished sagas of this coordinator in the database.
    pub found: Option<u64>,
    /// Of these, recovered.
    pub recovered: Option<u64>,
    /// Of these, not recovered for a failure.
    pub failed: Option<u64>,
    /// Of these, running here already.
    pub skipped: Option<u64>,
    /// Sagas found to have finished.
    pub removed: Option<u64>,
    /// Why it failed.
    pub message: Option<String>,
}

/// One pass of the coordinator's history.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pass {
    /// Number of the activation that ran it.
    pub iteration: u64,
    /// What caused it.
    pub reason: ActivationReason,
    /// When it began.
    pub time_started: Time,
    /// How long it took.
    pub duration_ms: f64,
    /// How it ended.
    #[serde(flatten)]
    pub end: LastPass,
}

/// One saga that was recovered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recovered {
    /// When it was handed to the SEC.
    pub time: Time,
    /// Which one.
    pub saga_id: SagaId,
    /// Its kind, if the report or the database says.
    pub name: Option<String>,
    /// Its state in the database now, if there is one to ask.
    pub state: Option<String>,
    /// Its owner in the database now.
    pub current_sec: Option<SecId>,
}

impl Recovery {
    /// Reads a task and what it reports.
    pub fn new(fetched: &FetchedTask) -> Self {
        let task = TaskView::new(fetched);
        let mut recovery = Self {
            since_start: None,
            last_pass: None,
            recent_passes: None,
            recent_recoveries: None,
            recovery_failures: None,
            details: details(&fetched.task).cloned(),
            trouble: None,
            task,
        };
        match &recovery.details {
            None => recovery.last_pass = Some(LastPass::without_numbers(PassResult::NeverStarted, None)),
            // The error stands in the task, and there is nothing else.
            Some(_) if recovery.task.error.is_some() => {}
            Some(details) => match read_report(details) {
                Ok(report) => recovery.fill(report),
                Err(trouble) => recovery.trouble = Some(trouble),
            },
        }
        recovery
    }

    fn fill(&mut self, report: wire::RecoveryReport) {
        let wire::RecoveryReport {
            recent_recoveries,
            recent_failures,
            last_pass,
            ntotal_recovered,
            ntotal_failures,
            ntotal_started,
            ntotal_finished,
            ntotal_sec_errors_missing,
            ntotal_sec_errors_bad_state,
            recent_passes,
        } = report;
        self.since_start = Some(SinceStart {
            recovered: ntotal_recovered,
            recovery_errors: ntotal_failures,
            observed_started: ntotal_started,
            inferred_finished: ntotal_finished,
            missing_from_sec: ntotal_sec_errors_missing,
            bad_state_in_sec: ntotal_sec_errors_bad_state,
        });
        self.last_pass = Some(last_pass.into());
        // Rings come oldest first; people look for the newest.
        self.recent_passes = recent_passes.map(|passes| passes.into_iter().rev().map(Pass::from).collect());
        self.recent_recoveries = Some(recent_recoveries.into_iter().rev().map(Recovered::from).collect());
        self.recovery_failures = Some(recent_failures.into_iter().rev().collect());
    }

    /// The sagas that it would be good to know more about from the database.
    pub fn recovered_ids(&self) -> Vec<SagaId> {
        let mut ids: Vec<_> =
            self.recent_recoveries.iter().flatten().map(|recovered| recovered.saga_id).collect();
        ids.sort();
        ids.dedup();
        ids
    }

    /// Adds what the database knows of the recovered sagas.
    pub fn add_names(&mut self, names: &SagaNames) {
        for recovered in self.recent_recoveries.iter_mut().flatten() {
            if let Some(saga) = names.get(&recovered.saga_id) {
                // What cannot be read there does not replace what the report says.
                recovered.name = saga.name.value().cloned().or_else(|| recovered.name.take());
                recovered.state = saga.state.value().cloned();
                recovered.current_sec = saga.current_sec.value().copied();
            }
        }
    }

    /// Whether the last pass went through without a failure, as far as the report says. A task that has never run has not
    /// failed.
    pub fn last_pass_is_good(&self) -> bool {
        self.task.error.is_none()
            && self.last_pass.as_ref().is_none_or(|pass| {
                pass.result != PassResult::Failed && pass.failed.is_none_or(|failed| failed == 0)
            })
    }
}

impl Trouble {
    /// What it is, for people.
    pub fn in_words(&self) -> String {
        match self {
            Self::Unknown(reason) => {
                format!("the recovery report is of a shape that this version does not know: {reason}")
            }
            Self::Malformed(error) => format!("the recovery report is broken: {error}"),
        }
    }
}

impl LastPass {
    fn without_numbers(result: PassResult, message: Option<String>) -> Self {
        Self { result, found: None, recovered: None, failed: None, skipped: None, removed: None, message }
    }
}

impl From<wire::LastPass> for LastPass {
    fn from(pass: wire::LastPass) -> Self {
        match pass {
            wire::LastPass::NeverStarted => Self::without_numbers(PassResult::NeverStarted, None),
            wire::LastPass::Failed { message } => Self::without_numbers(PassResult::Failed, Some(message)),
            wire::LastPass::Success(wire::LastPassSuccess {
                nfound,
                nrecovered,
                nfailed,
                nskipped,
                nremoved,
            }) => Self {
                result: PassResult::Completed,
                found: Some(nfound),
                recovered: Some(nrecovered),
                failed: Some(nfailed),
                skipped: Some(nskipped),
                removed: Some(nremoved),
                message: None,
            },
        }
    }
}

impl From<wire::PassSummary> for Pass {
    fn from(summary: wire::PassSummary) -> Self {
        let wire::PassSummary { iteration, reason, time_started, duration_ms, result } = summary;
        Self { iteration, reason, time_started, duration_ms, end: result.into() }
    }
}

impl From<wire::RecoverySuccess> for Recovered {
    fn from(success: wire::RecoverySuccess) -> Self {
        let wire::RecoverySuccess { time, saga_id, name } = success;
        Self { time, saga_id, name, state: None, current_sec: None }
    }
}

/// Whether trying again can help, in a word.
pub fn kind_in_words(kind: RecoveryFailureKind) -> &'static str {
    match kind {
        RecoveryFailureKind::Transient => "transient",
        RecoveryFailureKind::Permanent => "permanent",
    }
}

/// Reads the details as a report, and tells a shape that we do not know from a known one that is broken.
fn read_report(details: &Value) -> Result<wire::RecoveryReport, Trouble> {
    let Some(fields) = details.as_object() else {
        return Err(Trouble::Unknown("it is not a JSON object".to_owned()));
    };
    let Some(last_pass) = fields.get("last_pass") else {
        return Err(Trouble::Unknown("it has no field \"last_pass\"".to_owned()));
    };
    // Variants are how such a report would grow; a new one is no mistake of the server's.
    let variant = last_pass.as_str().or_else(|| match last_pass.as_object() {
        Some(object) if object.len() == 1 => object.keys().next().map(String::as_str),
        _ => None,
    });
    if let Some(variant) = variant.filter(|variant| !["NeverStarted", "Failed", "Success"].contains(variant))
    {
        return Err(Trouble::Unknown(format!(
            "its last pass ended in a way that we do not know: {variant:?}"
        )));
    }
    decode::from_value(details, "last.details.details").map_err(Trouble::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fetched(details: Value) -> FetchedTask {
        let raw = json!({
            "name": "saga_recovery", "description": "d", "period": {"secs": 600, "nanos": 0},
            "current": {"current_status": "idle"},
            "last": {"last_result": "completed", "details": {
                "iteration": 7, "start_time": "2026-11-02T09:15:22.640112Z", "reason": "timeout",
                "elapsed": {"secs": 0, "nanos": 81_000_417}, "details": details}}
        });
        FetchedTask { task: serde_json::from_value(raw.clone()).unwrap(), raw }
    }

    fn report() -> Value {
        json!({
            "recent_recoveries": [
                {"time": "2026-11-02T09:15:22.701Z", "saga_id": "0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0001"},
                {"time": "2026-11-02T09:15:23.701Z", "saga_id": "0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0002"}],
            "recent_failures": [],
            "last_pass": {"Success": {"nfound": 15, "nrecovered": 4, "nfailed": 5, "nskipped": 6, "nremoved": 8}},
            "ntotal_recovered": 11, "ntotal_failures": 12, "ntotal_started": 13, "ntotal_finished": 14,
            "ntotal_sec_errors_missing": 2, "ntotal_sec_errors_bad_state": 3, "fresh_field": 1
        })
    }

    #[test]
    fn every_number_goes_where_its_name_says() {
        let recovery = Recovery::new(&fetched(report()));
        assert_eq!(
            recovery.since_start,
            Some(SinceStart {
                recovered: 11,
                recovery_errors: 12,
                observed_started: 13,
                inferred_finished: 14,
                missing_from_sec: 2,
                bad_state_in_sec: 3
            })
        );
        assert_eq!(
            serde_json::to_value(recovery.last_pass.as_ref().unwrap()).unwrap(),
            json!({"result": "completed", "found": 15, "recovered": 4, "failed": 5, "skipped": 6, "removed": 8,
                   "message": null})
        );
        assert!(!recovery.last_pass_is_good());
        assert_eq!(recovery.recent_passes, None);
        assert!(
            recovery.recent_recoveries.as_ref().unwrap()[0].saga_id.to_string().ends_with('2'),
            "newest first"
        );
        assert_eq!(recovery.details.unwrap()["fresh_field"], 1);
    }

    #[test]
    fn a_pass_is_good_when_nothing_failed() {
        let with = |last_pass: Value| {
            let mut report = report();
            report["last_pass"] = last_pass;
            Recovery::new(&fetched(report)).last_pass_is_good()
        };
        assert!(with(json!("NeverStarted")));
        assert!(with(
            json!({"Success": {"nfound": 1, "nrecovered": 1, "nfailed": 0, "nskipped": 0, "nremoved": 0}})
        ));
        assert!(!with(json!({"Failed": {"message": "no database"}})));
        assert!(!Recovery::new(&fetched(json!({"error": "no database"}))).last_pass_is_good());
    }

    #[test]
    fn a_task_that_never_ran_has_no_numbers() {
        let mut never = fetched(Value::Null);
        never.task.last = crate::wire::bgtasks::LastResult::NeverCompleted;
        let recovery = Recovery::new(&never);
        assert_eq!((recovery.since_start, &recovery.details, &recovery.trouble), (None, &None, &None));
        assert_eq!(recovery.last_pass.unwrap().result, PassResult::NeverStarted);
    }

    #[test]
    fn what_is_not_a_report_is_kept_and_told_apart() {
        let trouble = |details: Value| {
            let recovery = Recovery::new(&fetched(details.clone()));
            assert_eq!(recovery.details, Some(details));
            assert_eq!((&recovery.since_start, &recovery.last_pass), (&None, &None));
            (recovery.trouble, recovery.task.error)
        };
        assert_eq!(trouble(json!({"error": "no database"})), (None, Some("no database".to_owned())));
        assert!(matches!(trouble(json!([1])), (Some(Trouble::Unknown(_)), None)));
        assert!(matches!(trouble(json!({"passes": 3})), (Some(Trouble::Unknown(_)), None)));

        let mut postponed = report();
        postponed["last_pass"] = json!({"Postponed": {"until": 3}});
        assert!(
            matches!(trouble(postponed), (Some(Trouble::Unknown(reason)), None) if reason.ends_with("\"Postponed\""))
        );

        let mut wrong = report();
        wrong["last_pass"]["Success"]["nfound"] = json!("four");
        let (Some(Trouble::Malformed(error)), None) = trouble(wrong) else {
            panic!("a wrong type is malformed")
        };
        assert_eq!(
            error.to_string(),
            "unexpected JSON at last.details.details.last_pass.Success.nfound: invalid type: string \"four\", \
             expected u64"
        );
    }

    #[test]
    fn names_come_from_the_database_when_there_is_one() {
        use crate::wire::field::Field;
        use crate::wire::overview::SagaStanding;
        let mut recovery = Recovery::new(&fetched(report()));
        let saga_id = recovery.recovered_ids()[0];
        let saga = SagaStanding {
            saga_id,
            name: Field::Value("project-create".to_owned()),
            state: Field::Value("done".to_owned()),
            current_sec: Field::Null,
        };
        recovery.add_names(&SagaNames::from([(saga_id, saga)]));
        let named: Vec<_> = recovery
            .recent_recoveries
            .unwrap()
            .into_iter()
            .map(|recovered| (recovered.name.is_some(), recovered.state))
            .collect();
        assert_eq!(named, [(false, None), (true, Some("done".to_owned()))]);
    }
}

//! Who takes sagas, who is draining, who has quiesced, and what keeps those who drain from coming to an end.
//!
//! Every coordinator that can be found is asked: the one that the user named, and those that the database has as being in
//! service. One that does not answer is part of the answer, since it is one that nobody can hand over from.

use crate::client::{Client, FetchedQuiesce};
use crate::wire::ids::{SagaId, SecId};
use crate::wire::quiesce::{PendingSaga, QuiesceState, QuiesceStatus, Refused, SagasAllowed};
use crate::wire::time::Time;
use serde::Serialize;
use serde_json::Value;
use std::fmt;

/// Everybody.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Quiescence {
    /// Each coordinator.
    pub secs: Vec<SecQuiescence>,
    /// All of them together.
    pub total: Total,
}

/// One coordinator.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SecQuiescence {
    /// Which; `None` if it does not say.
    pub sec_id: Option<SecId>,
    /// Where it was asked.
    pub url: String,
    /// How far it has come.
    pub state: State,
    /// When it was asked to.
    pub time_requested: Option<Time>,
    /// When it came to the end.
    pub time_quiesced: Option<Time>,
    /// Whether it takes sagas.
    pub new_sagas_allowed: Option<SagasAllowed>,
    /// Sagas that it has not finished.
    pub sagas_pending: Option<u64>,
    /// Since when it has the oldest of them.
    pub oldest_pending: Option<Time>,
    /// Sagas that it did not take.
    pub refused: Option<Refused>,
    /// Why it did not answer.
    pub error: Option<String>,
    /// The whole answer.
    pub details: Value,
    /// The same, understood.
    #[serde(skip)]
    pub status: Option<QuiesceStatus>,
}

/// How far a coordinator has come, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It does not know whether it is to take sagas.
    Undetermined,
    /// It takes sagas.
    Running,
    /// It has sagas left.
    DrainingSagas,
    /// Its database is still used.
    DrainingDb,
    /// It is writing it down.
    RecordingQuiesce,
    /// It has nothing left.
    Quiesced,
    /// It cannot be asked to quiesce.
    NotOffered,
    /// It does not answer.
    NoAnswer,
}

/// Sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Total {
    /// Coordinators that were asked.
    pub secs: u64,
    /// Those that take sagas, or may.
    pub running: u64,
    /// Those that are on their way.
    pub draining: u64,
    /// Those that have nothing left.
    pub quiesced: u64,
    /// Those of whom nobody knows.
    pub unknown: u64,
    /// Sagas that those who answered have not finished.
    pub sagas_pending: u64,
}

/// What keeps a coordinator from having quiesced.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "blocker", rename_all = "snake_case")]
pub enum Blocker {
    /// Nobody has asked it to.
    NotRequested,
    /// It does not know yet whether it is to take sagas.
    Undetermined,
    /// A saga.
    Saga {
        /// Which.
        saga_id: SagaId,
        /// Its kind.
        name: String,
        /// Since when this process has it.
        since: Time,
        /// How long that is.
        age_secs: i64,
        /// Whether recovery took it up.
        recovered: bool,
        /// The node that it is at, if the database tells.
        node: Option<String>,
        /// The word of `why`, if it could be asked.
        verdict: Option<String>,
    },
    /// No recovery pass since its start has succeeded.
    FirstRecovery,
    /// It is being given sagas of others.
    Reassignment,
    /// It was given sagas of others, and no recovery pass that began after that has succeeded.
    RecoveryOfReassigned,
    /// Its database is in use; these are not sagas.
    DbClaim {
        /// Its number.
        id: u64,
        /// Since when.
        since: Time,
        /// How long that is.
        age_secs: i64,
        /// What a developer makes of it.
        debug: String,
    },
    /// It does not answer.
    NoAnswer {
        /// Why.
        error: String,
    },
    /// It cannot be asked to.
    NotOffered,
}

impl Quiescence {
    /// Sums up.
    pub fn of(secs: Vec<SecQuiescence>) -> Self {
        let mut total = Total::default();
        for sec in &secs {
            total.secs += 1;
            total.sagas_pending += sec.sagas_pending.unwrap_or(0);
            *match sec.state {
                State::Undetermined | State::Running => &mut total.running,
                State::DrainingSagas | State::DrainingDb | State::RecordingQuiesce => &mut total.draining,
                State::Quiesced => &mut total.quiesced,
                State::NotOffered | State::NoAnswer => &mut total.unknown,
            } += 1;
        }
        Self { secs, total }
    }
}

/// Asks one coordinator, who is `expected` as far as the database knows.
pub async fn ask(client: &Client, expected: Option<SecId>) -> SecQuiescence {
    let url = client.base().to_string();
    let (info, status) = tokio::join!(client.fetch_info(), client.fetch_quiesce());
    let who = info.ok().flatten().map(|info| info.sec_id);
    if let (Some(who), Some(_)) = (who, expected.filter(|expected| Some(*expected) != who)) {
        let error = format!("SEC {who} answers at its address");
        return SecQuiescence::without(expected, url, State::NoAnswer, Some(error));
    }
    let sec_id = who.or(expected);
    match status {
        Ok(Some(FetchedQuiesce { status, raw })) => SecQuiescence::answered(sec_id, url, status, raw),
        Ok(None) => SecQuiescence::without(sec_id, url, State::NotOffered, None),
        Err(error) => SecQuiescence::without(sec_id, url, State::NoAnswer, Some(error.problem.to_string())),
    }
}

impl SecQuiescence {
    /// One that did not answer, or not this.
    pub fn without(sec_id: Option<SecId>, url: String, state: State, error: Option<String>) -> Self {
        Self {
            sec_id,
            url,
            state,
            time_requested: None,
            time_quiesced: None,
            new_sagas_allowed: None,
            sagas_pending: None,
            oldest_pending: None,
            refused: None,
            error,
            details: Value::Null,
            status: None,
        }
    }

    fn answered(sec_id: Option<SecId>, url: String, status: QuiesceStatus, details: Value) -> Self {
        let (state, time_requested, time_quiesced) = match &status.state {
            QuiesceState::Undetermined => (State::Undetermined, None, None),
            QuiesceState::Running => (State::Running, None, None),
            QuiesceState::DrainingSagas { time_requested } => {
                (State::DrainingSagas, Some(*time_requested), None)
            }
            QuiesceState::DrainingDb { time_requested, .. } => {
                (State::DrainingDb, Some(*time_requested), None)
            }
            QuiesceState::RecordingQuiesce { time_requested, .. } => {
                (State::RecordingQuiesce, Some(*time_requested), None)
            }
            QuiesceState::Quiesced { time_requested, time_quiesced, .. } => {
                (State::Quiesced, Some(*time_requested), Some(*time_quiesced))
            }
        };
        let sagas = &status.sagas;
        Self {
            time_requested,
            time_quiesced,
            new_sagas_allowed: Some(sagas.new_sagas_allowed),
            sagas_pending: Some(sagas.sagas_pending.len() as u64),
            oldest_pending: sagas.sagas_pending.iter().map(|saga| saga.time_pending).min(),
            refused: sagas.refused,
            details,
            status: Some(status),
            ..Self::without(sec_id, url, state, None)
        }
    }

    /// What keeps it from having quiesced, sagas first, the oldest first. Pure.
    pub fn blockers(&self, now: Time) -> Vec<Blocker> {
        let Some(status) = &self.status else {
            return vec![match &self.error {
                Some(error) => Blocker::NoAnswer { error: error.clone() },
                None => Blocker::NotOffered,
            }];
        };
        if self.state == State::Quiesced {
            return Vec::new();
        }
        let age_secs = |since: Time| now.signed_duration_since(since).num_seconds();
        let sagas = &status.sagas;
        let mut pending: Vec<&PendingSaga> = sagas.sagas_pending.iter().collect();
        pending.sort_by_key(|saga| (saga.time_pending, saga.saga_id));
        let mut blockers: Vec<Blocker> = pending
            .into_iter()
            .map(|saga| Blocker::Saga {
                saga_id: saga.saga_id,
                name: saga.saga_name.clone(),
                since: saga.time_pending,
                age_secs: age_secs(saga.time_pending),
                recovered: saga.recovered,
                node: None,
                verdict: None,
            })
            .collect();
        match self.state {
            State::Running => blockers.insert(0, Blocker::NotRequested),
            State::Undetermined => blockers.insert(0, Blocker::Undetermined),
            _ => {}
        }
        if !sagas.first_recovery_complete {
            blockers.push(Blocker::FirstRecovery);
        }
        if sagas.reassignment_pending {
            blockers.push(Blocker::Reassignment);
        }
        if sagas.reassignment_generation > sagas.recovered_reassignment_generation {
            blockers.push(Blocker::RecoveryOfReassigned);
        }
        blockers.extend(status.db_claims.iter().map(|claim| Blocker::DbClaim {
            id: claim.id,
            since: claim.held_since,
            age_secs: age_secs(claim.held_since),
            debug: claim.debug.clone(),
        }));
        blockers
    }
}

impl State {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Undetermined => "undetermined",
            Self::Running => "running",
            Self::DrainingSagas => "draining sagas",
            Self::DrainingDb => "draining database",
            Self::RecordingQuiesce => "recording",
            Self::Quiesced => "quiesced",
            Self::NotOffered => "cannot quiesce",
            Self::NoAnswer => "no answer",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(secs: i64) -> Time {
        Time::from_timestamp(1_800_000_000 + secs, 0).expect("a time")
    }

    fn sec(status: Value) -> SecQuiescence {
        let understood = serde_json::from_value(status.clone()).expect("a status");
        SecQuiescence::answered(None, "http://h:1".to_owned(), understood, status)
    }

    fn draining(sagas: Value, claims: Value) -> Value {
        let mut all = json!({"new_sagas_allowed": "disallowed_quiesce", "sagas_pending": [],
            "first_recovery_complete": true, "reassignment_generation": 1, "reassignment_pending": false,
            "recovered_reassignment_generation": 1});
        for (key, value) in sagas.as_object().expect("an object") {
            all[key] = value.clone();
        }
        json!({"state": {"state": "draining_sagas", "quiesce_details": {"time_requested": at(0)}},
            "sagas": all, "db_claims": claims})
    }

    #[test]
    fn everything_that_blocks_is_told_and_nothing_else() {
        let saga = |number: u128, since: i64| {
            json!({"saga_id": uuid::Uuid::from_u128(number), "saga_name": "s", "time_pending": at(since),
                "recovered": true})
        };
        let claim = json!([{"id": 5, "held_since": at(-30), "debug": "trace"}]);
        let words = |status: Value| -> Vec<String> {
            sec(status)
                .blockers(at(10))
                .iter()
                .map(|blocker| match blocker {
                    Blocker::Saga { saga_id, age_secs, .. } => {
                        format!("saga {} {age_secs}", saga_id.as_uuid().as_u128())
                    }
                    Blocker::DbClaim { id, age_secs, .. } => format!("claim {id} {age_secs}"),
                    other => serde_json::to_value(other).expect("JSON")["blocker"]
                        .as_str()
                        .expect("a word")
                        .to_owned(),
                })
                .collect()
        };
        assert_eq!(
            words(draining(json!({"sagas_pending": [saga(2, 5), saga(1, -7)]}), json!([]))),
            ["saga 1 17", "saga 2 5"]
        );
        assert_eq!(words(draining(json!({}), claim)), ["claim 5 40"]);
        assert_eq!(words(draining(json!({"first_recovery_complete": false}), json!([]))), ["first_recovery"]);
        assert_eq!(words(draining(json!({"reassignment_pending": true}), json!([]))), ["reassignment"]);
        assert_eq!(
            words(draining(json!({"reassignment_generation": 2}), json!([]))),
            ["recovery_of_reassigned"]
        );
        let mut running = draining(json!({}), json!([]));
        running["state"] = json!({"state": "running"});
        assert_eq!(words(running), ["not_requested"]);
        let gone = SecQuiescence::without(None, String::new(), State::NoAnswer, Some("x".to_owned()));
        assert_eq!(gone.blockers(at(0)), [Blocker::NoAnswer { error: "x".to_owned() }]);
    }

    #[test]
    fn every_coordinator_is_counted_once() {
        let states = [
            State::Undetermined,
            State::Running,
            State::DrainingSagas,
            State::DrainingDb,
            State::RecordingQuiesce,
            State::Quiesced,
            State::NotOffered,
            State::NoAnswer,
        ];
        let all = states.map(|state| SecQuiescence {
            sagas_pending: Some(3),
            ..SecQuiescence::without(None, String::new(), state, None)
        });
        let Total { secs, running, draining, quiesced, unknown, sagas_pending } =
            Quiescence::of(all.into()).total;
        assert_eq!((secs, running, draining, quiesced, unknown, sagas_pending), (8, 2, 3, 1, 2, 24));
    }
}

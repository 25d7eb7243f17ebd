//! Giving a saga up: nobody will run it again, and nothing that it did is undone. Pure.

use super::{Decision, Plan, Refusal, SecCheck, Writes, name, owner, seen};
use crate::observe::why::{EngineKind, Why};
use crate::saga_log::Reading;
use crate::saga_log::record::SagaRecord;
use crate::store::amend::Capability;
use crate::wire::field::Field;
use crate::wire::sagas::CachedState;
use crate::wire::time::Time;

/// The word that is stored for an operator's decision. There are two others, which mean that programs decided; the enum
/// and its words are Nexus's.
pub const REASON: &str = "omdb";

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is to be written down.
    pub comment: String,
    /// When.
    pub time: Time,
    /// Whether the owner must be down.
    pub check: SecCheck,
}

/// Decides what is to be done.
pub fn plan(
    reading: &Reading<'_>,
    why: &Why,
    engine: EngineKind,
    capability: &Capability,
    request: &Request,
) -> Decision {
    decide(reading, why, engine, capability, request).unwrap_or_else(Decision::from)
}

fn decide(
    reading: &Reading<'_>,
    why: &Why,
    engine: EngineKind,
    capability: &Capability,
    request: &Request,
) -> Result<Decision, Refusal> {
    let id = reading.records.id;
    let seen = seen(reading)?;
    match reading.state() {
        Some(CachedState::Abandoned) => {
            return Ok(Decision::AlreadySo(already(reading.records.saga.as_ref())));
        }
        Some(CachedState::Done) => {
            return Err(Refusal::new(format!(
                "saga {id} has come to its end, so there is nothing to give up"
            ))
            .hint(format!("`sagactl sagas show {id}` shows how it ended")));
        }
        Some(CachedState::Running | CachedState::Unwinding) => {}
        None => {
            return Err(Refusal::new(format!(
                "saga {id} is in state {:?}, which this program does not know",
                seen.state
            )));
        }
    }
    let metadata = match capability {
        Capability::Full => true,
        Capability::StateOnly => false,
        Capability::None(reason) => return Err(Refusal::new(reason.clone())),
    };
    let mut warnings = owner::check(&why.owner, engine, request.check)?;
    if !metadata {
        warnings.push(
            "this database has no columns for when and why a saga was abandoned: only the state will be written"
                .to_owned(),
        );
    }
    if reading.outcome.is_some() {
        warnings.push("its log has come to its end: recovery would only write the state".to_owned());
    }
    if engine == EngineKind::Nexus {
        warnings.push(
            "locks that it holds are not released: instance.updater_id, and operating_saga_id in region_replacement, \
             region_snapshot_replacement, region_snapshot_replacement_step and user_data_export"
                .to_owned(),
        );
    }
    Ok(Decision::Do(Box::new(Plan {
        saga_id: id,
        name: name(reading),
        seen,
        owner: why.owner.clone(),
        last_event: why.last_event,
        writes: Writes::Abandon {
            time: request.time,
            reason: metadata.then_some(REASON),
            comment: metadata.then(|| request.comment.clone()),
        },
        not_undone: reading.left_standing(),
        cut_off: reading.open.iter().map(|step| reading.node_ref(step.node)).collect(),
        warnings,
    })))
}

/// How it was given up, as far as that is recorded.
pub(super) fn already(saga: Option<&SagaRecord>) -> String {
    let Some(saga) = saga else { return "it is already abandoned".to_owned() };
    let since = match &saga.abandon_time {
        Field::Value(time) => format!(" since {}", crate::wire::time::to_stored(*time)),
        _ => String::new(),
    };
    let reason = match &saga.abandon_reason {
        Field::Value(reason) => format!(", for reason {reason:?}"),
        _ => String::new(),
    };
    let comment = match &saga.abandon_comment {
        Field::Value(comment) => format!(": {comment}"),
        _ => String::new(),
    };
    format!("it is already abandoned{since}{reason}{comment}")
}

//! From what an examination found to what is wrong. Pure.

use crate::wire::ids::{SagaId, SecId};
use crate::wire::time::Time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What counts as wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Oldest heartbeat of the coordinator.
    pub max_beat: Duration,
    /// Longest time since the last recovery pass; `None` for two periods of the task.
    pub max_age: Option<Duration>,
    /// Longest recovery pass.
    pub max_pass: Duration,
    /// Longest time without an event in an unfinished saga.
    pub max_idle: Duration,
}

/// One look at a coordinator from all sides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Examination {
    /// What the internal API says, or why it says nothing.
    pub api: Option<Result<ApiSigns, String>>,
    /// The coordinator's heartbeat file, if one is to be looked at.
    pub heartbeat: Option<Heartbeat>,
    /// Sagas that have had no event for too long, or that recovery failed for; `None` if the database was not asked.
    pub sagas: Option<Vec<Suspect>>,
    /// If the coordinator is not well itself: the sagas that it was busy with last.
    pub last_busy: Vec<Suspect>,
}

/// What the internal API says.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiSigns {
    /// Who it is.
    pub sec_id: Option<SecId>,
    /// When its process started.
    pub time_started: Option<Time>,
    /// Time between two passes that nobody asked for.
    pub period: Duration,
    /// When the pass under way began.
    pub running_since: Option<Time>,
    /// When the last pass ended.
    pub last_ended: Option<Time>,
    /// Why the last pass did not go through, if so.
    pub last_failure: Option<String>,
    /// Sagas that the last pass could not recover, and why. Empty if it recovered all.
    pub not_recovered: BTreeMap<SagaId, String>,
}

/// A coordinator's heartbeat file.
#[derive(Clone, Debug, PartialEq)]
pub enum Heartbeat {
    /// When it was touched last.
    At(Time),
    /// There is none, or it cannot be read.
    Missing(String),
}

/// A saga that may be what is wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Suspect {
    /// Which.
    pub saga_id: SagaId,
    /// Its kind.
    pub name: Option<String>,
    /// The node that it is at.
    pub node: Option<String>,
    /// When its log last grew.
    pub last_event: Option<Time>,
}

/// A way of not being healthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The internal API does not answer.
    ApiSilent,
    /// The heartbeat file is not touched any more: nothing runs sagas.
    HeartbeatStale,
    /// No recovery pass for too long.
    PassOverdue,
    /// A recovery pass does not come to its end.
    PassHung,
    /// The last recovery pass did not go through.
    PassFailed,
    /// A saga cannot be recovered.
    SagaNotRecovered,
    /// A saga has had no event for too long.
    SagaIdle,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// In what way.
    pub kind: Kind,
    /// In words.
    pub detail: String,
    /// The saga that it is about, or those that may be to blame.
    pub sagas: Vec<Suspect>,
}

/// What makes two findings the same problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// In what way.
    pub kind: Kind,
    /// The saga, for problems of one.
    pub saga_id: Option<SagaId>,
}

impl Finding {
    /// What makes it the same problem as another.
    pub fn key(&self) -> Key {
        let saga_id =
            if self.kind.is_of_a_saga() { self.sagas.first().map(|saga| saga.saga_id) } else { None };
        Key { kind: self.kind, saga_id }
    }
}

impl Kind {
    /// Whether it is about one saga rather than the coordinator.
    pub fn is_of_a_saga(self) -> bool {
        matches!(self, Self::SagaNotRecovered | Self::SagaIdle)
    }

    /// Whether asking the coordinator for anything is in vain.
    pub fn is_deaf(self) -> bool {
        matches!(self, Self::ApiSilent | Self::HeartbeatStale)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ApiSilent => "api silent",
            Self::HeartbeatStale => "heartbeat stale",
            Self::PassOverdue => "pass overdue",
            Self::PassHung => "pass hung",
            Self::PassFailed => "pass failed",
            Self::SagaNotRecovered => "saga not recovered",
            Self::SagaIdle => "saga idle",
        })
    }
}

/// Says what is wrong. Nothing that was not looked at is.
pub fn judge(examination: &Examination, limits: &Limits, now: Time) -> Vec<Finding> {
    let Examination { api, heartbeat, sagas, last_busy } = examination;
    let age = |time: Time| now.signed_duration_since(time).to_std().unwrap_or_default();
    let words =
        |duration: Duration| humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string();
    let mut findings = Vec::new();
    let mut coordinator = |kind, detail: String| {
        findings.push(Finding { kind, detail, sagas: last_busy.clone() });
    };
    match heartbeat {
        Some(Heartbeat::Missing(reason)) => coordinator(Kind::HeartbeatStale, reason.clone()),
        Some(Heartbeat::At(time)) if age(*time) > limits.max_beat => {
            coordinator(Kind::HeartbeatStale, format!("not touched for {}", words(age(*time))));
        }
        _ => {}
    }
    let signs = match api {
        None => None,
        Some(Err(reason)) => {
            coordinator(Kind::ApiSilent, reason.clone());
            None
        }
        Some(Ok(signs)) => Some(signs),
    };
    if let Some(signs) = signs {
        let max_age = limits.max_age.unwrap_or(signs.period * 2);
        match (signs.running_since, signs.last_ended.or(signs.time_started)) {
            (Some(since), _) if age(since) > limits.max_pass => {
                coordinator(Kind::PassHung, format!("the pass under way began {} ago", words(age(since))));
            }
            (None, Some(last)) if age(last) > max_age => {
                coordinator(Kind::PassOverdue, format!("no pass for {}", words(age(last))));
            }
            _ => {}
        }
        if let Some(reason) = &signs.last_failure {
            coordinator(Kind::PassFailed, reason.clone());
        }
    }
    let not_recovered = signs.map(|signs| &signs.not_recovered);
    for suspect in sagas.iter().flatten() {
        let reason = not_recovered.and_then(|sagas| sagas.get(&suspect.saga_id));
        let (kind, detail) = match (reason, suspect.last_event) {
            (Some(reason), _) => (Kind::SagaNotRecovered, reason.clone()),
            (None, Some(last)) => (Kind::SagaIdle, format!("no event for {}", words(age(last)))),
            (None, None) => (Kind::SagaIdle, "no event at all".to_owned()),
        };
        findings.push(Finding { kind, detail, sagas: vec![suspect.clone()] });
    }
    // Without a database the coordinator's own word has to do.
    if let (None, Some(not_recovered)) = (sagas, not_recovered) {
        for (saga_id, reason) in not_recovered {
            let suspect = Suspect { saga_id: *saga_id, name: None, node: None, last_event: None };
            findings.push(Finding {
                kind: Kind::SagaNotRecovered,
                detail: reason.clone(),
                sagas: vec![suspect],
            });
        }
    }
    findings
}

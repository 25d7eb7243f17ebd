//! What to do about what is wrong, and when to stop. Pure: time comes in as an argument.
//!
//! ```text
//!              findings                     remedy done
//!   healthy ─────────────> wrong, may act ──────────────> waiting for it to work ──> settling ──> healthy
//!                            │   ^   │                        │ (problems stay)  ^      │ (come back)
//!                            │   └───┼────────────────────────┘                  └──────┘
//!                            │       │ no progress in N remedies, or none left
//!                            │       └─────> escalated: nothing more is done until the problems change
//!                            │ backoff, cap per hour
//!                            └─────> waiting
//! ```
//!
//! Progress is a problem gone that was there when the remedy was taken, or an event more in a saga that was the problem. It
//! starts the count of remedies anew. Being healthy for a moment is not progress: a coordinator that a saga kills at each
//! start is healthy between two crashes. Only problems that stay away for [`Rules::settle`] end an incident.

use super::health::{Finding, Key, Kind, Suspect};
use crate::wire::ids::SecId;
use crate::wire::time::Time;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Problems of the past that are kept.
const HISTORY: usize = 200;

/// How to act.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Whether there is a command that restarts the coordinator.
    pub can_restart: bool,
    /// Whether the coordinator may be asked for a recovery pass.
    pub can_activate: bool,
    /// How long a remedy has to show that it worked.
    pub verify_within: Duration,
    /// How long problems have to stay away until the incident is over.
    pub settle: Duration,
    /// Wait after a first remedy that did not work; doubled each time.
    pub backoff: Duration,
    /// Remedies without progress after which it is a person's turn.
    pub max_remedies: u32,
    /// Remedies per hour, whatever the progress.
    pub max_per_hour: u32,
}

/// Something that can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remedy {
    /// Ask for a recovery pass.
    Activate,
    /// Run the operator's command.
    Restart,
}

/// Something that a watchdog tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub time: Time,
    /// What.
    #[serde(flatten)]
    pub step: Step,
}

/// A step of the chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Step {
    /// Something is wrong that was not.
    Flagged {
        /// What.
        problem: Finding,
    },
    /// It is not wrong any more.
    Cleared {
        /// What.
        problem: Finding,
        /// Since when it was wrong.
        since: Time,
    },
    /// Something was done about it.
    Remedied {
        /// What.
        remedy: Remedy,
        /// Which attempt this is without progress.
        attempt: u32,
        /// Why it could not be done, if so.
        error: Option<String>,
    },
    /// The problems went after it.
    Verified {
        /// After what.
        remedy: Remedy,
    },
    /// The problems did not go in time.
    NotVerified {
        /// After what.
        remedy: Remedy,
        /// Whether at least something has changed.
        progress: bool,
    },
    /// Nothing more is done until something changes: it is a person's turn.
    Escalated {
        /// Why.
        reason: Escalation,
        /// Remedies that brought no progress.
        attempts: u32,
        /// What is wrong.
        problems: Vec<Finding>,
        /// The sagas that are to blame, as far as can be told.
        poison: Vec<Suspect>,
    },
}

/// Why it is a person's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Escalation {
    /// The remedies brought no progress.
    NoProgress,
    /// There were too many in an hour.
    TooManyPerHour,
    /// There is nothing that could be done.
    NoRemedy,
}

/// Everything that a watchdog keeps. It is its state file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// When it was brought up to date; findings of a watchdog that is gone grow old.
    pub time: Option<Time>,
    /// Whom it watches, as that said last.
    pub sec_id: Option<SecId>,
    /// Where the database was, for when the coordinator does not say.
    pub db_url: Option<String>,
    /// What is wrong.
    pub problems: Vec<Flag>,
    /// What was wrong, oldest first.
    pub history: VecDeque<Past>,
    incident: Option<Incident>,
    /// When something was done in the last hour.
    remedies: Vec<Time>,
}

/// A problem since a moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flag {
    /// What.
    #[serde(flatten)]
    pub finding: Finding,
    /// Since when.
    pub since: Time,
}

/// A problem that is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Past {
    /// What.
    #[serde(flatten)]
    pub finding: Finding,
    /// Since when it was wrong.
    pub since: Time,
    /// Until when.
    pub until: Time,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Incident {
    /// Remedies since the last progress.
    attempts: u32,
    has_activated: bool,
    last: Option<Attempt>,
    /// Why a person was called, and the problems at that time.
    escalated: Option<(Escalation, Vec<Mark>)>,
    healthy_since: Option<Time>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Attempt {
    remedy: Remedy,
    time: Time,
    /// Whether it is still to be seen if it worked.
    is_open: bool,
    /// The problems that it was to cure.
    before: Vec<Mark>,
}

/// A problem, and how far its saga had come.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Mark {
    key: Key,
    last_event: Option<Time>,
}

impl Policy {
    /// Whether nothing is wrong.
    pub fn is_healthy(&self) -> bool {
        self.problems.is_empty()
    }

    /// Takes in what is wrong now, and answers what there is to tell and, if anything is to be done, what.
    pub fn step(&mut self, findings: Vec<Finding>, rules: &Rules, now: Time) -> (Vec<Event>, Option<Remedy>) {
        let mut steps = self.flag(findings, now);
        let remedy = self.decide(rules, now, &mut steps);
        self.time = Some(now);
        (steps.into_iter().map(|step| Event { time: now, step }).collect(), remedy)
    }

    /// Takes in what is wrong now, for a watchdog that leaves acting to another.
    pub fn observe(&mut self, findings: Vec<Finding>, now: Time) -> Vec<Event> {
        self.time = Some(now);
        self.flag(findings, now).into_iter().map(|step| Event { time: now, step }).collect()
    }

    /// Writes down that a remedy is taken. To be kept before it is carried out: a watchdog that dies of its remedy must not
    /// forget that it took it.
    pub fn begin(&mut self, remedy: Remedy, now: Time) {
        let before = self.marks();
        self.remedies.push(now);
        let incident = self.incident.get_or_insert_with(Incident::new);
        incident.attempts += 1;
        incident.has_activated |= remedy == Remedy::Activate;
        incident.last = Some(Attempt { remedy, time: now, is_open: true, before });
    }

    /// What there is to tell of a remedy that was carried out, or could not be.
    pub fn remedied(&self, remedy: Remedy, error: Option<String>, now: Time) -> Event {
        let attempt = self.incident.as_ref().map_or(0, |incident| incident.attempts);
        Event { time: now, step: Step::Remedied { remedy, attempt, error } }
    }

    /// Whether it is a person's turn.
    pub fn is_escalated(&self) -> bool {
        self.incident.as_ref().is_some_and(|incident| incident.escalated.is_some())
    }

    fn marks(&self) -> Vec<Mark> {
        let mark = |flag: &Flag| Mark {
            key: flag.finding.key(),
            last_event: match flag.finding.kind.is_of_a_saga() {
                true => flag.finding.sagas.first().and_then(|saga| saga.last_event),
                false => None,
            },
        };
        self.problems.iter().map(mark).collect()
    }

    /// Compares what is wrong with what was.
    fn flag(&mut self, findings: Vec<Finding>, now: Time) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut before: BTreeMap<Key, Flag> =
            std::mem::take(&mut self.problems).into_iter().map(|flag| (flag.finding.key(), flag)).collect();
        for finding in findings {
            let since = match before.remove(&finding.key()) {
                Some(flag) => flag.since,
                None => {
                    steps.push(Step::Flagged { problem: finding.clone() });
                    now
                }
            };
            self.problems.push(Flag { finding, since });
        }
        for Flag { finding, since } in before.into_values() {
            self.history.push_back(Past { finding: finding.clone(), since, until: now });
            steps.push(Step::Cleared { problem: finding, since });
        }
        let overflow = self.history.len().saturating_sub(HISTORY);
        self.history.drain(..overflow);
        steps
    }

    fn decide(&mut self, rules: &Rules, now: Time, steps: &mut Vec<Step>) -> Option<Remedy> {
        let elapsed = |since: Time| now.signed_duration_since(since).to_std().unwrap_or_default();
        self.remedies.retain(|time| elapsed(*time) < Duration::from_secs(3600));
        let marks = self.marks();
        if marks.is_empty() {
            let incident = self.incident.as_mut()?;
            let healthy_since = *incident.healthy_since.get_or_insert(now);
            if elapsed(healthy_since) >= rules.settle {
                steps.extend(incident.last.as_ref().filter(|last| last.is_open).map(|last| {
                    let remedy = last.remedy;
                    Step::Verified { remedy }
                }));
                self.incident = None;
            }
            return None;
        }
        let incident = self.incident.get_or_insert_with(Incident::new);
        incident.healthy_since = None;
        if let Some(last) = incident.last.as_mut().filter(|last| last.is_open) {
            if elapsed(last.time) < rules.verify_within {
                return None;
            }
            last.is_open = false;
            let progress = has_progressed(&last.before, &marks);
            steps.push(Step::NotVerified { remedy: last.remedy, progress });
            if progress {
                incident.attempts = 0;
                incident.has_activated = false;
            }
        }
        match &incident.escalated {
            // What a person was called for has changed; it may be worth another try.
            Some((_, before)) if has_progressed(before, &marks) => *incident = Incident::new(),
            Some((Escalation::TooManyPerHour, _)) if self.remedies.len() < rules.max_per_hour as usize => {
                incident.escalated = None;
            }
            Some(_) => return None,
            None => {}
        }
        let is_deaf = marks.iter().any(|mark| mark.key.kind.is_deaf());
        let can_activate = rules.can_activate && !is_deaf;
        let remedy = match (can_activate && !incident.has_activated, rules.can_restart) {
            (true, _) => Some(Remedy::Activate),
            (false, true) => Some(Remedy::Restart),
            (false, false) => can_activate.then_some(Remedy::Activate),
        };
        let reason = match remedy {
            _ if incident.attempts >= rules.max_remedies => Escalation::NoProgress,
            None => Escalation::NoRemedy,
            Some(_) if self.remedies.len() >= rules.max_per_hour as usize => Escalation::TooManyPerHour,
            Some(remedy) => {
                let wait = rules.backoff * 2_u32.saturating_pow(incident.attempts.saturating_sub(1));
                let is_due = incident.last.as_ref().is_none_or(|last| elapsed(last.time) >= wait);
                return is_due.then_some(remedy);
            }
        };
        incident.escalated = Some((reason, marks));
        let attempts = incident.attempts;
        let problems: Vec<Finding> = self.problems.iter().map(|flag| flag.finding.clone()).collect();
        let poison = poison(&problems);
        steps.push(Step::Escalated { reason, attempts, problems, poison });
        None
    }
}

impl Incident {
    fn new() -> Self {
        Self { attempts: 0, has_activated: false, last: None, escalated: None, healthy_since: None }
    }
}

/// Whether some problem is gone, or its saga has come further. Problems that are new are no progress.
fn has_progressed(before: &[Mark], now: &[Mark]) -> bool {
    before.iter().any(|mark| match now.iter().find(|other| other.key == mark.key) {
        None => true,
        Some(other) => other.last_event != mark.last_event,
    })
}

/// The sagas to blame: those that are themselves the problem, else those that the coordinator was busy with last.
fn poison(problems: &[Finding]) -> Vec<Suspect> {
    let of_sagas = |wanted: bool| {
        let mut suspects: Vec<Suspect> = Vec::new();
        for problem in problems.iter().filter(|problem| problem.kind.is_of_a_saga() == wanted) {
            for saga in &problem.sagas {
                if suspects.iter().all(|known| known.saga_id != saga.saga_id) {
                    suspects.push(saga.clone());
                }
            }
        }
        suspects
    };
    // A saga that cannot be recovered explains more than one that is idle.
    let worst: Vec<Suspect> = problems
        .iter()
        .filter(|problem| problem.kind == Kind::SagaNotRecovered)
        .flat_map(|problem| problem.sagas.clone())
        .collect();
    match (worst.is_empty(), of_sagas(true)) {
        (false, _) => worst,
        (true, sagas) if !sagas.is_empty() => sagas,
        (true, _) => of_sagas(false),
    }
}

//! Stories of one coordinator each, and a random one for what must hold in all.

use super::files::{load_policy, save_policy, tell_service_manager};
use super::health::{ApiSigns, Examination, Finding, Heartbeat, Kind, Limits, Suspect, judge};
use super::policy::{Escalation, Event, Policy, Remedy, Rules, Step};
use crate::wire::ids::SagaId;
use crate::wire::time::Time;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;
use uuid::Uuid;

const RULES: Rules = Rules {
    can_restart: true,
    can_activate: true,
    verify_within: Duration::from_secs(20),
    settle: Duration::from_secs(30),
    backoff: Duration::from_secs(10),
    max_remedies: 3,
    max_per_hour: 6,
};

fn at(secs: i64) -> Time {
    Time::from_timestamp(1_800_000_000 + secs, 0).expect("a time in range")
}

fn suspect(number: u128, last_event: i64) -> Suspect {
    Suspect {
        saga_id: SagaId::from_uuid(Uuid::from_u128(number)),
        name: Some("demo".to_owned()),
        node: Some("wait".to_owned()),
        last_event: Some(at(last_event)),
    }
}

fn silent() -> Finding {
    Finding { kind: Kind::ApiSilent, detail: "no answer".to_owned(), sagas: vec![suspect(7, -3)] }
}

fn idle(number: u128, last_event: i64) -> Finding {
    Finding { kind: Kind::SagaIdle, detail: "no event".to_owned(), sagas: vec![suspect(number, last_event)] }
}

/// A watchdog whose remedies are carried out at once, with what it told since it was asked last.
struct Dog {
    policy: Policy,
    rules: Rules,
    remedies: Vec<Remedy>,
}

impl Dog {
    fn new(rules: Rules) -> Self {
        Self { policy: Policy::default(), rules, remedies: Vec::new() }
    }

    fn look(&mut self, secs: i64, findings: &[Finding]) -> Vec<String> {
        let (events, remedy) = self.policy.step(findings.to_vec(), &self.rules, at(secs));
        let mut told: Vec<String> = events.iter().map(word).collect();
        if let Some(remedy) = remedy {
            self.policy.begin(remedy, at(secs));
            self.remedies.push(remedy);
            told.push(word(&self.policy.remedied(remedy, None, at(secs))));
        }
        told
    }

    /// Looks every five seconds for so long.
    fn looks(&mut self, secs: std::ops::Range<i64>, findings: &[Finding]) -> Vec<String> {
        secs.step_by(5).flat_map(|secs| self.look(secs, findings)).collect()
    }
}

fn word(event: &Event) -> String {
    match &event.step {
        Step::Flagged { problem } => format!("flagged {}", problem.kind),
        Step::Cleared { problem, .. } => format!("cleared {}", problem.kind),
        Step::Remedied { remedy, attempt, .. } => format!("{remedy:?} {attempt}"),
        Step::Verified { remedy } => format!("verified {remedy:?}"),
        Step::NotVerified { progress, .. } => format!("not verified, progress {progress}"),
        Step::Escalated { reason, poison, .. } => {
            let names: Vec<_> =
                poison.iter().map(|saga| saga.saga_id.as_uuid().as_u128().to_string()).collect();
            format!("escalated {reason:?} {}", names.join(" "))
        }
    }
}

#[test]
fn a_coordinator_that_does_not_answer_is_restarted_and_that_is_verified() {
    let mut dog = Dog::new(RULES);
    assert!(dog.look(0, &[]).is_empty());
    assert_eq!(dog.look(5, &[silent()]), ["flagged api silent", "Restart 1"]);
    assert!(dog.look(10, &[silent()]).is_empty(), "it has some time");
    assert_eq!(dog.look(15, &[]), ["cleared api silent"]);
    assert_eq!(dog.looks(20..45, &[]), [""; 0], "all has to stay well for some time");
    assert_eq!(dog.look(45, &[]), ["verified Restart"]);
    assert_eq!(dog.policy.history.len(), 1);
    assert_eq!((dog.policy.history[0].since, dog.policy.history[0].until), (at(5), at(15)));
}

#[test]
fn a_poison_saga_ends_the_remedies_and_is_named() {
    let mut dog = Dog::new(RULES);
    let told = dog.looks(0..600, &[idle(42, -900)]);
    assert_eq!(
        told,
        [
            "flagged saga idle",
            "Activate 1",
            "not verified, progress false",
            "Restart 2",
            "not verified, progress false",
            "Restart 3",
            "not verified, progress false",
            "escalated NoProgress 42",
        ]
    );
    // It moves at last: that is worth another try, should it hang again.
    assert_eq!(dog.look(600, &[idle(42, 590)]), ["Activate 1"]);
}

#[test]
fn a_crash_loop_is_no_progress_however_often_it_looks_well_in_between() {
    let mut dog = Dog::new(RULES);
    let mut told = Vec::new();
    for secs in (0..900).step_by(5) {
        let is_well = (secs / 5) % 4 == 3;
        told.extend(dog.look(secs, if is_well { &[] } else { std::slice::from_ref(&NAMED) }));
    }
    let escalated: Vec<_> = told.iter().filter(|word| word.starts_with("escalated")).collect();
    assert_eq!(escalated, ["escalated NoProgress 7"], "{told:?}");
    assert_eq!(dog.remedies, [Remedy::Restart; 3]);
}

static NAMED: std::sync::LazyLock<Finding> = std::sync::LazyLock::new(silent);

#[test]
fn progress_starts_the_count_anew_and_the_hour_has_a_cap_all_the_same() {
    let mut dog = Dog::new(Rules { max_per_hour: 5, ..RULES });
    let mut told = Vec::new();
    // Each restart gets the saga one event further, and there it hangs again.
    for secs in (0..1_000).step_by(5) {
        told.extend(dog.look(secs, &[idle(42, dog.remedies.len() as i64)]));
    }
    assert_eq!(dog.remedies.len(), 5);
    assert_eq!(told.last().map(String::as_str), Some("escalated TooManyPerHour 42"));
    // The hour goes by.
    let last = i64::try_from(dog.remedies.len()).expect("few");
    let later = dog.looks(3_700..3_800, &[idle(42, last)]);
    assert!(later.iter().any(|word| word.contains("Activate") || word.contains("Restart")), "{later:?}");
}

#[test]
fn without_a_command_to_restart_it_says_that_nothing_is_left() {
    let mut dog = Dog::new(Rules { can_restart: false, ..RULES });
    assert_eq!(dog.look(0, &[silent()]), ["flagged api silent", "escalated NoRemedy 7"]);
    assert!(dog.looks(5..900, &[silent()]).is_empty());
    let mut dog = Dog::new(Rules { can_restart: false, ..RULES });
    dog.looks(0..900, &[idle(1, 0)]);
    assert_eq!(dog.remedies, [Remedy::Activate; 3], "what it can do it does");
}

fn findings() -> impl Strategy<Value = Vec<Finding>> {
    let finding = prop_oneof![
        Just(silent()),
        (1_u128..4, 0_i64..3).prop_map(|(number, last)| idle(number, last)),
        Just(Finding { kind: Kind::PassHung, detail: String::new(), sagas: Vec::new() }),
    ];
    prop::collection::vec(finding, 0..4).prop_map(|mut findings| {
        let mut seen = Vec::new();
        findings.retain(|finding| {
            let is_new = !seen.contains(&finding.key());
            seen.push(finding.key());
            is_new
        });
        findings
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens: no more remedies in an hour than allowed, none while nothing is wrong, none after an escalation until
    /// something changes, never two within the time that one has to work; each flag is cleared once; and a watchdog that is
    /// killed after each step goes on as if it had not been.
    #[test]
    fn remedies_are_bounded_whatever_happens(
        looks in prop::collection::vec((1_i64..60, findings()), 0..60),
        can_restart: bool,
    ) {
        let rules = Rules { can_restart, ..RULES };
        let mut policy = Policy::default();
        let mut taken: Vec<Time> = Vec::new();
        let mut flagged = Vec::new();
        let mut now = at(0);
        let mut escalated_with: Option<Vec<Finding>> = None;
        for (wait, findings) in looks {
            now += Duration::from_secs(wait.unsigned_abs());
            policy = serde_json::from_slice(&serde_json::to_vec(&policy).expect("JSON")).expect("its own");
            let (events, remedy) = policy.step(findings.clone(), &rules, now);
            for event in &events {
                match &event.step {
                    Step::Flagged { problem } => {
                        prop_assert!(!flagged.contains(&problem.key()));
                        flagged.push(problem.key());
                    }
                    Step::Cleared { problem, .. } => {
                        let before = flagged.len();
                        flagged.retain(|key| *key != problem.key());
                        prop_assert_eq!(flagged.len() + 1, before);
                    }
                    Step::Escalated { reason, .. } if *reason != Escalation::TooManyPerHour => {
                        prop_assert!(remedy.is_none());
                        escalated_with = Some(findings.clone());
                    }
                    _ => {}
                }
            }
            let mut keys: Vec<_> = findings.iter().map(Finding::key).collect();
            keys.sort();
            flagged.sort();
            prop_assert_eq!(&keys, &flagged);
            if escalated_with.as_ref().is_some_and(|before| *before != findings) {
                escalated_with = None;
            }
            if let Some(remedy) = remedy {
                prop_assert!(!findings.is_empty());
                prop_assert!(escalated_with.is_none());
                prop_assert!(remedy == Remedy::Activate || can_restart);
                prop_assert!(taken.last().is_none_or(|last| now - *last >= chrono::TimeDelta::seconds(20)
                    || policy.history.back().is_some_and(|past| past.until > *last)));
                policy.begin(remedy, now);
                taken.push(now);
                let hour = taken.iter().filter(|time| now - **time < chrono::TimeDelta::hours(1)).count();
                prop_assert!(hour <= rules.max_per_hour as usize);
            }
        }
    }
}

const LIMITS: Limits = Limits {
    max_beat: Duration::from_secs(30),
    max_age: None,
    max_pass: Duration::from_secs(300),
    max_idle: Duration::from_secs(600),
};

fn signs() -> ApiSigns {
    ApiSigns {
        sec_id: None,
        time_started: Some(at(-5_000)),
        period: Duration::from_secs(600),
        running_since: None,
        last_ended: Some(at(-1_200)),
        last_failure: None,
        not_recovered: BTreeMap::new(),
    }
}

#[test]
fn each_limit_is_a_limit_and_what_was_not_looked_at_is_not_wrong() {
    let kinds = |examination: &Examination| {
        judge(examination, &LIMITS, at(0)).iter().map(|finding| finding.kind).collect::<Vec<_>>()
    };
    let with = |signs: ApiSigns| Examination { api: Some(Ok(signs)), ..Examination::default() };
    assert!(kinds(&Examination::default()).is_empty());
    assert!(kinds(&with(signs())).is_empty(), "two periods are just in time");
    for (signs, expected) in [
        (ApiSigns { last_ended: Some(at(-1_201)), ..signs() }, Kind::PassOverdue),
        (ApiSigns { last_ended: None, ..signs() }, Kind::PassOverdue),
        (ApiSigns { running_since: Some(at(-301)), ..signs() }, Kind::PassHung),
        (ApiSigns { last_failure: Some("no database".to_owned()), ..signs() }, Kind::PassFailed),
        (
            ApiSigns {
                not_recovered: BTreeMap::from([(suspect(1, 0).saga_id, "bad DAG".to_owned())]),
                ..signs()
            },
            Kind::SagaNotRecovered,
        ),
    ] {
        assert_eq!(kinds(&with(signs)), [expected]);
    }
    let running = ApiSigns { running_since: Some(at(-300)), last_ended: Some(at(-9_000)), ..signs() };
    assert!(kinds(&with(running)).is_empty(), "a pass that runs is not overdue");
    let beat = |heartbeat| Examination { heartbeat: Some(heartbeat), ..Examination::default() };
    assert!(kinds(&beat(Heartbeat::At(at(-30)))).is_empty());
    assert_eq!(kinds(&beat(Heartbeat::At(at(-31)))), [Kind::HeartbeatStale]);
    assert_eq!(kinds(&beat(Heartbeat::Missing("gone".to_owned()))), [Kind::HeartbeatStale]);
    let sagas = Examination { sagas: Some(vec![suspect(1, -700)]), ..Examination::default() };
    assert_eq!(kinds(&sagas), [Kind::SagaIdle]);
}

#[test]
fn the_state_file_is_kept_whole() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let path = dir.path().join("state");
    assert_eq!(load_policy(&path).expect("readable"), None);
    let mut policy = Policy::default();
    policy.step(vec![silent(), idle(3, 4)], &RULES, at(0));
    policy.begin(Remedy::Restart, at(1));
    save_policy(&path, &policy).expect("written");
    assert_eq!(load_policy(&path).expect("readable"), Some(policy));
    std::fs::write(&path, "{").expect("written");
    assert!(load_policy(&path).is_err());
}

#[test]
fn the_service_manager_is_told_that_it_lives() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let path = dir.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).expect("a socket");
    tell_service_manager(path.to_str().expect("text")).expect("somebody listens");
    let mut said = [0; 64];
    let length = socket.recv(&mut said).expect("a message");
    assert_eq!(&said[..length], b"READY=1\nWATCHDOG=1");
    drop(socket);
    assert!(tell_service_manager(path.to_str().expect("text")).is_err());
}

//! Every verdict, from facts alone.

use super::judge::judge;
use super::*;
use crate::saga_log::Reading;
use crate::saga_log::record::{EventRecord, SagaRecord, SagaRecords};
use crate::store::inspect::saga::{SecRecord, SecTable};
use crate::wire::recovery::RecoveryFailureKind;
use serde_json::json;
use uuid::Uuid;

fn sec(number: u128) -> SecId {
    SecId::from_uuid(Uuid::from_u128(number))
}

fn at(secs: i64) -> Time {
    Time::from_timestamp(1_700_000_000 + secs, 0).expect("a time")
}

const NOW: i64 = 1_000;

/// A saga `start → a → (b ∥ c) → d → end`, nodes 0 to 3, start 4, end 5, created at second 0 and owned by SEC 1.
fn saga(state: &str, events: &[(i64, &str)]) -> SagaRecords {
    let action = |name: &str| json!({"Action": {"name": name, "label": name, "action_name": name}});
    let dag = json!({"saga_name": "diamond", "start_node": 4, "end_node": 5, "graph": {
        "nodes": [action("a"), action("b"), action("c"), action("d"), {"Start": {"params": {}}}, "End"],
        "node_holes": [], "edge_property": "directed",
        "edges": [[4, 0, null], [0, 1, null], [0, 2, null], [1, 3, null], [2, 3, null], [3, 5, null]]}});
    let id = SagaId::from_uuid(Uuid::from_u128(7));
    let data = |event_type: &str| match event_type {
        "succeeded" => Field::Value("null".to_owned()),
        "failed" => Field::Value(r#"{"ActionFailed":{"source_error":"no room"}}"#.to_owned()),
        _ => Field::Null,
    };
    SagaRecords {
        id,
        saga: Some(SagaRecord {
            id,
            creator: Field::Value(sec(1)),
            time_created: Field::Value(at(0)),
            name: Field::Value("diamond".to_owned()),
            state: Field::Value(state.to_owned()),
            current_sec: Field::Value(sec(1)),
            adopt_generation: Field::Value(1),
            adopt_time: Field::Value(at(0)),
            abandon_time: Field::Null,
            abandon_reason: Field::Null,
            abandon_comment: Field::Null,
        }),
        dag: Field::Value(dag.to_string()),
        events: (1..)
            .zip(events)
            .map(|(second, &(node_id, event_type))| EventRecord {
                node_id,
                event_type: event_type.to_owned(),
                data: data(event_type),
                time: Field::Value(at(second)),
                creator: Field::Value(sec(1)),
            })
            .collect(),
    }
}

const STARTED: [(i64, &str); 3] = [(4, "started"), (4, "succeeded"), (0, "started")];
const FORKED: [(i64, &str); 6] =
    [(4, "started"), (4, "succeeded"), (0, "started"), (0, "succeeded"), (1, "started"), (2, "started")];

fn forked(more: &[(i64, &'static str)]) -> Vec<(i64, &'static str)> {
    [&FORKED[..], more].concat()
}

/// SEC 1 as the registry has it.
fn registered(state: &str, heartbeat: i64) -> Option<SecLookup> {
    Some(SecLookup::Row(SecRecord {
        id: sec(1),
        table: SecTable::Sec,
        state: Field::Value(state.to_owned()),
        internal_address: Field::Value("http://127.0.0.1:1".to_owned()),
        time_started: Field::Value(at(-100)),
        time_heartbeat: Field::Value(at(heartbeat)),
    }))
}

/// An owner that answers and has this to say of the saga.
fn alive(memory: Memory) -> OwnerFacts {
    OwnerFacts {
        registry: registered("active", NOW - 2),
        contact: Contact::Answers {
            at: "http://127.0.0.1:1".to_owned(),
            is_sure: true,
            process_started: Some(at(-100)),
        },
        memory,
        recovery: Some(recovery()),
        retry: None,
        engine: EngineKind::Ours,
    }
}

/// Recovery that last passed before the saga was made.
fn recovery() -> RecoveryFacts {
    RecoveryFacts {
        failure: None,
        failures: 0,
        recovered: None,
        last_success: Some(at(-50)),
        last_pass_failed: None,
        under_way: None,
        period: Duration::from_secs(600),
        next_pass: Some(at(550)),
    }
}

fn silent(is_conclusive: bool, heartbeat: i64) -> OwnerFacts {
    OwnerFacts {
        registry: registered("active", heartbeat),
        contact: Contact::Silent {
            at: "http://127.0.0.1:1".to_owned(),
            reason: "Connection refused".to_owned(),
            is_conclusive,
        },
        ..OwnerFacts::not_asked(None, EngineKind::Ours, "its owner does not answer")
    }
}

fn ask(records: &SagaRecords, facts: &OwnerFacts) -> Why {
    judge(&Reading::of(records), facts, at(NOW))
}

/// Verdict, node and second since.
fn told(records: &SagaRecords, facts: &OwnerFacts) -> (&'static str, Option<String>, Option<i64>) {
    let why = ask(records, facts);
    (why.verdict.as_str(), why.node, why.since.map(|since| since.timestamp() - at(0).timestamp()))
}

fn says(why: &Why, words: &str) -> bool {
    why.evidence.iter().any(|evidence| evidence.text.contains(words))
}

#[test]
fn a_saga_that_its_owner_runs() {
    let running = alive(Memory::Running);
    let node = |name: &str| Some(name.to_owned());
    assert_eq!(told(&saga("running", &STARTED), &running), ("running", node("a"), Some(3)));
    // Of two open nodes the one that began first is where it hangs.
    assert_eq!(told(&saga("running", &FORKED), &running), ("running", node("b"), Some(5)));
    let between = saga("running", &FORKED[..4]);
    assert_eq!(told(&between, &running), ("between-nodes", node("b"), Some(4)));
    let unwinding = saga("unwinding", &forked(&[(1, "failed"), (2, "succeeded"), (2, "undo_started")]));
    assert_eq!(told(&unwinding, &running), ("unwinding", node("c"), Some(9)));
    let why = ask(&unwinding, &running);
    assert_eq!(why.failed.as_ref().and_then(|failed| failed.error.as_deref()), Some("no room"));
    assert!(says(&why, "after that undo of node 0 a"), "{:?}", why.evidence);
}

#[test]
fn an_action_that_is_tried_again_and_again() {
    let facts = OwnerFacts {
        retry: Some(RetryFacts { attempts: 17, last_error: Some("503".to_owned()) }),
        ..alive(Memory::Running)
    };
    let why = ask(&saga("running", &STARTED), &facts);
    assert_eq!(
        (why.verdict, why.attempts, why.last_error.as_deref()),
        (Verdict::Retrying, Some(17), Some("503"))
    );
    assert_eq!(why.node.as_deref(), Some("a"));
}

fn failure(kind: Option<RecoveryFailureKind>, second: i64) -> RecoveryFailure {
    RecoveryFailure {
        time: at(second),
        saga_id: SagaId::from_uuid(Uuid::from_u128(7)),
        current_sec: Some(sec(1)),
        kind,
        message: "could not load the saga".to_owned(),
    }
}

#[test]
fn a_saga_that_its_owner_does_not_run() {
    let records = saga("running", &STARTED);
    let with = |change: fn(&mut RecoveryFacts)| {
        let mut facts = alive(Memory::Missing);
        change(facts.recovery.as_mut().expect("recovery"));
        facts
    };
    // It has had no chance yet.
    let why = ask(&records, &with(|_| {}));
    assert_eq!((why.verdict, why.next_pass), (Verdict::WaitingForRecovery, Some(at(550))));
    assert!(says(&why, "the next recovery pass is due, one every 10m"));
    let verdict = |facts: &OwnerFacts| ask(&records, facts).verdict;
    assert_eq!(verdict(&with(|recovery| recovery.last_success = None)), Verdict::WaitingForRecovery);
    assert_eq!(
        verdict(&OwnerFacts { recovery: None, ..alive(Memory::Missing) }),
        Verdict::WaitingForRecovery
    );
    // It has had its chance.
    assert_eq!(verdict(&with(|recovery| recovery.last_success = Some(at(20)))), Verdict::Phantom);
    let in_the_act = with(|recovery| {
        recovery.last_success = Some(at(20));
        recovery.under_way = Some(at(999));
    });
    assert_eq!(verdict(&in_the_act), Verdict::WaitingForRecovery);
    assert_eq!(verdict(&alive(Memory::AtRest("succeeded".to_owned()))), Verdict::WaitingForRecovery);
    // It has come to this owner after the pass.
    let mut adopted = records.clone();
    adopted.saga.as_mut().expect("a row").adopt_time = Field::Value(at(30));
    assert_eq!(
        ask(&adopted, &with(|recovery| recovery.last_success = Some(at(20)))).verdict,
        Verdict::WaitingForRecovery
    );
    // It has tried and failed.
    let why = ask(
        &records,
        &with(|recovery| {
            recovery.failure = Some(failure(Some(RecoveryFailureKind::Transient), 20));
            recovery.failures = 3;
            recovery.last_success = Some(at(20));
        }),
    );
    assert_eq!((why.verdict, why.attempts), (Verdict::Retrying, Some(3)));
    assert_eq!(why.last_error.as_deref(), Some("could not load the saga"));
    let for_good = |kind| {
        let mut facts = alive(Memory::Missing);
        let recovery = facts.recovery.as_mut().expect("recovery");
        recovery.failure = Some(failure(kind, 20));
        facts
    };
    assert_eq!(verdict(&for_good(Some(RecoveryFailureKind::Permanent))), Verdict::Unrecoverable);
    assert_eq!(verdict(&for_good(None)), Verdict::Retrying, "an old Nexus does not say, and tries again");
    // What failed and then went well is history.
    let mut recovered = for_good(Some(RecoveryFailureKind::Permanent));
    recovered.recovery.as_mut().expect("recovery").recovered = Some(at(25));
    recovered.memory = Memory::Running;
    let why = ask(&records, &recovered);
    assert_eq!(why.verdict, Verdict::Running);
    assert!(says(&why, "runs at least for the second time"), "{:?}", why.evidence);
}

#[test]
fn owners_that_do_not_answer() {
    let records = saga("running", &STARTED);
    let liveness = |facts: &OwnerFacts| {
        let why = ask(&records, facts);
        (why.verdict, why.owner.liveness)
    };
    assert_eq!(liveness(&silent(true, NOW - 2)), (Verdict::OwnerDead, Liveness::Dead));
    assert_eq!(liveness(&silent(false, NOW - 16)), (Verdict::OwnerDead, Liveness::Dead));
    // It beats, so it may only be out of reach from here.
    assert_eq!(liveness(&silent(false, NOW - 15)), (Verdict::Running, Liveness::Unknown));
    let elsewhere = OwnerFacts {
        contact: Contact::SomebodyElse { at: "http://127.0.0.1:1".to_owned(), sec_id: sec(2) },
        ..silent(true, NOW)
    };
    assert_eq!(liveness(&elsewhere), (Verdict::OwnerDead, Liveness::Dead));
    let unasked = |heartbeat| OwnerFacts {
        contact: Contact::NotAsked("no address".to_owned()),
        ..silent(true, heartbeat)
    };
    assert_eq!(liveness(&unasked(NOW - 3)), (Verdict::Running, Liveness::Alive));
    assert_eq!(liveness(&unasked(0)), (Verdict::OwnerDead, Liveness::Dead));
    let nothing =
        OwnerFacts::not_asked(Some(SecLookup::NoTable), EngineKind::Nexus, "nobody said where it is");
    assert_eq!(liveness(&nothing), (Verdict::Running, Liveness::Unknown));
    let why = ask(&records, &silent(true, NOW));
    assert!(says(&why, "whoever takes it up runs again node 0 a"), "{:?}", why.evidence);
}

#[test]
fn owners_that_are_gone() {
    let records = saga("running", &STARTED);
    let with = |registry| OwnerFacts { registry: Some(registry), ..alive(Memory::NotTold(String::new())) };
    let expunged = OwnerFacts { registry: registered("expunged", NOW), ..alive(Memory::Missing) };
    let why = ask(&records, &expunged);
    assert_eq!((why.verdict, why.owner.liveness), (Verdict::OwnerGone, Liveness::Gone));
    assert!(why.next.iter().any(|line| line.contains("stop the old owner first")), "{:?}", why.next);
    for registry in [SecLookup::NoRow(SecTable::Sec), SecLookup::NoRow(SecTable::Nexus)] {
        assert_eq!(ask(&records, &with(registry)).verdict, Verdict::OwnerGone);
    }
    let Some(SecLookup::Row(record)) = registered("quiesced", NOW) else { panic!("a row") };
    let quiesced = SecLookup::Row(SecRecord { table: SecTable::Nexus, ..record });
    assert_eq!(ask(&records, &with(quiesced)).verdict, Verdict::OwnerGone);
    let mut nobodys = records;
    nobodys.saga.as_mut().expect("a row").current_sec = Field::Null;
    let why = ask(&nobodys, &OwnerFacts::not_asked(None, EngineKind::Ours, ""));
    assert_eq!(why.verdict, Verdict::OwnerGone);
    assert!(says(&why, "nobody owns it"));
}

#[test]
fn what_cannot_be_resumed_is_unrecoverable_whoever_owns_it() {
    let illegal = saga("running", &[(4, "started"), (0, "started")]);
    for facts in [silent(true, NOW), alive(Memory::Missing), alive(Memory::NotTold("503".to_owned()))] {
        let why = ask(&illegal, &facts);
        assert_eq!((why.verdict, why.node.as_deref()), (Verdict::Unrecoverable, Some("a")));
        assert!(
            says(
                &why,
                "(rule edge): node 0 a is running although node 4 (start), which leads to it, is running"
            ),
            "{:?}",
            why.evidence
        );
    }
    // A living owner that runs it needs no log.
    assert_eq!(ask(&illegal, &alive(Memory::Running)).verdict, Verdict::Running);
    let no_dag = SagaRecords { dag: Field::Value("{}".to_owned()), ..saga("running", &STARTED) };
    let why = ask(&no_dag, &silent(true, NOW));
    assert_eq!((why.verdict, why.node.as_deref()), (Verdict::Unrecoverable, Some("node 0")));
    let no_row = SagaRecords { saga: None, dag: Field::NoColumn, ..saga("running", &STARTED) };
    let nobody = OwnerFacts::not_asked(None, EngineKind::Ours, "");
    assert_eq!(ask(&no_row, &nobody).verdict, Verdict::Unrecoverable);
    let unknown_state = saga("hibernating", &STARTED);
    assert_eq!(ask(&unknown_state, &silent(true, NOW)).verdict, Verdict::Unrecoverable);
    // Done, and the log has no end.
    let why = ask(&saga("done", &STARTED), &nobody);
    assert_eq!(why.verdict, Verdict::Unrecoverable);
    assert!(says(&why, "nobody takes up a saga that is done"), "{:?}", why.evidence);
    assert_eq!(ask(&saga("done", &[]), &nobody).verdict, Verdict::Unrecoverable);
}

#[test]
fn a_nexus_in_the_middle_of_a_healthy_unwind_is_no_alarm() {
    let unwinding = saga(
        "unwinding",
        &forked(&[(1, "failed"), (2, "succeeded"), (2, "undo_started"), (2, "undo_finished")]),
    );
    let nexus = |contact: Contact, memory| OwnerFacts {
        contact,
        memory,
        engine: EngineKind::Nexus,
        ..alive(Memory::Running)
    };
    let answers = alive(Memory::Running).contact;
    let not_told = || Memory::NotTold("it has no such operation".to_owned());
    assert_eq!(ask(&unwinding, &nexus(answers.clone(), not_told())).verdict, Verdict::Unwinding);
    assert_eq!(ask(&unwinding, &nexus(answers, Memory::Running)).verdict, Verdict::Unwinding);
    // But after a restart it would never go on.
    let dead = nexus(silent(true, 0).contact, not_told());
    let why = ask(&unwinding, &dead);
    assert_eq!((why.verdict, why.node.as_deref()), (Verdict::Unrecoverable, Some("d")));
    assert!(why.legal.is_yes());
    assert!(says(&why, "steno#462"), "{:?}", why.evidence);
    // Our engine takes it.
    assert_eq!(ask(&unwinding, &OwnerFacts { engine: EngineKind::Ours, ..dead }).verdict, Verdict::OwnerDead);
}

#[test]
fn sagas_that_have_come_to_their_end() {
    let nobody = OwnerFacts::not_asked(None, EngineKind::Ours, "it is over");
    let all = [
        (4, "started"),
        (4, "succeeded"),
        (0, "started"),
        (0, "succeeded"),
        (1, "started"),
        (1, "succeeded"),
        (2, "started"),
        (2, "succeeded"),
        (3, "started"),
        (3, "succeeded"),
        (5, "started"),
        (5, "succeeded"),
    ];
    let why = ask(&saga("done", &all), &nobody);
    assert_eq!((why.verdict, why.owner.liveness), (Verdict::Succeeded, Liveness::NotAsked));
    assert!(why.next.is_empty(), "{:?}", why.next);
    let unwound = forked(&[
        (1, "failed"),
        (2, "succeeded"),
        (2, "undo_started"),
        (2, "undo_finished"),
        (0, "undo_started"),
        (0, "undo_finished"),
        (4, "undo_started"),
        (4, "undo_finished"),
    ]);
    let why = ask(&saga("done", &unwound), &nobody);
    assert_eq!((why.verdict, why.node.as_deref()), (Verdict::Failed, Some("b")));
    assert!(says(&why, "the action of node 1 b failed: no room"), "{:?}", why.evidence);
    assert!(says(&why, "node 1 b is never undone"), "{:?}", why.evidence);
    let stuck = forked(&[(1, "failed"), (2, "succeeded"), (2, "undo_started"), (2, "undo_failed")]);
    for state in ["done", "unwinding"] {
        let why = ask(&saga(state, &stuck), &nobody);
        assert_eq!((why.verdict, why.node.as_deref()), (Verdict::Stuck, Some("c")));
        assert_eq!(why.failed.as_ref().map(|failed| failed.node.name.as_str()), Some("b"));
        let undo = why.undo_failed.as_ref().expect("an undo that failed");
        assert_eq!((undo.node.name.as_str(), undo.error.as_deref()), ("c", None));
        assert!(says(&why, "not undone: node 0 a, node 2 c"), "{:?}", why.evidence);
        assert!(says(&why, "the undo action of node 2 c failed: the error is not recorded"));
    }
    // The last write of the state is outstanding.
    let why = ask(&saga("running", &all), &alive(Memory::Running));
    assert_eq!(why.verdict, Verdict::Succeeded);
    assert_eq!(
        ask(&saga("running", &all), &alive(Memory::AtRest("succeeded".to_owned()))).verdict,
        Verdict::Succeeded
    );
    assert_eq!(ask(&saga("running", &all), &silent(true, 0)).verdict, Verdict::OwnerDead);
}

#[test]
fn what_was_given_up_says_by_whom_and_why() {
    let mut records = saga("abandoned", &STARTED);
    let row = records.saga.as_mut().expect("a row");
    row.abandon_time = Field::Value(at(70));
    row.abandon_reason = Field::Value("omdb".to_owned());
    row.abandon_comment = Field::Value("it blocked the upgrade".to_owned());
    let why = ask(&records, &OwnerFacts::not_asked(None, EngineKind::Ours, "it is over"));
    assert_eq!((why.verdict, why.since), (Verdict::Abandoned, Some(at(70))));
    assert!(
        says(&why, "abandoned by an operator, for reason \"omdb\": it blocked the upgrade"),
        "{:?}",
        why.evidence
    );
    assert!(says(&why, "cut off in the middle: node 0 a"));
}

#[test]
fn every_verdict_has_a_word_of_its_own() {
    let all = [
        Verdict::Running,
        Verdict::Retrying,
        Verdict::BetweenNodes,
        Verdict::Unwinding,
        Verdict::WaitingForRecovery,
        Verdict::OwnerDead,
        Verdict::OwnerGone,
        Verdict::Phantom,
        Verdict::Unrecoverable,
        Verdict::Stuck,
        Verdict::Failed,
        Verdict::Abandoned,
        Verdict::Succeeded,
    ];
    for verdict in all {
        assert_eq!(serde_json::to_value(verdict).expect("a word"), verdict.as_str());
    }
}

#[test]
fn remedies_are_commands_that_can_be_copied() {
    let advises = |why: &Why, command: &str| {
        let command = format!("`{command}`");
        assert!(why.next.iter().any(|line| line.contains(&command)), "{command} in {:?}", why.next);
    };
    let running = saga("running", &STARTED);
    let id = running.id;
    let fresh = RecoveryFacts { last_success: Some(at(500)), ..recovery() };
    let why = ask(&running, &alive(Memory::Running));
    assert_eq!(why.verdict, Verdict::Running);
    advises(&why, &format!("sagactl sagas inject-error {id} -w"));
    let why = ask(&running, &silent(true, 0));
    assert_eq!(why.verdict, Verdict::OwnerDead);
    advises(&why, &format!("sagactl secs expunge {} -w", sec(1)));
    let theirs = OwnerFacts { engine: EngineKind::Nexus, ..silent(true, 0) };
    advises(&ask(&running, &theirs), &format!("sagactl sagas reassign --saga {id} --to SEC -w"));
    let expunged = OwnerFacts { registry: registered("expunged", 0), ..silent(true, 0) };
    let why = ask(&running, &expunged);
    assert_eq!(why.verdict, Verdict::OwnerGone);
    advises(&why, "sagactl activate sec_adoption");
    advises(&why, &format!("sagactl sagas reassign --saga {id} --to SEC -w"));
    let why = ask(&running, &OwnerFacts { recovery: Some(fresh), ..alive(Memory::Missing) });
    assert_eq!(why.verdict, Verdict::Phantom);
    advises(&why, "sagactl quiesce start -w");
    let damaged = saga("running", &[(4, "started"), (3, "succeeded")]);
    let why = ask(&damaged, &alive(Memory::Missing));
    assert_eq!(why.verdict, Verdict::Unrecoverable);
    advises(&why, &format!("sagactl sagas abandon {id} -w"));
}

//! I1, I2, I4, I10.

use super::*;
use crate::check::owners::{actions_are_known, has_an_owner, is_its_to_run, is_known};
use crate::observe::why::judge::judge;
use crate::observe::why::{Contact, EngineKind, Memory, OwnerFacts, RecoveryFacts};
use crate::saga_log::Reading;
use crate::store::inspect::saga::{SecLookup, SecRecord, SecTable};
use crate::wire::recovery::{RecoveryFailure, RecoveryFailureKind};
use std::time::Duration;

const NOW: i64 = 1_000;
const PERIOD: i64 = 600;

fn registered(state: &str, heartbeat: i64) -> SecLookup {
    SecLookup::Row(SecRecord {
        id: sec(1),
        table: SecTable::Sec,
        state: Field::Value(state.to_owned()),
        internal_address: Field::Value("http://127.0.0.1:1".to_owned()),
        time_started: Field::Value(at(-100)),
        time_heartbeat: Field::Value(at(heartbeat)),
    })
}

/// An owner that answers, runs since `started`, and whose last pass began at `last_pass`.
fn alive(memory: Memory, started: i64, last_pass: Option<i64>) -> OwnerFacts {
    OwnerFacts {
        registry: Some(registered("active", NOW)),
        contact: Contact::Answers {
            at: "http://127.0.0.1:1".to_owned(),
            is_sure: true,
            process_started: Some(at(started)),
        },
        memory,
        recovery: Some(RecoveryFacts {
            failure: None,
            failures: 0,
            recovered: None,
            last_success: last_pass.map(at),
            last_pass_failed: None,
            under_way: None,
            period: Duration::from_secs(PERIOD as u64),
            next_pass: None,
        }),
        retry: None,
        engine: EngineKind::Ours,
    }
}

fn silent(is_conclusive: bool, registry: SecLookup) -> OwnerFacts {
    OwnerFacts {
        registry: Some(registry),
        contact: Contact::Silent {
            at: "http://127.0.0.1:1".to_owned(),
            reason: "no answer".to_owned(),
            is_conclusive,
        },
        ..OwnerFacts::not_asked(None, EngineKind::Ours, "its owner does not answer")
    }
}

/// I1, I4 and I10 of a saga.
fn all(records: &SagaRecords, facts: &OwnerFacts, now: i64) -> [Finding; 3] {
    let reading = Reading::of(records);
    let why = judge(&reading, facts, at(now));
    [
        is_known(&reading, facts, &why, at(now)),
        has_an_owner(&reading, facts, &why),
        actions_are_known(&reading, facts, &why),
    ]
}

#[test]
fn what_its_owner_runs_is_well() {
    for memory in [Memory::Running, Memory::AtRest("succeeded".to_owned())] {
        let found = all(&saga("running", &STARTED), &alive(memory, -100, Some(50)), NOW);
        assert_eq!(found, [Finding::Holds, Finding::Holds, Finding::Holds]);
    }
    for state in ["done", "abandoned"] {
        let found = all(&saga(state, &WHOLE), &alive(Memory::Missing, -100, Some(50)), NOW);
        assert_eq!(found, [Finding::Beside, Finding::Beside, Finding::Beside], "{state}");
    }
}

#[test]
fn what_its_owner_overlooks_is_told() {
    // A pass began at 50, the saga was there from 0.
    let [known, owner, actions] =
        all(&saga("running", &STARTED), &alive(Memory::Missing, -100, Some(50)), NOW);
    assert!(broken(known).contains("though a recovery pass has begun since it could"));
    assert_eq!(owner, Finding::Holds);
    assert!(is_untold(&actions));
}

#[test]
fn a_pass_in_progress_and_a_fresh_start_are_given_their_time() {
    let records = saga("running", &STARTED);
    let known = |facts: &OwnerFacts, now| all(&records, facts, now)[0].clone();
    let mut at_it = alive(Memory::Missing, -100, Some(50));
    at_it.recovery.as_mut().expect("it reports").under_way = Some(at(NOW - 1));
    assert_eq!(known(&at_it, NOW), Finding::Holds, "a pass is under way");
    // The process is new and has not passed yet; the saga is ancient.
    let restarted = alive(Memory::Missing, 100_000, None);
    assert_eq!(known(&restarted, 100_000 + 2 * PERIOD), Finding::Holds);
    assert!(broken(known(&restarted, 100_001 + 2 * PERIOD)).contains("grace period 20m"));
    // The saga came after the last pass, by adoption.
    let mut adopted = saga("running", &STARTED);
    row(&mut adopted).adopt_time = Field::Value(at(NOW));
    let facts = alive(Memory::Missing, -100, Some(NOW - 10));
    assert_eq!(all(&adopted, &facts, NOW + 5)[0], Finding::Holds);
    // It does not say what its recovery does.
    let mut taciturn = alive(Memory::Missing, -100, None);
    taciturn.recovery = None;
    assert!(is_untold(&known(&taciturn, NOW)));
    let deaf = alive(Memory::NotTold("no list".to_owned()), -100, Some(50));
    assert!(is_untold(&known(&deaf, NOW)));
}

#[test]
fn failed_recoveries_are_told_and_unknown_actions_by_name() {
    let with = |message: &str, kind, recovered: Option<i64>| {
        let mut facts = alive(Memory::Missing, -100, Some(50));
        let recovery = facts.recovery.as_mut().expect("it reports");
        recovery.failure = Some(RecoveryFailure {
            time: at(60),
            saga_id: id(),
            current_sec: None,
            kind: Some(kind),
            message: message.to_owned(),
        });
        recovery.recovered = recovered.map(at);
        facts
    };
    let records = saga("running", &STARTED);
    let [known, _, actions] =
        all(&records, &with("unknown action \"a\"", RecoveryFailureKind::Permanent, None), NOW);
    assert!(broken(known).contains("could not recover it: unknown action"));
    assert!(broken(actions).contains("unknown action \"a\""));
    let [known, _, actions] = all(&records, &with("busy", RecoveryFailureKind::Transient, None), NOW);
    assert!(broken(known).contains("busy"));
    assert!(is_untold(&actions), "that says nothing of its actions");
    let mut cured = with("busy", RecoveryFailureKind::Transient, Some(70));
    cured.memory = Memory::Running;
    assert_eq!(all(&records, &cured, NOW), [Finding::Holds, Finding::Holds, Finding::Holds]);
}

#[test]
fn owners_that_are_gone_dead_or_only_out_of_reach() {
    let records = saga("running", &STARTED);
    let owner = |facts: &OwnerFacts| all(&records, facts, NOW)[1].clone();
    assert!(broken(owner(&silent(true, registered("active", NOW)))).contains("does not answer"));
    assert!(broken(owner(&silent(false, registered("active", NOW - 60)))).contains("does not answer"));
    assert!(is_untold(&owner(&silent(false, registered("active", NOW)))), "it beats; it is out of our reach");
    assert!(broken(owner(&silent(true, registered("expunged", NOW)))).contains("out of service"));
    assert!(broken(owner(&silent(false, SecLookup::NoRow(SecTable::Sec)))).contains("no SEC that there is"));
    let unasked = OwnerFacts::not_asked(Some(SecLookup::NoTable), EngineKind::Nexus, "no address");
    assert!(is_untold(&owner(&unasked)));
    let mut nobodys = saga("running", &STARTED);
    row(&mut nobodys).current_sec = Field::Null;
    assert_eq!(broken(all(&nobodys, &unasked, NOW)[1].clone()), "it belongs to nobody");
    for facts in [silent(true, registered("active", NOW)), silent(true, registered("expunged", NOW)), unasked]
    {
        let [known, _, actions] = all(&records, &facts, NOW);
        assert!(is_untold(&known) && is_untold(&actions), "who is not there cannot be asked");
    }
}

#[test]
fn sagas_without_an_owner_that_can_run_them_are_to_be_reassigned() {
    let records = saga("running", &STARTED);
    let mut nobodys = saga("running", &STARTED);
    row(&mut nobodys).current_sec = Field::Null;
    let unasked = OwnerFacts::not_asked(Some(SecLookup::NoTable), EngineKind::Nexus, "no address");
    let reassign = format!("sagactl sagas reassign --saga {} --to SEC -w", id());
    for (records, facts) in [
        (&records, silent(true, registered("expunged", NOW))),
        (&records, silent(false, SecLookup::NoRow(SecTable::Sec))),
        (&nobodys, unasked),
    ] {
        let next = remedy(all(records, &facts, NOW)[1].clone());
        assert!(next.contains(&reassign), "{next}");
    }
    let next = remedy(all(&records, &silent(true, registered("active", NOW)), NOW)[1].clone());
    assert!(!next.contains("reassign"), "one that may only be down keeps its own: {next}");
}

#[test]
fn what_a_sec_runs_must_be_its_to_run() {
    let record = |state: &str| saga(state, &STARTED).saga;
    let judge = |record: Option<&SagaRecord>, by| is_its_to_run(id(), record, by);
    for state in ["running", "unwinding"] {
        assert_eq!(judge(record(state).as_ref(), Some(sec(1))), Finding::Holds);
        assert_eq!(judge(record(state).as_ref(), None), Finding::Holds, "it does not say who it is");
        assert!(broken(judge(record(state).as_ref(), Some(sec(2)))).contains("but it belongs to"));
    }
    for state in ["done", "abandoned"] {
        assert!(broken(judge(record(state).as_ref(), Some(sec(1)))).contains(state));
    }
    assert!(broken(judge(None, Some(sec(1)))).contains("has no such saga"));
    assert!(is_untold(&judge(record("hibernating").as_ref(), Some(sec(1)))));
}

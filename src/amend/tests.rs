//! What is decided, from facts alone.

use super::carry_out::{After, look};
use super::reassign::Fate;
use super::*;
use crate::observe::why::judge::judge;
use crate::observe::why::{Contact, EngineKind, Liveness, Memory, OwnerFacts, Why};
use crate::saga_log::record::{EventRecord, SagaRecord, SagaRecords};
use crate::store::amend::Capability;
use crate::store::inspect::saga::{SecLookup, SecRecord, SecTable};
use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

fn sec(number: u128) -> SecId {
    SecId::from_uuid(Uuid::from_u128(number))
}

fn at(secs: i64) -> Time {
    Time::from_timestamp(1_700_000_000 + secs, 0).expect("a time")
}

/// A saga `start → a → b → end`, nodes 0 and 1, start 2, end 3, of SEC 1.
fn saga(state: &str, events: &[(i64, &str)]) -> SagaRecords {
    let action = |name: &str| json!({"Action": {"name": name, "label": name, "action_name": name}});
    let dag = json!({"saga_name": "line", "start_node": 2, "end_node": 3, "graph": {
        "nodes": [action("a"), action("b"), {"Start": {"params": {}}}, "End"],
        "node_holes": [], "edge_property": "directed", "edges": [[2, 0, null], [0, 1, null], [1, 3, null]]}});
    let id = SagaId::from_uuid(Uuid::from_u128(7));
    let event = |(second, &(node_id, event_type)): (i64, &(i64, &str))| EventRecord {
        node_id,
        event_type: event_type.to_owned(),
        data: if event_type == "succeeded" { Field::Value("null".to_owned()) } else { Field::Null },
        time: Field::Value(at(second)),
        creator: Field::Value(sec(1)),
    };
    SagaRecords {
        id,
        saga: Some(SagaRecord {
            id,
            creator: Field::Value(sec(1)),
            time_created: Field::Value(at(0)),
            name: Field::Value("line".to_owned()),
            state: Field::Value(state.to_owned()),
            current_sec: Field::Value(sec(1)),
            adopt_generation: Field::Value(4),
            adopt_time: Field::Value(at(0)),
            abandon_time: Field::Null,
            abandon_reason: Field::Null,
            abandon_comment: Field::Null,
        }),
        dag: Field::Value(dag.to_string()),
        events: (1..).zip(events).map(event).collect(),
    }
}

/// `b` is under way.
const OPEN: [(i64, &str); 5] =
    [(2, "started"), (2, "succeeded"), (0, "started"), (0, "succeeded"), (1, "started")];

fn registered(state: &str) -> SecLookup {
    SecLookup::Row(SecRecord {
        id: sec(1),
        table: SecTable::Sec,
        state: Field::Value(state.to_owned()),
        internal_address: Field::Value("http://127.0.0.1:1".to_owned()),
        time_started: Field::Value(at(-100)),
        time_heartbeat: Field::Value(at(100)),
    })
}

/// An owner that is in this condition.
fn owner(liveness: Liveness) -> OwnerFacts {
    let at = "http://127.0.0.1:1".to_owned();
    let silent = |is_conclusive| Contact::Silent { at: at.clone(), reason: String::new(), is_conclusive };
    let (registry, contact) = match liveness {
        Liveness::Alive => {
            (registered("active"), Contact::Answers { at, is_sure: true, process_started: None })
        }
        Liveness::Dead => (registered("active"), silent(true)),
        Liveness::Gone => (registered("expunged"), silent(true)),
        Liveness::Unknown | Liveness::NotAsked => (SecLookup::NoTable, silent(false)),
    };
    OwnerFacts { contact, ..OwnerFacts::not_asked(Some(registry), EngineKind::Ours, "") }
}

fn with<T>(records: &SagaRecords, liveness: Liveness, ask: impl FnOnce(&Reading<'_>, &Why) -> T) -> T {
    let reading = Reading::of(records);
    let why = judge(&reading, &owner(liveness), at(200));
    ask(&reading, &why)
}

fn abandoning(check: SecCheck) -> abandon::Request {
    abandon::Request { comment: "enough".to_owned(), time: at(150), check }
}

fn abandon(records: &SagaRecords, liveness: Liveness, check: SecCheck) -> Decision {
    with(records, liveness, |reading, why| {
        abandon::plan(reading, why, EngineKind::Ours, &Capability::Full, &abandoning(check))
    })
}

fn inject(records: &SagaRecords, nodes: &[&str]) -> Decision {
    inject_with(records, nodes, owner(Liveness::Dead), SecCheck::Required)
}

fn inject_with(records: &SagaRecords, nodes: &[&str], owner: OwnerFacts, check: SecCheck) -> Decision {
    let request = inject::Request {
        nodes: nodes.iter().map(|&node| node.to_owned()).collect(),
        message: Some("stop".to_owned()),
        time: at(150),
        check,
    };
    let reading = Reading::of(records);
    let why = judge(&reading, &owner, at(200));
    inject::plan(&reading, &why, &owner, &Capability::Full, &request)
}

/// An owner that answers for sure and has the saga in flight.
fn running() -> OwnerFacts {
    OwnerFacts { memory: Memory::Running, ..owner(Liveness::Alive) }
}

fn planned(decision: Decision) -> Plan {
    match decision {
        Decision::Do(plan) => *plan,
        other => panic!("no plan: {other:?}"),
    }
}

fn refused(decision: Decision) -> String {
    match decision {
        Decision::Refused(refusal) => refusal.reason,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_plan_holds_what_was_seen_and_what_stays_behind() {
    let plan = planned(abandon(&saga("running", &OPEN), Liveness::Dead, SecCheck::Required));
    let seen = Seen {
        id: plan.saga_id,
        state: "running".to_owned(),
        current_sec: Some(sec(1)),
        adopt_generation: 4,
        events: 5,
    };
    assert_eq!(plan.seen, seen);
    let names = |nodes: &[NodeRef]| nodes.iter().map(|node| node.name.clone()).collect::<Vec<_>>();
    assert_eq!((names(&plan.not_undone), names(&plan.cut_off)), (vec!["a".to_owned()], vec!["b".to_owned()]));
    assert_eq!(plan.warnings, Vec::<String>::new());
}

#[test]
fn only_a_dead_owners_saga_is_changed_unless_somebody_insists() {
    let records = saga("running", &OPEN);
    for (liveness, is_free) in
        [(Liveness::Dead, true), (Liveness::Gone, true), (Liveness::Alive, false), (Liveness::Unknown, false)]
    {
        let decision = abandon(&records, liveness, SecCheck::Required);
        assert_eq!(matches!(decision, Decision::Do(_)), is_free, "{liveness:?}: {decision:?}");
        let plan = planned(abandon(&records, liveness, SecCheck::Bypassed));
        assert_eq!(plan.warnings.is_empty(), is_free, "it is said what that means: {:?}", plan.warnings);
    }
}

#[test]
fn what_has_come_to_rest_is_left_alone() {
    let ended = [&OPEN[..], &[(1, "succeeded"), (3, "started"), (3, "succeeded")]].concat();
    let done = saga("done", &ended);
    assert!(refused(abandon(&done, Liveness::Dead, SecCheck::Bypassed)).contains("has come to its end"));
    assert!(refused(inject(&done, &["b"])).contains("nothing will ever run it"));
    let mut abandoned = saga("abandoned", &OPEN);
    let row = abandoned.saga.as_mut().expect("a row");
    row.abandon_time = Field::Value(at(9));
    row.abandon_reason = Field::Value("omdb".to_owned());
    row.abandon_comment = Field::Value("no".to_owned());
    assert_eq!(
        abandon(&abandoned, Liveness::Alive, SecCheck::Required),
        Decision::AlreadySo(
            "it is already abandoned since 2023-11-14T22:13:29.000000Z, for reason \"omdb\": no".to_owned()
        )
    );
    let mut unknown = saga("paused", &OPEN);
    assert!(
        refused(abandon(&unknown, Liveness::Dead, SecCheck::Bypassed)).contains("in state \"paused\", which")
    );
    unknown.saga = None;
    assert!(refused(abandon(&unknown, Liveness::Dead, SecCheck::Bypassed)).contains("has no row"));
}

#[test]
fn only_an_action_that_was_begun_can_be_made_to_fail() {
    let records = saga("running", &OPEN);
    for nodes in [&["b"][..], &["1"], &[], &["b", "1"]] {
        let plan = planned(inject(&records, nodes));
        let Writes::InjectError { nodes, .. } = &plan.writes else { panic!("{plan:?}") };
        assert_eq!(nodes.iter().map(|node| node.node_id).collect::<Vec<_>>(), [1]);
    }
    assert!(refused(inject(&records, &["a"])).contains("node 0 a has succeeded"));
    assert!(refused(inject(&records, &["3"])).contains("(which is no action) has not been begun"));
    assert!(refused(inject(&records, &["c"])).contains("has no node \"c\""));
    assert!(
        refused(inject(&saga("running", &OPEN[..4]), &[])).contains("no action of saga"),
        "nothing is open"
    );
    let undoing = [&OPEN[..], &[(1, "failed"), (0, "undo_started")]].concat();
    assert!(refused(inject(&saga("unwinding", &undoing), &[])).contains("is undoing node 0 a"));
    let mut without_dag = records;
    without_dag.dag = Field::Value("{".to_owned());
    assert!(refused(inject(&without_dag, &["1"])).contains("nobody will ever recover"));
}

#[test]
fn an_owner_that_runs_the_saga_is_told_and_no_other() {
    let live = |nodes: &[&str]| inject_with(&saga("running", &OPEN), nodes, running(), SecCheck::Required);
    for nodes in [&["b"][..], &[]] {
        let plan = planned(live(nodes));
        assert_eq!(plan.owner_address(), Some("http://127.0.0.1:1"));
        assert_eq!(plan.cut_off.iter().map(|node| node.node_id).collect::<Vec<_>>(), [1]);
    }
    assert!(refused(live(&["a"])).contains("node 0 a has succeeded"));
    assert!(refused(live(&["3"])).contains("(which is no action)"));
    // Before its turn has come, which only an owner can remember.
    let early = &OPEN[..3];
    let plan = inject_with(&saga("running", early), &["b"], running(), SecCheck::Required);
    let plan = planned(plan);
    assert!(plan.cut_off.is_empty() && plan.owner_address().is_some());
    assert!(plan.warnings[0].contains("a restart before then forgets it"), "{:?}", plan.warnings);
    assert!(refused(inject(&saga("running", early), &["b"])).contains("has not been begun"));
    // Done already: the engine's own event tells it.
    let mut done = saga("unwinding", &[&OPEN[..], &[(1, "failed")]].concat());
    done.events.last_mut().expect("an event").data = Field::Value("\"InjectedError\"".to_owned());
    let Decision::AlreadySo(words) = inject_with(&done, &["b"], running(), SecCheck::Required) else {
        panic!("{done:?}")
    };
    assert!(words.contains("node 1 b"), "{words}");
    // One who knows better writes into the database; one who only may be the owner, or does not have it, is not told.
    let bypassed = inject_with(&saga("running", &OPEN), &[], running(), SecCheck::Bypassed);
    assert_eq!(planned(bypassed).owner_address(), None);
    let contact = |is_sure| Contact::Answers { at: "x".to_owned(), is_sure, process_started: None };
    for other in [
        OwnerFacts { contact: contact(false), ..running() },
        OwnerFacts { memory: Memory::Missing, ..running() },
        OwnerFacts { engine: EngineKind::Nexus, ..running() },
    ] {
        let decision = inject_with(&saga("running", &OPEN), &[], other, SecCheck::Required);
        assert!(refused(decision).contains("is alive"));
    }
}

/// The saga as it is after a change of the same kind by somebody, at a time.
fn changed(mut records: SagaRecords, writes: &Writes, time: Time) -> SagaRecords {
    match writes {
        Writes::Abandon { comment, .. } => {
            let row = records.saga.as_mut().expect("a row");
            row.state = Field::Value("abandoned".to_owned());
            row.abandon_time = Field::Value(time);
            row.abandon_comment = comment.clone().map_or(Field::NoColumn, Field::Value);
        }
        Writes::InjectError { nodes, .. } => {
            let event = |node: &NodeRef| EventRecord {
                node_id: node.node_id,
                event_type: "failed".to_owned(),
                data: Field::Value("\"InjectedError\"".to_owned()),
                time: Field::Value(time),
                creator: Field::Value(OPERATOR),
            };
            records.events.extend(nodes.iter().map(event));
        }
        Writes::TellOwner { .. } => unreachable!("its owner does that"),
    }
    records
}

#[test]
fn what_is_there_afterwards_tells_ours_from_somebody_elses() {
    let before = saga("running", &OPEN);
    let plans =
        [planned(abandon(&before, Liveness::Dead, SecCheck::Required)), planned(inject(&before, &["b"]))];
    for plan in plans {
        let after = |time| look(&plan, Some(&changed(before.clone(), &plan.writes, time)));
        assert_eq!(after(at(150)), After::AsPlanned);
        assert!(matches!(after(at(151)), After::SameByAnother(_)));
        assert!(matches!(look(&plan, Some(&before)), After::Otherwise(_)));
        assert!(matches!(look(&plan, None), After::Otherwise(_)));
    }
}

fn facts(sagas: Vec<SagaRecord>, target: SecLookup) -> reassign::Facts {
    let records = saga("running", &OPEN);
    let owner = with(&records, Liveness::Dead, |_, why| why.owner.clone());
    let capability = Capability::Full;
    reassign::Facts { target, sagas, owners: vec![owner], engine: EngineKind::Ours, capability }
}

fn to_second(from: Option<u128>) -> reassign::Request {
    reassign::Request { from: from.map(sec), to: sec(2), time: at(150), check: SecCheck::Required }
}

#[test]
fn sagas_go_to_a_sec_that_is_in_service_and_to_no_other() {
    let sagas = || vec![saga("running", &OPEN).saga.expect("a row")];
    let tried = |target| reassign::plan(facts(sagas(), target), &to_second(Some(1)));
    assert_eq!(tried(registered("active")).map(|plan| plan.moves.len()), Ok(1));
    let reason = |target| tried(target).expect_err("a refusal").reason;
    assert!(reason(registered("expunged")).contains("has been expunged"));
    assert!(reason(registered("quiesced")).contains("is quiesced, not active"));
    assert!(reason(SecLookup::NoRow(SecTable::Sec)).contains("unknown SEC"));
    assert!(reason(SecLookup::NoTable).contains("keeps no registry"));
    let same = reassign::plan(facts(sagas(), registered("active")), &to_second(Some(2)));
    assert!(same.expect_err("a refusal").reason.contains("cannot take over from itself"));
}

proptest! {
    /// Every saga that is meant is either moved or told of, once; and what is moved is unfinished, of the right owner.
    #[test]
    fn every_saga_is_moved_or_told_of(
        sagas in proptest::collection::vec((0_usize..5, 0_u128..4, 1_i64..9), 0..20),
        from in proptest::option::of(0_u128..4),
    ) {
        let records: Vec<SagaRecord> = (100..).zip(&sagas).map(|(number, (state, owner, generation))| {
            let state = ["running", "unwinding", "done", "abandoned", "?"][*state];
            SagaRecord {
                id: SagaId::from_uuid(Uuid::from_u128(number)),
                current_sec: if *owner == 0 { Field::Null } else { Field::Value(sec(*owner)) },
                adopt_generation: Field::Value(*generation),
                ..saga(state, &[]).saga.expect("a row")
            }
        }).collect();
        prop_assume!(from != Some(2));
        let plan = reassign::plan(facts(records.clone(), registered("active")), &to_second(from)).expect("a plan");
        let mut told: Vec<SagaId> = plan.moves.iter().map(|planned| planned.saga_id).collect();
        told.extend(plan.others.iter().map(|other| other.saga_id));
        told.sort();
        prop_assert_eq!(told, records.iter().map(|record| record.id).collect::<Vec<_>>());
        for planned in &plan.moves {
            prop_assert!(["running", "unwinding"].contains(&planned.state.as_str()));
            prop_assert!(planned.from != Some(sec(2)));
            prop_assert!(from.is_none() || planned.from == from.map(sec));
            let record = records.iter().find(|record| record.id == planned.saga_id).expect("it was asked about");
            // Untouched, it is not taken for moved; moved as planned, it is.
            let untouched = reassign::look(&plan, planned, Some(record));
            prop_assert_eq!(untouched.fate, Fate::LeftAlone);
            let moved = SagaRecord {
                current_sec: Field::Value(plan.to),
                adopt_time: Field::Value(plan.time),
                adopt_generation: Field::Value(planned.adopt_generation + 1),
                ..record.clone()
            };
            prop_assert_eq!(reassign::look(&plan, planned, Some(&moved)).fate, Fate::Moved);
            let elsewhere = SagaRecord { current_sec: Field::Value(sec(9)), ..moved.clone() };
            prop_assert_eq!(reassign::look(&plan, planned, Some(&elsewhere)).fate, Fate::LeftAlone);
            let by_another = SagaRecord { adopt_time: Field::Value(at(151)), ..moved };
            prop_assert_eq!(reassign::look(&plan, planned, Some(&by_another)).fate, Fate::AlreadyThere);
        }
    }
}

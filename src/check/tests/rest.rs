//! I9, I12.

use super::*;
use crate::blast::report::Reconciled;
use crate::check::effects::{Made, agree, is_judged};
use crate::check::record::nothing_is_missing;
use crate::reconcile::{Reconciliation, Seen, reconcile};
use crate::saga_log::Reading;
use crate::store::inspect::effects::{Objects, ProjectRow, VpcRow};

const PROJECT: u128 = 21;
const VPC: u128 = 22;

/// A saga that makes a project and its VPC, nodes 0 and 1, start 2, end 3.
fn project_create(state: &str, events: &[(i64, &'static str)]) -> SagaRecords {
    let action =
        |name: &str, action: &str| json!({"Action": {"name": name, "label": name, "action_name": action}});
    let dag = json!({"saga_name": "project-create", "start_node": 2, "end_node": 3, "graph": {
        "nodes": [action("project", "project_create.project"), action("vpc", "vpc_create.vpc"),
                  {"Start": {"params": {}}}, "End"],
        "node_holes": [], "edge_property": "directed", "edges": [[2, 0, null], [0, 1, null], [1, 3, null]]}});
    let mut records = saga(state, events);
    records.dag = Field::Value(dag.to_string());
    row(&mut records).name = Field::Value("project-create".to_owned());
    for event in records.events.iter_mut().filter(|event| event.event_type == "succeeded") {
        let made = [PROJECT, VPC].get(event.node_id as usize).map(|id| json!({"id": Uuid::from_u128(*id)}));
        event.data = Field::Value(made.map_or_else(|| "null".to_owned(), |made| made.to_string()));
    }
    records
}

const DONE: [(i64, &str); 8] = [
    (2, "started"),
    (2, "succeeded"),
    (0, "started"),
    (0, "succeeded"),
    (1, "started"),
    (1, "succeeded"),
    (3, "started"),
    (3, "succeeded"),
];

const UNWOUND: [(i64, &str); 10] = [
    (2, "started"),
    (2, "succeeded"),
    (0, "started"),
    (0, "succeeded"),
    (1, "started"),
    (1, "failed"),
    (0, "undo_started"),
    (0, "undo_finished"),
    (2, "undo_started"),
    (2, "undo_finished"),
];

fn objects(project: bool, vpc: bool) -> Objects {
    let mut objects = Objects::default();
    if project {
        let row = ProjectRow { has_quota: true, is_being_deleted: false };
        objects.projects.insert(Uuid::from_u128(PROJECT), row);
    }
    if vpc {
        let row = VpcRow { missing: Vec::new(), is_being_deleted: false };
        objects.vpcs.insert(Uuid::from_u128(VPC), row);
    }
    objects
}

fn judge(records: &SagaRecords, objects: &Objects) -> Finding {
    agree(&Reading::of(records), objects)
}

#[test]
fn what_was_made_is_there_and_what_was_unmade_is_not() {
    let done = project_create("done", &DONE);
    let made = Made::of(&Reading::of(&done));
    assert_eq!(made, Made { project: Some(Uuid::from_u128(PROJECT)), vpc: Some(Uuid::from_u128(VPC)) });
    assert_eq!(judge(&done, &objects(true, true)), Finding::Holds);
    assert!(broken(judge(&done, &objects(false, false))).contains("nobody deleted it"));
    assert!(broken(judge(&done, &objects(true, false))).contains("default VPC"));
    let unwound = project_create("done", &UNWOUND);
    assert_eq!(judge(&unwound, &objects(false, false)), Finding::Holds);
    assert!(broken(judge(&unwound, &objects(true, false))).contains("unwound, but its project"));
    // The very first node failed: it tells no id, and there is nothing to look for.
    let refused = [
        (2, "started"),
        (2, "succeeded"),
        (0, "started"),
        (0, "failed"),
        (2, "undo_started"),
        (2, "undo_finished"),
    ];
    assert_eq!(judge(&project_create("done", &refused), &objects(false, false)), Finding::Holds);
}

#[test]
fn parts_that_are_missing_are_named() {
    let done = project_create("done", &DONE);
    let mut without = objects(true, true);
    without.vpcs.get_mut(&Uuid::from_u128(VPC)).expect("there").missing =
        vec!["its DNS record", "its readiness"];
    assert!(broken(judge(&done, &without)).contains("lacks its DNS record, its readiness"));
    let mut without = objects(true, true);
    without.projects.get_mut(&Uuid::from_u128(PROJECT)).expect("there").has_quota = false;
    assert!(broken(judge(&done, &without)).contains("has no quota"));
}

#[test]
fn what_somebody_deletes_is_nobodys_loss() {
    let done = project_create("done", &DONE);
    let mut deleted = objects(false, false);
    deleted.deleted.insert(Uuid::from_u128(PROJECT));
    assert_eq!(judge(&done, &deleted), Finding::Holds);
    let mut vpc_deleted = objects(true, false);
    vpc_deleted.deleted.insert(Uuid::from_u128(VPC));
    assert_eq!(judge(&done, &vpc_deleted), Finding::Holds);
    let mut at_it = objects(true, false);
    at_it.projects.get_mut(&Uuid::from_u128(PROJECT)).expect("there").is_being_deleted = true;
    assert_eq!(judge(&done, &at_it), Finding::Holds);
}

#[test]
fn only_sagas_of_that_kind_at_rest_are_judged() {
    for length in 0..DONE.len() {
        let records = project_create("running", &DONE[..length]);
        assert!(!is_judged(&Reading::of(&records)), "{length} events");
        assert_eq!(judge(&records, &objects(true, false)), Finding::Beside);
    }
    assert_eq!(judge(&project_create("abandoned", &DONE[..4]), &objects(true, false)), Finding::Beside);
    assert_eq!(judge(&saga("done", &WHOLE), &objects(false, false)), Finding::Beside, "of another kind");
}

fn client(reconciliation: Reconciliation) -> Reconciled {
    Reconciled {
        run_id: "r".to_owned(),
        workload: "w".to_owned(),
        url: "u".to_owned(),
        time_started: at(0),
        is_whole: true,
        started: 3,
        done: 1,
        failed: 1,
        in_doubt: 1,
        without_line: 0,
        reconciliation,
        sagas: None,
    }
}

#[test]
fn a_client_misses_what_it_was_promised_and_nothing_else() {
    let seen = [(1, Seen::Acknowledged), (2, Seen::Failed), (3, Seen::InDoubt)];
    let judge = |recorded: Vec<u32>| {
        nothing_is_missing(&client(reconcile(seen.iter().copied(), recorded, |number| format!("p-{number}"))))
    };
    // Failed or in doubt, and on record all the same: recovery finished it.
    for recorded in [vec![1], vec![1, 2], vec![1, 3], vec![1, 2, 3]] {
        assert_eq!(judge(recorded), [Finding::Holds]);
    }
    assert_eq!(broken(judge(vec![2]).remove(0)), "1 acknowledged and not on record: p-1");
    assert_eq!(broken(judge(vec![1, 1]).remove(1)), "1 on record more than once: p-1");
    assert_eq!(broken(judge(vec![1, 9]).remove(1)), "1 on record and never asked for: p-9");
    let unread = nothing_is_missing(&client(Reconciliation::not_checked("no database")));
    assert_eq!(unread, [Finding::CannotTell("no database".to_owned())]);
}

//! Pictures of `status`. Every number in a value differs from every other, so a number under a wrong label shows.

use super::*;
use crate::client::FetchedTask;
use crate::observe::database::{Counted, DatabaseView, SagaCounts};
use crate::observe::sagas::count::{Group, Key};
use crate::observe::status::SeenBy;
use crate::render::style::Paint;
use crate::wire::field::Field;
use crate::wire::info::Info;
use crate::wire::overview::{FailedNode, ListedSaga, Shared};
use crate::wire::part::Part;
use crate::wire::sagas::Outcome;
use serde_json::{Value, json};

const NOW: &str = "2026-11-02T09:16:06.640112Z";

fn info() -> Info {
    Info {
        sec_id: "65a11c18-7f59-41ac-b9e7-680627f99600".parse().unwrap(),
        version: "0.1.0".to_owned(),
        pid: 4711,
        time_started: "2026-11-02T07:05:22Z".parse().unwrap(),
        store: "sqlite".to_owned(),
        db_url: "sqlite:/var/lib/sagactl/sagactl.db".to_owned(),
        internal_url: "http://127.0.0.1:12221".to_owned(),
        external_url: "http://127.0.0.1:12220".to_owned(),
        healthy: true,
        ready: true,
        recovered: false,
        sagas_recovering: 17,
        sagas_in_flight: 29,
    }
}

fn report() -> Value {
    let id = |last: u32| format!("0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a{last:04}");
    json!({
        "recent_recoveries": [
            {"time": "2026-11-02T09:15:22.701Z", "saga_id": id(1)},
            {"time": "2026-11-02T09:15:22.709Z", "saga_id": id(2), "name": "project-create\u{1b}[31m"}],
        "recent_failures": [
            {"time": "2026-11-02T09:15:22.718Z", "saga_id": id(9), "kind": "permanent",
             "current_sec": "65a11c18-7f59-41ac-b9e7-680627f99600",
             "message": "Internal Error: failed to resume saga: deserialize failed: expected value"},
            {"time": "2026-11-02T09:15:22.719Z", "saga_id": id(8), "message": "no connection"}],
        "last_pass": {"Success": {"nfound": 15, "nrecovered": 4, "nfailed": 5, "nskipped": 6, "nremoved": 8}},
        "ntotal_recovered": 11, "ntotal_failures": 12, "ntotal_started": 1300, "ntotal_finished": 14,
        "ntotal_sec_errors_missing": 2, "ntotal_sec_errors_bad_state": 3,
        "recent_passes": [
            {"iteration": 6, "reason": "timeout", "time_started": "2026-11-02T09:05:22.5Z", "duration_ms": 30001.25,
             "result": {"Failed": {"message": "listing sagas: no connection to the database, and more words"}}},
            {"iteration": 7, "reason": "signaled", "time_started": "2026-11-02T09:15:22.640112Z", "duration_ms": 81.417,
             "result": {"Success": {"nfound": 15, "nrecovered": 4, "nfailed": 5, "nskipped": 6, "nremoved": 8}}}]
    })
}

fn task(current: Value, details: Value) -> FetchedTask {
    let raw = json!({
        "name": "saga_recovery", "description": "resumes sagas", "period": {"secs": 600, "nanos": 0},
        "current": current,
        "last": {"last_result": "completed", "details": {
            "iteration": 7, "start_time": "2026-11-02T09:15:22.640112Z", "reason": "signaled",
            "elapsed": {"secs": 0, "nanos": 81_417_000}, "details": details}}
    });
    FetchedTask { task: serde_json::from_value(raw.clone()).unwrap(), raw }
}

fn idle() -> Value {
    json!({"current_status": "idle"})
}

fn status(task: &FetchedTask, info: &Part<Info>) -> Status {
    Status::new("http://127.0.0.1:12221".to_owned(), task, info, NOW.parse().unwrap())
}

fn picture(status: &Status, look: impl FnOnce(Look) -> Look, limit: Limit) -> String {
    let mut out = Vec::new();
    render_status(&mut out, &look(Look::plain(NOW.parse().unwrap())), status, limit).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn everything_at_once() {
    let running = json!({"current_status": "running",
        "details": {"start_time": "2026-11-02T09:16:06.118Z", "reason": "dependency", "iteration": 9}});
    let status = status(&task(running, report()), &Part::Present(info()));
    insta::assert_snapshot!(picture(&status, |look| look, Limit::None), @r#"
    coordinator: SEC 65a11c18-7f59-41ac-b9e7-680627f99600 at http://127.0.0.1:12221, version 0.1.0, pid 4711, up 2h 10m
      store: sqlite:/var/lib/sagactl/sagactl.db
      state: healthy, ready, NOT recovered; 29 sagas in flight, 17 of them taken up by recovery

    task: "saga_recovery"
      configured period: every 10m
      currently executing: iter 9, triggered by a dependent task completing
        started at 2026-11-02T09:16:06.118Z, running for 522ms
      last completed activation: iter 7, triggered by an explicit signal
        started at 2026-11-02T09:15:22.640Z (44s ago) and ran for 81ms
        since coordinator started:
            sagas recovered:           11
            sagas recovery errors:     12
            sagas observed started:  1300
            sagas inferred finished:   14
            missing from SEC:           2
            bad state in SEC:           3
        last pass:
            found sagas:  15 (in-progress, assigned to this coordinator)
            recovered:     4 (successfully)
            failed:        5
            skipped:       6 (already running)
            removed:       8 (newly finished)
        recent passes (2):
          ITER  TRIGGER  START                        TOOK  FOUND  RECOVERED  FAILED  SKIPPED  REMOVED  RESULT
             7  signal   2026-11-02T09:15:22.640Z     81ms     15          4       5        6        8  completed
             6  timer    2026-11-02T09:05:22.500Z  30s 1ms      -          -       -        -        -  FAILED: listing sagas: no connection to the database, and more words
        recently recovered sagas (2):
          TIME                      SAGA_ID                               NAME                    STATE_NOW
          2026-11-02T09:15:22.709Z  0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0002  project-create\x1b[31m  ?
          2026-11-02T09:15:22.701Z  0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0001  ?                       ?
        recent sagas recovery failures (2):
          TIME                      SAGA_ID                               KIND       MESSAGE
          2026-11-02T09:15:22.719Z  0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0008  ?          no connection
          2026-11-02T09:15:22.718Z  0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0009  permanent  Internal Error: failed to resume saga: deserialize failed: expected value
    "#);
}

#[test]
fn a_narrow_terminal_with_relative_times_and_few_rows() {
    let status = status(&task(idle(), report()), &Part::Present(info()));
    let look = |look| Look { width: Some(80), times: crate::render::TimeStyle::Relative, ..look };
    insta::assert_snapshot!(picture(&status, look, Limit::Rows(1)), @r#"
    coordinator: SEC 65a11c18-7f59-41ac-b9e7-680627f99600 at http://127.0.0.1:12221, version 0.1.0, pid 4711, up 2h 10m
      store: sqlite:/var/lib/sagactl/sagactl.db
      state: healthy, ready, NOT recovered; 29 sagas in flight, 17 of them taken up by recovery

    task: "saga_recovery"
      configured period: every 10m
      currently executing: no
      last completed activation: iter 7, triggered by an explicit signal
        started at 2026-11-02T09:15:22.640Z (44s ago) and ran for 81ms
        since coordinator started:
            sagas recovered:           11
            sagas recovery errors:     12
            sagas observed started:  1300
            sagas inferred finished:   14
            missing from SEC:           2
            bad state in SEC:           3
        last pass:
            found sagas:  15 (in-progress, assigned to this coordinator)
            recovered:     4 (successfully)
            failed:        5
            skipped:       6 (already running)
            removed:       8 (newly finished)
        recent passes (newest 1 of 2; --limit shows more):
          ITER  TRIGGER  START    TOOK  FOUND  RECOVERED  FAILED  SKIPPED  REMOVED
             7  signal   44s ago  81ms     15          4       5        6        8
        recently recovered sagas (newest 1 of 2; --limit shows more):
          TIME     SAGA_ID                               NAME              STATE_NOW
          43s ago  0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0002  project-create\…  ?
        recent sagas recovery failures (newest 1 of 2; --limit shows more):
          TIME     SAGA_ID                               KIND  MESSAGE
          43s ago  0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0008  ?     no connection
    "#);
}

#[test]
fn a_nexus_of_2024_offers_less_and_says_so() {
    let mut old = report();
    let fields = old.as_object_mut().unwrap();
    fields.remove("recent_passes");
    fields.insert("recent_recoveries".to_owned(), json!([]));
    fields.insert("recent_failures".to_owned(), json!([]));
    let missing = Part::Missing("the coordinator does not say who it is (it has no GET /info)".to_owned());
    insta::assert_snapshot!(picture(&status(&task(idle(), old), &missing), |look| look, Limit::Rows(10)), @r#"
    coordinator: at http://127.0.0.1:12221

    task: "saga_recovery"
      configured period: every 10m
      currently executing: no
      last completed activation: iter 7, triggered by an explicit signal
        started at 2026-11-02T09:15:22.640Z (44s ago) and ran for 81ms
        since coordinator started:
            sagas recovered:           11
            sagas recovery errors:     12
            sagas observed started:  1300
            sagas inferred finished:   14
            missing from SEC:           2
            bad state in SEC:           3
        last pass:
            found sagas:  15 (in-progress, assigned to this coordinator)
            recovered:     4 (successfully)
            failed:        5
            skipped:       6 (already running)
            removed:       8 (newly finished)
        no recovered sagas
        no saga recovery failures
    note: the coordinator does not say who it is (it has no GET /info)
    note: the coordinator keeps no history of passes
    "#);
}

#[test]
fn a_failed_pass_and_a_pass_that_never_was() {
    let with = |last_pass: Value| {
        let mut report = report();
        report["last_pass"] = last_pass;
        for list in ["recent_recoveries", "recent_failures", "recent_passes"] {
            report[list] = json!([]);
        }
        let status = status(&task(idle(), report), &Part::Present(info()));
        let picture = picture(&status, |look| look, Limit::None);
        picture.lines().skip_while(|line| !line.contains("bad state")).skip(1).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(with(json!({"Failed": {"message": "no\ndatabase"}})), @r#"
    last pass FAILED: no\ndatabase
    no passes yet
    no recovered sagas
    no saga recovery failures
    "#);
    insta::assert_snapshot!(with(json!("NeverStarted")), @"
    never run
    no passes yet
    no recovered sagas
    no saga recovery failures
    ");
}

#[test]
fn a_task_that_never_completed() {
    let mut never = task(idle(), json!(null));
    never.task.last = crate::wire::bgtasks::LastResult::NeverCompleted;
    insta::assert_snapshot!(picture(&status(&never, &Part::Present(info())), |look| look, Limit::None), @r#"
    coordinator: SEC 65a11c18-7f59-41ac-b9e7-680627f99600 at http://127.0.0.1:12221, version 0.1.0, pid 4711, up 2h 10m
      store: sqlite:/var/lib/sagactl/sagactl.db
      state: healthy, ready, NOT recovered; 29 sagas in flight, 17 of them taken up by recovery

    task: "saga_recovery"
      configured period: every 10m
      currently executing: no
      last completed activation: never
    "#);
}

#[test]
fn what_cannot_be_read_is_shown_as_it_came() {
    let error = status(&task(idle(), json!({"error": "no \u{1b}[2Jdatabase"})), &Part::Present(info()));
    insta::assert_snapshot!(picture(&error, |look| look, Limit::None), @r#"
    coordinator: SEC 65a11c18-7f59-41ac-b9e7-680627f99600 at http://127.0.0.1:12221, version 0.1.0, pid 4711, up 2h 10m
      store: sqlite:/var/lib/sagactl/sagactl.db
      state: healthy, ready, NOT recovered; 29 sagas in flight, 17 of them taken up by recovery

    task: "saga_recovery"
      configured period: every 10m
      currently executing: no
      last completed activation: iter 7, triggered by an explicit signal
        started at 2026-11-02T09:15:22.640Z (44s ago) and ran for 81ms
        last activation FAILED: no \x1b[2Jdatabase
    "#);
    let strange = status(&task(idle(), json!({"passes": [3, "\u{9b}"]})), &Part::Present(info()));
    insta::assert_snapshot!(picture(&strange, |look| look, Limit::None), @r#"
    coordinator: SEC 65a11c18-7f59-41ac-b9e7-680627f99600 at http://127.0.0.1:12221, version 0.1.0, pid 4711, up 2h 10m
      store: sqlite:/var/lib/sagactl/sagactl.db
      state: healthy, ready, NOT recovered; 29 sagas in flight, 17 of them taken up by recovery

    task: "saga_recovery"
      configured period: every 10m
      currently executing: no
      last completed activation: iter 7, triggered by an explicit signal
        started at 2026-11-02T09:15:22.640Z (44s ago) and ran for 81ms
        details:
            {
              "passes": [
                3,
                "\u{9b}"
              ]
            }
    note: the recovery report is of a shape that this version does not know: it has no field "last_pass"
    "#);
}

#[test]
fn colours_are_extra() {
    let status = status(&task(idle(), report()), &Part::Present(info()));
    let plain = picture(&status, |look| look, Limit::None);
    let painted = picture(&status, |look| Look { paint: Paint::On, ..look }, Limit::None);
    let mut stripped = painted.clone();
    for style in [Style::Heading, Style::Good, Style::Warning, Style::Failed, Style::Faint] {
        let (on, off) = style.codes();
        stripped = stripped.replace(on, "").replace(off, "");
    }
    let trim = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    assert_eq!(trim(&stripped), trim(&plain));
    assert!(painted.len() > plain.len() + 100);
}

#[test]
fn json_has_the_documented_fields() {
    let mut status = status(&task(idle(), report()), &Part::Present(info()));
    status.recovery.recovery_failures.as_mut().unwrap().truncate(1);
    status.recovery.recent_passes.as_mut().unwrap().truncate(1);
    status.recovery.recent_recoveries.as_mut().unwrap().truncate(1);
    let mut value = serde_json::to_value(&status).unwrap();
    assert_eq!(value["details"], report(), "the details are kept as they came");
    value["details"] = json!("…");
    insta::assert_snapshot!(serde_json::to_string_pretty(&value).unwrap(), @r#"
    {
      "coordinator": {
        "db_url": "sqlite:/var/lib/sagactl/sagactl.db",
        "external_url": "http://127.0.0.1:12220",
        "healthy": true,
        "pid": 4711,
        "ready": true,
        "recovered": false,
        "sagas_in_flight": 29,
        "sagas_recovering": 17,
        "sec_id": "65a11c18-7f59-41ac-b9e7-680627f99600",
        "store": "sqlite",
        "time_started": "2026-11-02T07:05:22Z",
        "uptime_secs": 7844,
        "url": "http://127.0.0.1:12221",
        "version": "0.1.0"
      },
      "database": null,
      "details": "…",
      "failed_sagas": null,
      "last_pass": {
        "failed": 5,
        "found": 15,
        "message": null,
        "recovered": 4,
        "removed": 8,
        "result": "completed",
        "skipped": 6
      },
      "notes": [],
      "recent_passes": [
        {
          "duration_ms": 81.417,
          "failed": 5,
          "found": 15,
          "iteration": 7,
          "message": null,
          "reason": "signaled",
          "recovered": 4,
          "removed": 8,
          "result": "completed",
          "skipped": 6,
          "time_started": "2026-11-02T09:15:22.640112Z"
        }
      ],
      "recent_recoveries": [
        {
          "current_sec": null,
          "name": "project-create\u001b[31m",
          "saga_id": "0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0002",
          "state": null,
          "time": "2026-11-02T09:15:22.709Z"
        }
      ],
      "recovery_failures": [
        {
          "current_sec": null,
          "kind": null,
          "message": "no connection",
          "saga_id": "0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0008",
          "time": "2026-11-02T09:15:22.719Z"
        }
      ],
      "sagas": null,
      "since_start": {
        "bad_state_in_sec": 3,
        "inferred_finished": 14,
        "missing_from_sec": 2,
        "observed_started": 1300,
        "recovered": 11,
        "recovery_errors": 12
      },
      "task": {
        "current": null,
        "description": "resumes sagas",
        "error": null,
        "last": {
          "elapsed_ms": 81.417,
          "iteration": 7,
          "reason": "signaled",
          "start_time": "2026-11-02T09:15:22.640112Z"
        },
        "name": "saga_recovery",
        "period_secs": 600
      }
    }
    "#);
}

fn group(name: &str, state: &str, outcome: Option<Shared>, count: u64) -> Group {
    let known = |text: &str| Shared::Known(text.to_owned());
    let mut shared = vec![(Key::Name, known(name)), (Key::State, known(state))];
    shared.extend(outcome.map(|outcome| (Key::Outcome, outcome)));
    Group { shared, count }
}

fn failed_saga(
    last: u32,
    outcome: Outcome,
    failed: FailedNode,
    undo_failed: Option<FailedNode>,
) -> ListedSaga {
    ListedSaga {
        saga_id: format!("0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a{last:04}").parse().unwrap(),
        name: Field::Value("vpc-create".to_owned()),
        state: Field::Value("done".to_owned()),
        outcome: Some(outcome),
        current_sec: Field::Null,
        created: Field::NoColumn,
        last_event: Field::Value("2026-11-02T09:15:22.640112Z".parse().unwrap()),
        nodes_done: Some(3),
        nodes_total: Some(18),
        failed: Some(failed),
        undo_failed,
    }
}

#[test]
fn what_the_database_adds() {
    let mut status = status(&task(idle(), json!(null)), &Part::Missing("not asked".to_owned()));
    let node = |node: &str, error: Option<&str>| FailedNode {
        node: node.to_owned(),
        error: error.map(str::to_owned),
    };
    let view = DatabaseView {
        source: "sqlite:/var/lib/sagactl/sagactl.db (sagactl schema 3)".to_owned(),
        names: Part::Missing("not asked".to_owned()),
        failed_sagas: Part::Present(vec![
            failed_saga(
                21,
                Outcome::Stuck,
                node("subnet", Some("no room\u{1b}[31m")),
                Some(node("router", None)),
            ),
            failed_saga(22, Outcome::Failed, node("firewall", Some("told to fail")), None),
        ]),
        sagas: Part::Present(SagaCounts {
            source: "sqlite:/var/lib/sagactl/sagactl.db (sagactl schema 3)".to_owned(),
            unfinished: Counted {
                counted: 41,
                complete: true,
                groups: vec![group("vpc-create", "running", None, 40), group("demo", "unwinding", None, 1)],
            },
            newest: Counted {
                counted: 1000,
                complete: false,
                groups: vec![
                    group("vpc-create", "done", Some(Shared::Known("succeeded".to_owned())), 960),
                    group("vpc-create", "running", Some(Shared::Absent), 38),
                    group("vpc-create", "done", Some(Shared::Known("stuck".to_owned())), 2),
                ],
            },
        }),
    };
    status.add_database(Part::Present(view), SeenBy::Coordinator);
    let of_database = |picture: String| picture[picture.find("database:").unwrap()..].to_owned();
    insta::assert_snapshot!(of_database(picture(&status, |look| look, Limit::Rows(2))), @r#"
    database: sqlite:/var/lib/sagactl/sagactl.db (sagactl schema 3), as the coordinator sees it
        recently failed sagas (2):
          TIME                      SAGA_ID                               NAME        OUTCOME  FAILED_NODE  ERROR            UNDO_ERROR
          2026-11-02T09:15:22.640Z  0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0021  vpc-create  stuck    subnet       no room\x1b[31m  (not recorded)
          2026-11-02T09:15:22.640Z  0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0022  vpc-create  failed   firewall     told to fail     -
        unfinished sagas (41):
          NAME        STATE      COUNT
          vpc-create  running       40
          demo        unwinding      1
        newest 1000 sagas, 2 of 3 kinds; --limit shows more:
          NAME        STATE    OUTCOME    COUNT
          vpc-create  done     succeeded    960
          vpc-create  running  -             38
    note: not asked
    note: the recovery report is of a shape that this version does not know: it is not a JSON object
    note: what became of the recovered sagas is not known: not asked
    "#);
    let narrow = picture(&status, |look| Look { width: Some(80), ..look }, Limit::Rows(1));
    insta::assert_snapshot!(of_database(narrow), @r#"
    database: sqlite:/var/lib/sagactl/sagactl.db (sagactl schema 3)
        as the coordinator sees it
        recently failed sagas (newest 1 of 2; --limit shows more):
          SAGA_ID                               OUTCOME  FAILED_NODE  ERROR         UNDO_ERROR
          0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0021  stuck    subnet       no room\x1b…  (not reco…
        unfinished sagas (41), 1 of 2 kinds; --limit shows more:
          NAME        STATE    COUNT
          vpc-create  running     40
        newest 1000 sagas, 1 of 3 kinds; --limit shows more:
          NAME        STATE  OUTCOME    COUNT
          vpc-create  done   succeeded    960
    note: not asked
    note: the recovery report is of a shape that this version does not know: it is not a JSON object
    note: what became of the recovered sagas is not known: not asked
    "#);
}

#[test]
fn which_database_it_is_does_not_hang_on_its_counts() {
    let mut status = status(&task(idle(), json!(null)), &Part::Missing("not asked".to_owned()));
    let missing = || "it took too long".to_owned();
    let view = DatabaseView {
        source: "sqlite:/var/lib/sagactl/sagactl.db (sagactl schema 3)".to_owned(),
        names: Part::Missing(missing()),
        failed_sagas: Part::Present(Vec::new()),
        sagas: Part::Missing(missing()),
    };
    let blank = DatabaseView { failed_sagas: Part::Missing(missing()), ..view.clone() };
    status.add_database(Part::Present(blank), SeenBy::Coordinator);
    assert_eq!(status.database, None, "nobody has seen anything");
    status.add_database(Part::Present(view), SeenBy::Sagactl);
    let shown = picture(&status, |look| look, Limit::Rows(2));
    assert!(
        shown.contains(
            "\ndatabase: sqlite:/var/lib/sagactl/sagactl.db (sagactl schema 3)\n    no failed sagas\n"
        ),
        "{shown}"
    );
}

#[test]
fn fuzzed_reports_are_shown_whatever_they_hold() {
    let compact = |path: &str| {
        let path = [env!("CARGO_MANIFEST_DIR"), "/fixtures/nexus/", path].concat();
        let text = std::fs::read_to_string(path).expect("a fixture");
        serde_json::from_str::<Value>(&text).expect("JSON").to_string()
    };
    // Both vintages, ours with its passes, and one that runs.
    let seeds = [
        compact("task-2024.json"),
        compact("task-2026.json"),
        compact("task-running.json"),
        task(idle(), report()).raw.to_string(),
    ];
    crate::fuzz::fuzz(&seeds, |bytes, random| {
        let Ok(task) = crate::client::decode::from_bytes(bytes) else { return };
        let raw = crate::client::decode::from_bytes(bytes).expect("what has a shape is JSON");
        let status = status(&FetchedTask { task, raw }, &Part::Missing("no info".to_owned()));
        // In a debug build tables take ten times as long as everything before.
        if random.below(8) != 0 {
            return;
        }
        let shown = picture(&status, |look| look, Limit::None);
        let is_harmful = |c: char| c != '\n' && crate::render::escape::is_hazardous(c);
        assert!(!shown.contains(is_harmful), "{shown:?}");
        serde_json::to_string(&status).expect("what was read can be written");
    });
}

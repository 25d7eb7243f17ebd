//! `sagactl sagas inject-error` and `POST /sagas/{id}/inject-error` on sagas that a living coordinator runs.

use crate::fault_proxy::{Fault, FaultProxy};
use crate::support::coordinator::Coordinator;
use crate::support::{Run, TestEnv, poll_until};
use serde_json::Value;

const GO: [&str; 2] = ["-w", "-y"];
const NOBODY: &str = "99999999-9999-4999-8999-999999999999";

fn json(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"))
}

/// A demo saga that waits in its action: its id, and what would complete it.
fn demo(coordinator: &Coordinator) -> [String; 2] {
    let created = json(&coordinator.env().run(&["demo-saga", "create", "-o", "json"]));
    let [saga, demo] = ["saga_id", "demo_saga_id"].map(|id| created[id].as_str().expect("an id").to_owned());
    poll_until("the demo saga waits in its action", || {
        (json(&coordinator.env().run(&["why", &saga, "-o", "json"]))["node"] == "demo_wait").then_some(())
    });
    [saga, demo]
}

#[test]
fn a_running_saga_is_made_to_unwind_and_its_owner_goes_on() {
    let env = TestEnv::new();
    let mut coordinator = Coordinator::start(&env, &env.path().join("data"), &[]);
    let [saga, _] = demo(&coordinator);
    let [other, completes_other] = demo(&coordinator);
    let env = coordinator.env();
    let inject = |more: &[&str]| env.run(&[&["sagas", "inject-error", &saga], more].concat());
    for (more, code, said) in [
        (&["--dry-run"][..], 0, ", which runs it, to fail node 0 demo_wait\n"),
        (&[], 2, "sagas inject-error cannot be taken back, so it needs -w"),
        (&["-w"], 2, "there is no terminal to ask for confirmation on"),
        (&["-w", "-y", "--node", "1"], 2, "has succeeded, and only"),
        (&["-w", "-y", "--node", "2"], 2, "(which is no action) has not been begun"),
        (&["-w", "-y", "--node", "nonesuch"], 2, "has no node \"nonesuch\""),
    ] {
        let run = inject(more);
        assert_eq!((run.code, run.stderr.contains(said)), (code, true), "{said}: {run}");
    }
    assert_eq!(json(&env.run(&["why", &saga, "-o", "json"]))["verdict"], "running", "nothing was done");

    let run = inject(&[&GO[..], &["--node", "demo_wait", "-o", "json"]].concat());
    assert_eq!(run.code, 0, "{run}");
    let report = json(&run);
    assert_eq!((&report["outcome"], &report["message"]), (&"done".into(), &Value::Null));
    assert_eq!(report["plan"]["writes"]["change"], "inject_error_live");
    assert_eq!(report["plan"]["writes"]["at"], coordinator.ready.internal_url);
    assert_eq!(report["plan"]["cut_off"][0]["name"], "demo_wait");
    let told = poll_until("it has unwound", || {
        let told = json(&env.run(&["why", &saga, "-o", "json"]));
        (told["verdict"] == "failed").then_some(told)
    });
    assert_eq!(told["failed"]["name"], "demo_wait");
    assert_eq!(told["failed"]["error"], "injected error");
    let run = inject(&GO);
    assert_eq!(run.code, 0, "{run}");
    assert!(run.stdout.ends_with("an error has already been injected into node 0 demo_wait\n"), "{run}");
    // Nobody was fenced, and the saga that was left alone ends as it should.
    assert_eq!(env.run(&["demo-saga", "complete", &completes_other]).code, 0);
    poll_until("the other one has succeeded", || {
        (json(&env.run(&["why", &other, "-o", "json"]))["verdict"] == "succeeded").then_some(())
    });
    assert!(coordinator.is_running());
    let check = env.run(&["check", "--only", "I2,I3,I8,I9", "-o", "json"]);
    assert_eq!(check.code, 0, "{check}");
}

#[test]
fn what_became_of_a_lost_answer_is_found_out_from_the_log() {
    let env = TestEnv::new();
    let coordinator = Coordinator::start(&env, &env.path().join("data"), &[]);
    let [saga, _] = demo(&coordinator);
    // The saga's owner is to be found behind the proxy only.
    let behind = |fault| {
        let plan = move |_, line: &str| if line.starts_with("POST /sagas/") { fault } else { Fault::Pass };
        let proxy = FaultProxy::start(&coordinator.ready.internal_url, plan);
        let changed = coordinator.database().execute("UPDATE sec SET internal_address = ?1", [proxy.url()]);
        assert_eq!(changed.expect("a row"), 1);
        proxy
    };
    let env = TestEnv::new().with("SAGACTL_DB_URL", &coordinator.ready.db_url);
    let inject = || env.run(&[&["sagas", "inject-error", &saga], &GO[..]].concat());

    let proxy = behind(Fault::Reset);
    let run = inject();
    assert_eq!(run.code, 3, "{run}");
    assert!(run.stderr.contains("did not say that it is done, and the saga's log does not show it"), "{run}");
    assert!(run.stderr.contains("doing it again is safe"), "{run}");
    assert_eq!(json(&env.run(&["why", &saga, "-o", "json"]))["verdict"], "running");
    drop(proxy);

    let _proxy = behind(Fault::CutAnswer(0));
    let run = inject();
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (0, &*format!("injected an error into saga {saga} demo\n")),
        "{}",
        run.stderr
    );
    poll_until("it has unwound", || {
        (json(&env.run(&["why", &saga, "-o", "json"]))["verdict"] == "failed").then_some(())
    });
}

#[test]
fn the_api_says_what_is_wrong_with_a_request() {
    let env = TestEnv::new();
    let coordinator = Coordinator::start(&env, &env.path().join("data"), &[]);
    let [saga, completes] = demo(&coordinator);
    let post = |saga: &str, body: &str| coordinator.post(&format!("/sagas/{saga}/inject-error"), body);
    for (saga, body, status, said) in [
        (NOBODY, r#"{"node_id": 0}"#, 404, "not found: saga with id"),
        (&saga, r#"{"node_id": 99}"#, 400, "the saga has no node 99; its nodes are 0 to 2"),
        (&saga, r#"{"node_id": 2}"#, 400, "node 2 is no action, so it cannot fail"),
        (&saga, r#"{"node_id": -1}"#, 400, "expected u32"),
        (&saga, "{}", 400, "missing field `node_id`"),
        ("nonesuch", r#"{"node_id": 0}"#, 400, "UUID parsing failed"),
    ] {
        let (answered, answer) = post(saga, body);
        assert!(answered == status && answer.contains(said), "{saga} {body}: {answer}");
    }
    assert_eq!(coordinator.env().run(&["demo-saga", "complete", &completes]).code, 0);
    poll_until("a saga that has ended is refused", || {
        let (status, answer) = post(&saga, r#"{"node_id": 0}"#);
        assert!(status == 409 || status == 503, "{answer}");
        (status == 409 && answer.contains("the saga has come to its end")).then_some(())
    });
    // In the memory of nobody, and in no database.
    let run = coordinator.env().run(&["sagas", "inject-error", NOBODY, "-w", "-y"]);
    assert_eq!((run.code, run.stderr.contains("unknown saga")), (2, true), "{run}");
}

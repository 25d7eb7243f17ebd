//! Sagas that are not the reference coordinator's: the example of the documentation, and one that is wrong on purpose.
//!
//! This program is both the test and the coordinators that the drills start: called with a command it is a service's own
//! program, called without one it runs drills on itself.

#[path = "../../docs/embedding/bank.rs"]
mod bank;
#[path = "../support/postgres.rs"]
mod postgres;
mod wrong;

use postgres::Server;
use serde_json::Value;
use std::process::{Command, ExitCode, Output};

/// Tells a child which sagas are its own.
const OWN_SAGAS: &str = "OWN_SAGAS";

/// All crash points, whichever writes are waited for.
const POINTS: [&str; 3] = ["crash-points", "--mode", "both"];

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("coordinator" | "drill") => match std::env::var(OWN_SAGAS).as_deref() {
            Ok("wrong") => sagactl::cli::main_with(wrong::sagas),
            _ => bank::main(),
        },
        _ => {
            the_example_of_the_documentation_survives_every_crash();
            the_example_of_the_documentation_survives_kills_under_load();
            a_kind_that_is_not_there_is_refused_by_name();
            a_wrong_saga_is_found_with_node_moment_and_effect(&POINTS);
            both_are_found_out_on_a_server_as_well();
            faults_are_refused_by_a_coordinator_that_was_not_started_for_them();
            ExitCode::SUCCESS
        }
    }
}

fn run(own: &str, arguments: &[&str]) -> Output {
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command.env(OWN_SAGAS, own).arg("drill").args(arguments).output().expect("this program runs")
}

/// Runs a drill with these sagas; answers its exit code and its report.
fn drill(own: &str, arguments: &[&str]) -> (Option<i32>, Value) {
    let output = run(own, &[arguments, &["-o", "json"]].concat());
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error} in {:?} after {:?}", output, String::from_utf8_lossy(&output.stderr))
    });
    (output.status.code(), report)
}

fn the_example_of_the_documentation_survives_every_crash() {
    let (code, report) = drill("bank", &POINTS);
    assert_eq!(code, Some(0), "{report:#}");
    // Two actions and the saga's own start and end, three moments each; and what is undone when one of them fails.
    assert!(report["totals"]["points"].as_u64() >= Some(2 * (4 * 3 + 2)), "{report:#}");
    assert_eq!(report["totals"]["points"], report["totals"]["ok"]);
}

fn the_example_of_the_documentation_survives_kills_under_load() {
    let small = ["crash", "--cycles", "3", "--concurrency", "16", "--failing", "0.3"];
    let (code, report) = drill("bank", &small);
    assert_eq!(code, Some(0), "{report:#}");
    let totals = &report["totals"];
    for zero in ["lost", "duplicated", "illegal", "hanging", "incomplete", "recovery_errors"] {
        assert_eq!(totals[zero], 0, "{report:#}");
    }
    for some in ["done", "recovered", "unwound"] {
        assert!(totals[some].as_u64() > Some(0), "{some}: {report:#}");
    }
}

fn a_kind_that_is_not_there_is_refused_by_name() {
    let output = run("bank", &["crash", "--saga", "project-create"]);
    let stderr = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("unknown saga \"project-create\""), "{stderr}");
    assert!(stderr.contains("can drill: transfer"), "{stderr}");
}

fn a_wrong_saga_is_found_with_node_moment_and_effect(points: &[&str]) {
    let (code, report) = drill("wrong", points);
    assert_eq!(code, Some(1), "{report:#}");
    let failed: Vec<&Value> = report["points"]
        .as_array()
        .expect("points")
        .iter()
        .filter(|point| point["verdict"] == "fail")
        .collect();
    let found = |node: &str, direction: &str, problem: &str| {
        failed.iter().any(|point| {
            point["node"] == node
                && point["direction"] == direction
                && point["moment"] == "after_action"
                && point["problems"][0].as_str().is_some_and(|text| text.contains(problem))
        })
    };
    assert!(found("subnet", "forward", "and as succeeded without the crash"), "{failed:#?}");
    assert!(found("vpc", "undo", "the VPC is not there"), "{failed:#?}");
    // What the replay leads to: the VPC is taken back, and the subnet stays behind.
    let effect = failed.iter().any(|point| {
        point["node"] == "subnet"
            && point["rows"][0]["table"] == "wrong_vpc"
            && point["rows"][0]["missing"].as_array().map(Vec::len) == Some(1)
    });
    assert!(effect, "{failed:#?}");
}

fn both_are_found_out_on_a_server_as_well() {
    let database = Server::shared().database();
    let url = database.url();
    let points = ["crash-points", "--mode", "declared", "--db-url", &url];
    let (code, report) = drill("bank", &points);
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(report["totals"]["points"], report["totals"]["ok"]);
    a_wrong_saga_is_found_with_node_moment_and_effect(&points);
    assert_eq!(database.sql("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'sagactl%'"), "0");
}

fn faults_are_refused_by_a_coordinator_that_was_not_started_for_them() {
    use std::io::{Read, Write};
    let dir = tempfile::tempdir().expect("a directory");
    let ready = dir.path().join("ready.json");
    let mut coordinator = Command::new(std::env::current_exe().expect("this program"))
        .args([
            "coordinator",
            "run",
            "--until-stdin-closes",
            "--internal",
            "127.0.0.1:0",
            "--external",
            "127.0.0.1:0",
        ])
        .arg("--data-dir")
        .arg(dir.path())
        .arg("--ready-file")
        .arg(&ready)
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("this program runs");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let text = loop {
        match std::fs::read_to_string(&ready) {
            Ok(text) => break text,
            Err(_) if std::time::Instant::now() < deadline => {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            Err(error) => panic!("the coordinator was not ready in time: {error}"),
        }
    };
    let ready: Value = serde_json::from_str(&text).expect("a ready file");
    let address =
        ready["internal_url"].as_str().and_then(|url| url.strip_prefix("http://")).expect("an address");
    let body = r#"{"rules":[]}"#;
    let mut stream = std::net::TcpStream::connect(address).expect("a connection");
    write!(
        stream,
        "POST /fault HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
    .expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(answer.contains("--allow-faults"), "{answer}");
    coordinator.kill().expect("it can be killed");
    coordinator.wait().expect("it ends");
}

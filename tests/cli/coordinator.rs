//! `sagactl coordinator run`: what it refuses, and what it says then.

use crate::support::TestEnv;
use crate::support::coordinator::Coordinator;
use std::net::TcpListener;

/// Runs a coordinator that is expected not to start, on free ports.
fn refused(env: &TestEnv, arguments: &[&str]) -> (i32, String) {
    let command = ["coordinator", "run", "--internal", "127.0.0.1:0", "--external", "127.0.0.1:0"];
    let run = env.run(&[&command[..], arguments].concat());
    (run.code, run.stderr)
}

#[test]
fn a_data_directory_has_one_coordinator_at_a_time() {
    let env = TestEnv::new();
    let data_dir = env.path().join("data");
    let _first = Coordinator::start(&env, &data_dir, &[]);
    let (code, stderr) = refused(&env, &["--data-dir", data_dir.to_str().expect("text")]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("is in use by another coordinator"), "{stderr}");
    assert!(stderr.contains("hint: give each coordinator a --data-dir of its own"), "{stderr}");
}

#[test]
fn unusable_places_are_refused_with_the_reason() {
    let env = TestEnv::new();
    let path = |name: &str| env.path().join(name).to_str().expect("text").to_owned();
    std::fs::write(path("file"), "not a directory").expect("a file");
    let (code, stderr) = refused(&env, &["--data-dir", &path("file")]);
    assert_eq!(code, 2, "{stderr}");
    assert!(
        stderr.starts_with("error: the coordinator cannot start\ncaused by: making data directory"),
        "{stderr}"
    );

    std::fs::create_dir(path("strange")).expect("a directory");
    std::fs::write(path("strange/sagactl.db"), "this is no database, and long enough to tell".repeat(9))
        .expect("a file");
    let (code, stderr) = refused(&env, &["--data-dir", &path("strange")]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("caused by: opening the database"), "{stderr}");

    std::fs::create_dir(path("ids")).expect("a directory");
    std::fs::write(path("ids/sec-id"), "me").expect("a file");
    let (code, stderr) = refused(&env, &["--data-dir", &path("ids")]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("does not hold a SEC id but \"me\""), "{stderr}");
}

#[test]
fn a_newer_database_is_left_alone() {
    let env = TestEnv::new();
    let data_dir = env.path().join("data");
    let mut coordinator = Coordinator::start(&env, &data_dir, &[]);
    coordinator.kill();
    coordinator.database().execute("UPDATE sagactl_schema SET version = 999", []).expect("changed");
    let (code, stderr) = refused(&env, &["--data-dir", data_dir.to_str().expect("text")]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("is at schema 999, this program knows up to"), "{stderr}");
}

#[test]
fn a_taken_port_is_named() {
    let env = TestEnv::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let data_dir = env.path().join("data");
    let run = env.run(&[
        "coordinator",
        "run",
        "--data-dir",
        data_dir.to_str().expect("text"),
        "--internal",
        &address,
        "--external",
        "127.0.0.1:0",
    ]);
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains(&format!("listening on {address} for the internal API")), "{run}");
    assert!(run.stderr.contains("hint: choose another address with --internal"), "{run}");
}

#[test]
fn only_loopback_addresses_are_listened_on() {
    let env = TestEnv::new();
    let run = env.run(&["coordinator", "run", "--external", "0.0.0.0:0"]);
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.starts_with("error: --external 0.0.0.0:0 is not a loopback address"), "{run}");
}

#[test]
fn wrong_values_are_named_with_what_would_do() {
    let env = TestEnv::new();
    for (arguments, words) in [
        (&["--internal", "nowhere"][..], "invalid value 'nowhere' for '--internal <ADDR>'"),
        (&["--sec-id", "me"], "invalid value 'me' for '--sec-id <UUID>'"),
        (&["--recovery-period", "soon"], "invalid value 'soon' for '--recovery-period <DUR>'"),
        (&["--recovery-period", "0s"], "a period must be longer than nothing"),
        (&["--on-session-loss", "panic"], "invalid value 'panic' for '--on-session-loss <WHAT>'"),
        (&["--db-url", "postgresql://localhost/x?sslmode=maybe"], "not the URL of a database"),
    ] {
        let run = env.run(&[&["coordinator", "run"], arguments].concat());
        assert_eq!(run.code, 2, "{arguments:?}: {run}");
        assert!(run.stderr.contains(words), "{arguments:?}: {run}");
    }
}

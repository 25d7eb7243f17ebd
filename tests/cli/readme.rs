//! The README is true: every `sagactl` command in it runs, and does what a reader would expect of it.

use crate::support::TestEnv;
use crate::support::coordinator::Coordinator;
use std::path::Path;

/// Commands of the README, in order.
fn commands() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = std::fs::read_to_string(path).expect("the README is there");
    text.lines().filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned).collect()
}

#[test]
fn every_command_of_the_readme_works() {
    let env = TestEnv::new();
    let coordinator = Coordinator::start(&env, &env.path().join("data"), &[]);
    let (internal, external) = (&coordinator.ready.internal_url, &coordinator.ready.external_url);
    let env = coordinator.env();
    let mut run = 0;
    for command in commands() {
        // Quotes keep what the shell would take for its own; no word holds a blank.
        let words: Vec<&str> = command.split_whitespace().map(|word| word.trim_matches('\'')).collect();
        match words.as_slice() {
            // What CI itself does, or what other tests do: the tour, the coordinator, and the watch that never ends.
            ["cargo", "run", "--release", "--", "demo"]
            | ["cargo", "install", "--path", "."]
            | ["cargo", "bench"]
            | ["tests/run"]
            | ["sagactl", "coordinator", "run", "--data-dir", "/tmp/saga-data"]
            | ["sagactl", "status", "--watch"] => {}
            [
                "sagactl",
                "coordinator",
                "run",
                "--data-dir",
                _,
                "--db-url",
                "postgresql://sagactl@db/sagas",
                ..,
            ] => {}
            ["sagactl", arguments @ ..] => {
                // The default ports may be taken on the machine that tests, and nothing is called `db` there.
                let place = |word: &&str| match *word {
                    "http://127.0.0.1:12221" => internal.clone(),
                    "http://127.0.0.1:12220" => external.clone(),
                    "postgresql://sagactl@db/sagas" => coordinator.ready.db_url.clone(),
                    other => other.to_owned(),
                };
                let arguments: Vec<String> = arguments.iter().map(place).collect();
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                let result = env.run(&arguments);
                assert_eq!(result.code, 0, "{command}: {result}");
                assert!(!result.stdout.is_empty(), "{command} says nothing");
                run += 1;
            }
            _ => panic!("no test knows how to run {command:?}"),
        }
    }
    assert!(run >= 6, "only {run} commands of the README were run");
}

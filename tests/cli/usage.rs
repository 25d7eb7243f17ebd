//! Wrong usage: one `error:` line, exit code 2, nothing on standard output.

use crate::support::TestEnv;

#[test]
fn wrong_usage_says_what_is_wrong() {
    let env = TestEnv::new();
    for (arguments, error) in [
        (&[][..], "error: 'sagactl' requires a subcommand but one was not provided"),
        (&["tasks"], "error: 'sagactl tasks' requires a subcommand but one was not provided"),
        (&["stauts"], "error: unrecognized subcommand 'stauts'"),
        (&["status", "--frobnicate"], "error: unexpected argument '--frobnicate' found"),
        (&["status", "-o", "xml"], "error: invalid value 'xml' for '--output <FORMAT>'"),
        (&["status", "--color", "blue"], "error: invalid value 'blue' for '--color <WHEN>'"),
        (
            &["status", "--timeout", "0s"],
            "error: invalid value '0s' for '--timeout <DURATION>': must be more than zero",
        ),
        (
            &["status", "--timeout", "soon"],
            "error: invalid value 'soon' for '--timeout <DURATION>': expected number at 0; durations look like \
             500ms, 30s or 2m",
        ),
        (&["status", "--limit", "-1"], "error: unexpected argument '-1' found"),
        (
            &["status", "--limit", "many"],
            "error: invalid value 'many' for '--limit <N>': invalid digit found in string",
        ),
        (
            &["--url", "localhost:12221", "status"],
            "error: invalid value 'localhost:12221' for '--url <URL>': the scheme is missing; try \
             http://localhost:12221",
        ),
        (
            &["--url", "ftp://h", "status"],
            "error: invalid value 'ftp://h' for '--url <URL>': scheme \"ftp\" is not supported, only http and https are",
        ),
        (
            &["--url", "http://h", "--url", "http://i", "why", "x"],
            "error: --url was given more than once, and this command is about one coordinator",
        ),
        (
            &["--db-url", "mysql://h", "status"],
            "error: invalid value 'mysql://h' for '--db-url <URL>': databases are sqlite:PATH or postgresql://…",
        ),
        (
            &["--context", "rack", "status"],
            "error: unknown context \"rack\": there is no config file DIR/config/sagactl/config.toml",
        ),
        (&["activate"], "error: the following required arguments were not provided:"),
        (&["activate", ""], "error: invalid value '' for '<TASK>...': a task has a name"),
        (
            &["activate", "recovery", "-o", "ids"],
            "error: activate has no output format \"ids\"; it has table, json, jsonl",
        ),
        (&["demo-saga", "complete"], "error: the following required arguments were not provided:"),
        (&["completions", "fisch"], "error: invalid value 'fisch' for '<SHELL>'"),
    ] {
        let run = env.run(arguments);
        assert_eq!(run.code, 2, "{arguments:?}: {run}");
        assert_eq!(run.stdout, "", "{arguments:?}");
        let first = run.stderr.lines().next().unwrap_or_default();
        assert_eq!(first, error, "{arguments:?}: {run}");
    }
}

#[test]
fn help_and_version_are_answers() {
    let env = TestEnv::new();
    for arguments in [&["--help"][..], &["-V"], &["status", "-h"], &["tasks", "list", "--help"]] {
        let run = env.run(arguments);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{arguments:?}");
        assert!(!run.stdout.is_empty());
    }
    assert_eq!(env.run(&["--version"]).stdout, format!("sagactl {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn global_flags_go_before_or_after_the_command() {
    let env = TestEnv::new();
    let url = crate::support::server::closed_port();
    for arguments in [["--url", &url, "status"], ["status", "--url", &url]] {
        let run = env.run(&arguments);
        assert!(run.stderr.starts_with(&format!("error: cannot reach a coordinator at {url}\n")), "{run}");
    }
}

#[test]
fn every_shell_gets_its_completions() {
    let env = TestEnv::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let run = env.run(&["completions", shell]);
        assert!(run.code == 0 && run.stdout.contains("demo-saga"), "{shell}: {}", run.stderr);
    }
}

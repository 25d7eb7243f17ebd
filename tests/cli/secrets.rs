//! Secrets stay secret: whatever a command does, and however it fails, nothing that it writes holds a token or a password
//! that it was given.

use crate::support::coordinator::Coordinator;
use crate::support::server::{Reply, Server, closed_port};
use crate::support::{Run, TestEnv};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// What no output may hold. In URLs with characters that end a part of one, if somebody reads it carelessly.
const SECRET: &str = "PLANTED";

fn secret_file(env: &TestEnv, name: &str, text: &str, mode: u32) -> PathBuf {
    let path = env.path().join(name);
    fs::write(&path, text).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
    path
}

fn assert_silent(run: &Run, arguments: &[&str]) {
    assert!(!run.stdout.contains(SECRET), "{arguments:?}: {run}");
    assert!(!run.stderr.contains(SECRET), "{arguments:?}: {run}");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[test]
fn no_command_repeats_a_token_a_password_or_a_url_with_one() {
    let env = TestEnv::new();
    let token = secret_file(&env, "token", "PLANTED-token\n", 0o600);
    let exposed = secret_file(&env, "exposed", "PLANTED-exposed\n", 0o644);
    let malformed = secret_file(&env, "malformed", "PLANTED two words\nPLANTED\n", 0o600);
    let (token, exposed, malformed) = (text(&token), text(&exposed), text(&malformed));
    let coordinator = Coordinator::start(&env, &env.path().join("data"), &["--token-file", token]);
    let refusing = Server::start(|_, _| Reply::fixture(500, "nexus/error-internal.json"));
    let urls = [coordinator.ready.internal_url.clone(), refusing.url(), closed_port()];
    let external = &coordinator.ready.external_url;

    let mut ran = 0;
    for url in &urls {
        for secret in [token, exposed, malformed] {
            for command in [
                &["status"][..],
                &["status", "-o", "json"],
                &["tasks", "list"],
                &["activate", "saga_recovery"],
                &["sagas", "list", "--source", "api"],
                &["demo-saga"],
            ] {
                let global = ["-vv", "--no-retry", "--timeout", "5s", "--url", url, "--token-file", secret];
                let arguments = [command, &global].concat();
                assert_silent(&env.run(&arguments), &arguments);
                ran += 1;
            }
        }
    }
    // Logging in, at a server that knows nobody, with every way to get it wrong.
    for file in [token, exposed, malformed, "missing"] {
        let arguments = [
            "blast",
            "--count",
            "1",
            "-vv",
            "--timeout",
            "5s",
            "--url",
            &urls[0],
            "--external-url",
            external,
            "--token-file",
            token,
            "--login",
            "main/alice",
            "--password-file",
            file,
        ];
        assert_silent(&env.run(&arguments), &arguments);
        ran += 1;
    }
    let port = closed_port().rsplit_once(':').expect("a port").1.to_owned();
    for db_url in [
        format!("postgresql://u:PLANTED@127.0.0.1:{port}/db"),
        format!("postgresql://u:a?PLANTED/@127.0.0.1:{port}/db"),
        format!("postgresql://u@127.0.0.1:{port}/db?password=PLANTED"),
        format!("postgresql://u@127.0.0.1:{port}/db?password:PLANTED"),
        format!("postgresql://u:PLANTED@127.0.0.1:{port}/db?sslmode=nonsense"),
        "mysql://u:PLANTED@h/db".to_owned(),
        "u:PLANTED@h".to_owned(),
        "postgresql:u:PLANTED@h".to_owned(),
    ] {
        for command in
            [&["sagas", "list"][..], &["check"], &["status"], &["secs", "list"], &["sagas", "count"]]
        {
            let arguments =
                [command, &["-vv", "--no-retry", "--timeout", "2s", "--url", &urls[2], "--db-url", &db_url]]
                    .concat();
            let run = env.run(&arguments);
            assert_ne!(run.code, 0, "{arguments:?}: {run}");
            assert_silent(&run, &arguments);
            ran += 1;
        }
        let by_variable = TestEnv::new().with("SAGACTL_DB_URL", &db_url).run(&["sagas", "list", "-vv"]);
        assert_silent(&by_variable, &["SAGACTL_DB_URL"]);
        let file = format!("[contexts.default]\ndb-url = {db_url:?}\n");
        assert_silent(&TestEnv::new().with_config(&file).run(&["sagas", "list", "-vv"]), &["config.toml"]);
        let data = env.path().join("other");
        let arguments = ["coordinator", "run", "--data-dir", text(&data), "--db-url", &db_url];
        assert_silent(&env.run(&arguments), &arguments);
        ran += 3;
    }
    for url in [
        "http://u:PLANTED@127.0.0.1:1",
        "u:PLANTED@127.0.0.1:1",
        "ftp://u:PLANTED@h",
        "http://h/?token=PLANTED",
    ] {
        for flag in ["--url", "--external-url"] {
            let arguments = ["status", flag, url];
            let run = env.run(&arguments);
            assert_eq!(run.code, 2, "{run}");
            assert_silent(&run, &arguments);
            ran += 1;
        }
    }
    assert!(ran > 100, "{ran}");
    assert!(!coordinator.log().contains(SECRET), "{}", coordinator.log());
    let ready = serde_json::to_string(&coordinator.ready).expect("JSON");
    assert!(!ready.contains(SECRET), "{ready}");
}

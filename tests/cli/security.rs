//! Who may call a coordinator: every operation of both APIs, over bare TCP as a browser or a stranger would.

use crate::support::TestEnv;
use crate::support::coordinator::Coordinator;
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

const TOKEN: &str = "a-token-that-nobody-guesses";
const PASSWORD: &str = "correct horse battery staple";

/// A file that its owner alone can read.
fn secret(env: &TestEnv, name: &str, text: &str) -> PathBuf {
    let path = env.path().join(name);
    fs::write(&path, text).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
    path
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

fn address_of(url: &str) -> &str {
    url.strip_prefix("http://").expect("a URL")
}

/// Sends a request with these headers beside its length; answers with status, headers and body.
fn send(address: &str, line: &str, headers: &[&str], body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    write!(
        stream,
        "{line} HTTP/1.1\r\n{headers}Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line");
    (status, answer)
}

/// Method and path of every operation of a committed OpenAPI document, with something in place of each parameter.
fn operations(document: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi").join(document);
    let document: Value = serde_json::from_slice(&fs::read(path).expect("a document")).expect("JSON");
    let paths = document["paths"].as_object().expect("paths");
    let mut lines: Vec<_> = paths
        .iter()
        .flat_map(|(path, methods)| {
            let path = path.split('/').map(|part| if part.starts_with('{') { "x" } else { part });
            let path = path.collect::<Vec<_>>().join("/");
            methods
                .as_object()
                .expect("methods")
                .keys()
                .map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect();
    lines.push("GET /no/such/route".to_owned());
    lines.push("BREW /info".to_owned());
    lines
}

#[test]
fn nothing_but_ping_and_login_is_done_for_strangers() {
    let env = TestEnv::new();
    let token = secret(&env, "token", TOKEN);
    let coordinator = Coordinator::start(&env, &env.path().join("data"), &["--token-file", text(&token)]);
    for (url, document) in [
        (&coordinator.ready.internal_url, "internal.json"),
        (&coordinator.ready.external_url, "external.json"),
    ] {
        let address = address_of(url);
        let host = format!("Host: {address}");
        for line in operations(document) {
            let (status, answer) = send(address, &line, &[&host], "{");
            if line.ends_with("/v1/ping") {
                assert_eq!(status, 200, "{line}: {answer}");
            } else if line.contains("/login/") {
                assert!(matches!(status, 400 | 404), "{line}: {answer}");
            } else {
                assert_eq!(status, 401, "{line}: {answer}");
                assert!(answer.to_lowercase().contains("www-authenticate: bearer"), "{answer}");
            }
            let (status, answer) = send(address, &line, &[&host, "Authorization: Bearer guess"], "{");
            assert!(status == 401 || line.contains("ping") || line.contains("/login/"), "{line}: {answer}");
        }
    }
    let env = coordinator.env();
    let run = env.run(&["status"]);
    assert_eq!(run.code, 3, "{run}");
    assert!(run.stderr.contains("401") && !run.stderr.contains(TOKEN), "{run}");
    let run = env.run(&["status", "--token-file", text(&token)]);
    assert_eq!(run.code, 0, "{run}");
    let blast = ["blast", "--count", "5", "--concurrency", "2", "--quiet", "--token-file", text(&token)];
    let run = env.run(&blast);
    assert_eq!(run.code, 0, "{run}");
}

#[test]
fn web_pages_and_rebound_names_can_start_nothing() {
    let env = TestEnv::new();
    let coordinator = Coordinator::start(&env, &env.path().join("data"), &["--host-name", "saga.example"]);
    for (url, document) in [
        (&coordinator.ready.internal_url, "internal.json"),
        (&coordinator.ready.external_url, "external.json"),
    ] {
        let address = address_of(url);
        let host = format!("Host: {address}");
        for line in operations(document) {
            for headers in [
                &["Host: evil.example"][..],
                &[&host, "Origin: https://evil.example"],
                &[&host, "Origin: null"],
                &[&host, "Sec-Fetch-Site: cross-site"],
            ] {
                let (status, answer) = send(address, &line, headers, "{}");
                assert_eq!(status, 403, "{line} {headers:?}: {answer}");
            }
        }
        assert_eq!(send(address, "GET /v1/ping", &[], "").0, 400);
        assert_eq!(send(address, "GET /v1/ping", &["Host: saga.example"], "").0, 200);
        assert_eq!(send(address, "GET /v1/ping", &["Host: localhost:1"], "").0, 200);
    }
    let sagas: i64 =
        coordinator.database().query_row("SELECT count(*) FROM saga", [], |row| row.get(0)).expect("a count");
    assert_eq!(sagas, 0, "none of all that has started anything");
    assert!(!coordinator.log().contains("API version"), "{}", coordinator.log());
}

#[test]
fn users_log_in_and_stay_so_through_a_restart() {
    let env = TestEnv::new();
    let password = secret(&env, "password", PASSWORD);
    let line = env.run(&["coordinator", "hash-password", "main/alice", "--password-file", text(&password)]);
    assert_eq!(line.code, 0, "{line}");
    assert!(line.stdout.starts_with("main/alice:$argon2id$"), "{line}");
    let users = secret(&env, "users", &line.stdout);
    let data = env.path().join("data");
    let more = ["--users-file", text(&users)];
    let mut coordinator = Coordinator::start(&env, &data, &more);

    let at = coordinator.env();
    let as_alice = ["blast", "--count", "5", "--concurrency", "2", "--quiet", "--login", "main/alice"];
    let run = at.run(&[&as_alice[..], &["--password-file", text(&password)]].concat());
    assert_eq!(run.code, 0, "{run}");
    let wrong = secret(&env, "wrong", "not it");
    let run = at.run(&[&as_alice[..], &["--password-file", text(&wrong)]].concat());
    assert!(run.code != 0 && run.stderr.contains("401"), "{run}");

    let log_in = |address: &str, password: &str| {
        let body = format!(r#"{{"username":"alice","password":"{password}"}}"#);
        send(address, "POST /v1/login/main/local", &[&format!("Host: {address}")], &body)
    };
    let address = address_of(&coordinator.ready.external_url).to_owned();
    let host = format!("Host: {address}");
    let (status, answer) = log_in(&address, PASSWORD);
    assert_eq!(status, 204, "{answer}");
    let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let cookie = format!("Cookie: {}", cookie.split(';').next().expect("a pair"));
    assert_eq!(send(&address, "GET /v1/projects", &[&host], "").0, 401);
    assert_eq!(send(&address, "GET /v1/projects", &[&host, &cookie], "").0, 200);

    coordinator.kill();
    let coordinator = Coordinator::start(&env, &data, &more);
    let address = address_of(&coordinator.ready.external_url).to_owned();
    let host = format!("Host: {address}");
    assert_eq!(send(&address, "GET /v1/projects", &[&host, &cookie], "").0, 200);
    assert_eq!(send(&address, "GET /v1/projects", &[&host, &format!("{cookie}x")], "").0, 401);

    // The internal API has no users, and asks nobody on the loopback interface.
    assert_eq!(coordinator.env().run(&["status"]).code, 0);

    let answers: Vec<_> = (0..8).map(|_| log_in(&address, "guess")).collect();
    assert!(answers.iter().take(3).all(|(status, _)| *status == 401), "{answers:?}");
    let (status, answer) = answers.last().expect("answers");
    assert_eq!(*status, 429, "{answer}");
    assert!(answer.to_lowercase().contains("retry-after: "), "{answer}");
    assert_eq!(send(&address, "GET /v1/projects", &[&host, &cookie], "").0, 200, "sessions go on");
}

#[test]
fn beyond_loopback_only_for_those_who_ask() {
    let env = TestEnv::new();
    let token = secret(&env, "token", TOKEN);
    let data = env.path().join("data");
    let run = env.run(&["coordinator", "run", "--internal", "0.0.0.0:0", "--data-dir", text(&data)]);
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("hint: give --token-file, or --insecure-no-auth"), "{run}");
    // What the tool shows is not what a coordinator asks for.
    let with_variable = TestEnv::new().with("SAGACTL_TOKEN_FILE", text(&token));
    let run =
        with_variable.run(&["coordinator", "run", "--internal", "0.0.0.0:0", "--data-dir", text(&data)]);
    assert_eq!(run.code, 2, "{run}");

    for (name, content, mode, words) in [
        ("open", "main/alice:x", 0o644, "can be read by others than its owner (mode 644)"),
        (
            "plain",
            "main/alice:secret",
            0o600,
            "line 1 of users file DIR/plain has no argon2id hash after the colon",
        ),
        ("empty", "# nobody\n", 0o600, "names nobody"),
    ] {
        let path = secret(&env, name, content);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        let run = env.run(&["coordinator", "run", "--users-file", text(&path), "--data-dir", text(&data)]);
        assert_eq!(run.code, 2, "{run}");
        assert!(run.stderr.contains(words) && !run.stderr.contains("secret"), "{run}");
    }
}

#[test]
fn a_password_comes_from_standard_input_too() {
    let env = TestEnv::new();
    let hash = |user: &str, input: &str| {
        let mut child = env
            .command(&["coordinator", "hash-password", user])
            .stdin(Stdio::piped())
            .spawn()
            .expect("it starts");
        child.stdin.take().expect("an input").write_all(input.as_bytes()).expect("it reads");
        child.wait_with_output().expect("it ends")
    };
    let good = hash("main/bob", "a password\n");
    assert!(good.status.success() && good.stdout.starts_with(b"main/bob:$argon2id$"), "{good:?}");
    assert_eq!(hash("main/bob", "").status.code(), Some(2));
    assert_eq!(hash("bob", "a password\n").status.code(), Some(2));
}

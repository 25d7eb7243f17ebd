//! Servers that lie. Whatever they send, a command ends by itself, soon, with one error and the exit code that belongs to
//! it, and nothing of theirs reaches the terminal as anything but text.

use crate::support::server::{Reply, Server};
use crate::support::{Run, TestEnv, fixture, fixture_json};
use serde_json::json;
use std::sync::Arc;

/// Runs a command against a server that sends these bytes to every request and closes.
fn against(bytes: impl Into<Vec<u8>>, arguments: &[&str]) -> Run {
    let bytes = Arc::new(bytes.into());
    let server = Server::start(move |_, _| Reply::Bytes(bytes.to_vec()));
    TestEnv::at(&server).run(&[arguments, &["--no-retry", "--timeout", "20s"]].concat())
}

/// One error, told in one line that does nothing to a terminal.
fn assert_one_error(run: &Run, code: i32, what: &str) {
    assert_eq!(run.code, code, "{what}: {run}");
    assert!(run.stdout.is_empty(), "{what}: {run}");
    let errors = run.stderr.lines().filter(|line| line.starts_with("error: ")).count();
    assert_eq!(errors, 1, "{what}: {run}");
    assert!(run.stderr.len() < 4_000, "{what}: nobody reads {} bytes of error", run.stderr.len());
    assert_harmless(run, what);
}

fn assert_harmless(run: &Run, what: &str) {
    let is_harmful = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!run.stdout.contains(is_harmful), "{what}: {run}");
    assert!(!run.stderr.contains(is_harmful), "{what}: {run}");
}

fn ok(headers: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{headers}\r\n{body}")
}

#[test]
fn answers_that_can_be_read_in_two_ways_are_not_read() {
    let task = fixture("nexus/task-2026.json");
    let length = task.len();
    let chunked = format!("{length:x}\r\n{task}\r\n0\r\n\r\n");
    for (what, answer) in [
        ("two lengths", ok(&format!("content-length: 2\r\ncontent-length: {length}\r\n"), &task)),
        ("a list of lengths", ok(&format!("content-length: 2, {length}\r\n"), &task)),
        ("a negative length", ok("content-length: -1\r\n", &task)),
        ("a length with a sign", ok(&format!("content-length: +{length}\r\n"), &task)),
        ("a length in words", ok("content-length: all of it\r\n", &task)),
        ("a length beyond all numbers", ok("content-length: 99999999999999999999999\r\n", &task)),
        ("chunks without end", ok("transfer-encoding: chunked\r\n", &format!("{length:x}\r\n{task}\r\n"))),
        (
            "a chunk of a negative size",
            ok("transfer-encoding: chunked\r\n", &format!("-1\r\n{task}\r\n0\r\n\r\n")),
        ),
        (
            "a chunk beyond all numbers",
            ok("transfer-encoding: chunked\r\n", &format!("fffffffffffffffff\r\n{task}\r\n0\r\n\r\n")),
        ),
        ("chunks by another name", ok("transfer-encoding: xchunked\r\ncontent-length: 5\r\n", &chunked)),
        ("a header folded into two lines", ok("x-a: b\r\n content-length: 2\r\nbad header\r\n", &task)),
        ("a header with a NUL", ok("x-a: \0\r\ncontent-length: 2\r\n", "{}")),
        ("a header without a name", ok(": x\r\ncontent-length: 2\r\n", "{}")),
        ("no such version", format!("HTTP/9.9 200 OK\r\ncontent-length: {length}\r\n\r\n{task}")),
        ("no such status", "HTTP/1.1 99999 OK\r\ncontent-length: 2\r\n\r\n{}".to_owned()),
        ("a status that is none", "HTTP/1.1 abc OK\r\ncontent-length: 2\r\n\r\n{}".to_owned()),
        ("only interim answers", "HTTP/1.1 100 Continue\r\n\r\n".repeat(50)),
        (
            "another protocol, uninvited",
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\n\r\n".to_owned(),
        ),
    ] {
        let run = against(answer, &["status"]);
        assert!([3, 5].contains(&run.code), "{what}: {run}");
        assert_one_error(&run, run.code, what);
    }
}

#[test]
fn a_length_and_chunks_together_are_read_as_the_standard_says_and_nothing_follows() {
    // Chunks win over a length; what stands behind the last chunk is nobody's second answer, because the connection is
    // not used again.
    let task = fixture("nexus/task-2026.json");
    let second = fixture("nexus/task-never.json");
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{task}\r\n0\r\n\r\n\
         HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{second}",
        task.len(),
        second.len()
    );
    let run = against(answer, &["tasks", "show", "saga_recovery", "-o", "json"]);
    if run.code == 0 {
        assert!(run.stdout.contains("\"iteration\": 7"), "the first answer counts: {run}");
    } else {
        assert_one_error(&run, run.code, "a length and chunks");
    }
}

#[test]
fn heads_without_an_end_end() {
    let many: String = (0..5_000).map(|n| format!("x-{n}: y\r\n")).collect();
    assert_one_error(&against(ok(&many, "{}"), &["status"]), 3, "five thousand headers");
    let long = format!("x: {}\r\n", "y".repeat(8 * 1024 * 1024));
    assert_one_error(&against(ok(&long, "{}"), &["status"]), 3, "a header of eight megabytes");
    let status = format!("HTTP/1.1 200 {}", "O".repeat(8 * 1024 * 1024));
    assert_one_error(&against(status, &["status"]), 3, "a status line of eight megabytes");
}

#[test]
fn bodies_are_read_up_to_a_limit_whatever_their_framing() {
    let chunk = format!("100000\r\n{}\r\n", " ".repeat(0x10_0000));
    let chunks = ok("transfer-encoding: chunked\r\n", &chunk.repeat(66));
    let run = against(chunks, &["tasks", "list"]);
    assert_one_error(&run, 5, "66 chunks of a megabyte");
    assert!(run.stderr.contains("the answer is larger than 67108864 bytes"), "{run}");
    let run = against(ok("connection: close\r\n", &" ".repeat(66 * 1024 * 1024)), &["tasks", "list"]);
    assert_one_error(&run, 5, "66 megabytes until the connection ends");
}

#[test]
fn json_that_is_deep_wide_or_wrong_is_an_error_at_its_place() {
    let in_json = |body: &str| {
        ok(&format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()), body)
    };
    for body in [
        "[".repeat(1_000_000),
        "{\"a\":".repeat(200_000),
        format!("{:?}", "x".repeat(3_000_000)),
        format!("{{\"{}\": 1}}", "k".repeat(3_000_000)),
        "[1e999]".to_owned(),
        "{\"name\": \"\\ud800\"}".to_owned(),
        "nul".to_owned(),
        "\u{feff}{}".to_owned(),
        "{\"name\":\"a\",\"name\":\"b\"}".to_owned(),
    ] {
        let beginning: String = body.chars().take(20).collect();
        for arguments in [&["status"][..], &["tasks", "list"], &["sagas", "list", "--source", "api"]] {
            let run = against(in_json(&body), arguments);
            // A list of tasks may have one whose value makes no sense; that is shown in its place.
            if arguments[0] == "tasks" && !run.stdout.is_empty() {
                assert_harmless(&run, &beginning);
                assert!(run.stderr.len() < 4_000, "{beginning}: {} bytes of error", run.stderr.len());
                continue;
            }
            assert_one_error(&run, 5, &format!("{beginning} for {arguments:?}"));
        }
    }
    let not_text =
        [b"HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n{\"name\":\"".to_vec(), vec![0xff, 0xfe, b'"', b'}']]
            .concat();
    assert_one_error(&against(not_text, &["status"]), 5, "what is not UTF-8");
}

#[test]
fn every_field_of_another_type_is_told_and_nothing_panics() {
    // Each value of a good answer gives way to one of another type, one at a time.
    let good = fixture_json("nexus/task-2026.json");
    let mut paths = Vec::new();
    places(&good, String::new(), &mut paths);
    assert!(paths.len() > 30, "{paths:?}");
    let wrong =
        [json!(null), json!("\u{1b}[2J"), json!(-1), json!(1e300), json!({"\u{1b}[2J": []}), json!([[]])];
    let server = Server::start(move |_, before| {
        let mut task = good.clone();
        let place = task.pointer_mut(&paths[(before / wrong.len()) % paths.len()]).expect("a place");
        *place = wrong[before % wrong.len()].clone();
        Reply::json(200, task.to_string())
    });
    let env = TestEnv::at(&server);
    // One request each; a process for each is dear, so every fifth will do.
    for _ in 0..40 {
        let run = env.run(&["tasks", "show", "saga_recovery", "--no-retry"]);
        assert!([0, 1, 5].contains(&run.code), "{run}");
        assert_harmless(&run, "a field of another type");
    }
}

/// Pointers to every value in a document.
fn places(value: &serde_json::Value, at: String, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| places(value, format!("{at}/{name}"), found));
        }
        serde_json::Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| places(value, format!("{at}/{index}"), found));
        }
        _ => {}
    }
    found.push(at);
}

#[test]
fn names_and_messages_do_nothing_to_a_terminal() {
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{202e}\r\n\u{8}evil";
    let mut task = fixture_json("nexus/task-2026.json");
    task["description"] = json!(evil);
    let details = &mut task["last"]["details"]["details"];
    details["recent_failures"][0]["message"] = json!(evil);
    let tasks = json!({ "saga_recovery": task, evil: task });
    let saga = json!({"id": "0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0001", "state": {"state": "failed",
        "error_node_name": evil, "error_info": {"error": "action_failed", "source_error": {"message": evil}}}});
    let refusal = json!({"message": evil, "error_code": evil, "request_id": evil});
    let server = Server::start(move |request, _| match request.path.as_str() {
        "/bgtasks" => Reply::json(200, tasks.to_string()),
        "/bgtasks/view/saga_recovery" => Reply::json(200, task.to_string()),
        path if path.starts_with("/sagas?") => {
            Reply::json(200, json!({"items": [saga], "next_page": null}).to_string())
        }
        path if path.starts_with("/sagas/") => Reply::json(200, saga.to_string()),
        "/info" | "/quiesce" => Reply::no_route(),
        _ => Reply::Answer(
            400,
            vec![format!("x-evil: {}", evil.replace(['\r', '\n'], ""))],
            refusal.to_string(),
        ),
    });
    let env = TestEnv::at(&server);
    for arguments in [
        &["status"][..],
        &["status", "-o", "json"],
        &["tasks", "list"],
        &["tasks", "show", "saga_recovery"],
        &["tasks", "show", evil],
        &["activate", "saga_recovery"],
        &["demo-saga"],
        &["check"],
        &["why", "0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0001"],
    ] {
        let run = env.run(&[arguments, &["--no-retry", "--timeout", "5s"]].concat());
        assert_harmless(&run, &format!("{arguments:?}"));
        assert!(run.code <= 5, "{arguments:?}: {run}");
    }
}

#[test]
fn a_refusal_of_a_megabyte_is_told_in_short() {
    let words = "no ".repeat(1_000_000);
    let refusal = json!({"message": words, "error_code": words, "request_id": words}).to_string();
    let server = Server::start(move |_, _| Reply::json(400, refusal.clone()));
    let run = TestEnv::at(&server).run(&["status", "--no-retry"]);
    assert_one_error(&run, 2, "a long refusal");
}

#[test]
fn a_wrong_content_type_changes_nothing_about_what_was_sent() {
    // What decides is what came: a coordinator behind a careless proxy still can be asked.
    let task = fixture("nexus/task-2026.json");
    let server = Server::start(move |request, _| match request.path.as_str() {
        "/info" => Reply::no_route(),
        _ => Reply::Answer(200, vec!["content-type: text/html".to_owned()], task.clone()),
    });
    assert_eq!(TestEnv::at(&server).run(&["status"]).code, 0);
}

#[test]
fn a_redirect_is_not_followed_and_takes_no_token_along() {
    let elsewhere = Server::start(|_, _| Reply::fixture(200, "nexus/task-2026.json"));
    let location = format!("location: {}/bgtasks/view/saga_recovery", elsewhere.url());
    for status in [301, 302, 303, 307, 308] {
        let headers = vec![location.clone()];
        let server = Server::start(move |_, _| Reply::Answer(status, headers.clone(), String::new()));
        let env = TestEnv::at(&server);
        let token = env.path().join("token");
        std::fs::write(&token, "PLANTED").expect("a file");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&token, mode).expect("a mode");
        let run = env.run(&["status", "--no-retry", "--token-file", token.to_str().expect("text")]);
        assert_one_error(&run, 5, "a redirect");
        assert!(server.requests()[0].headers.iter().any(|header| header == "authorization: Bearer PLANTED"));
    }
    assert_eq!(elsewhere.asked(), Vec::<String>::new());
}

/// A list of sagas whose pages the closure makes; it is told how many came before.
fn pages(page: impl Fn(usize) -> serde_json::Value + Send + Sync + 'static) -> Server {
    Server::start(move |request, before| {
        if request.path.starts_with("/sagas?") {
            Reply::json(200, page(before).to_string())
        } else {
            Reply::no_route()
        }
    })
}

#[test]
fn lists_without_an_end_end() {
    let saga = json!({"id": "0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0001", "state": {"state": "running"}});
    let one = saga.clone();
    let circle = pages(move |_| json!({"items": [one], "next_page": "again\u{1b}[2J"}));
    let empty = pages(|before| json!({"items": [], "next_page": format!("page-{before}")}));
    let one = saga.clone();
    let long = pages(move |_| json!({"items": [one], "next_page": "t".repeat(1_000_000)}));
    for (what, server, words) in [
        ("a circle", circle, "twice; its list would never end"),
        ("empty pages", empty, "after an empty page"),
        ("a token of a megabyte", long, "a page token that nobody can send"),
    ] {
        let run = list_sagas(&server);
        assert_one_error(&run, 5, what);
        assert!(run.stderr.contains(words), "{what}: {run}");
        assert!(server.asked().len() < 10, "{what}: {:?}", server.asked().len());
    }
    // Pages that always go on, each in good order: the whole list has a limit.
    let padding = "x".repeat(1024 * 1024);
    let sagas: Vec<_> = (0..16)
        .map(|n| {
            json!({"id": format!("0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a{n:04}"),
        "state": {"state": "failed", "error_node_name": padding, "error_info": {"error": "injected_error"}}})
        })
        .collect();
    let items = Arc::new(serde_json::to_string(&sagas).expect("JSON"));
    let endless = Server::start(move |_, before| {
        Reply::json(200, format!("{{\"items\":{items},\"next_page\":\"page-{before}\"}}"))
    });
    let run = list_sagas(&endless);
    assert_one_error(&run, 5, "pages that always go on");
    assert!(run.stderr.contains("the answer is larger than 268435456 bytes"), "{run}");
    assert!(endless.asked().len() < 20, "{}", endless.asked().len());
}

/// The command that asks for the whole list.
fn list_sagas(server: &Server) -> Run {
    TestEnv::at(server).run(&["sagas", "list", "--source", "api", "--no-retry", "--timeout", "60s"])
}

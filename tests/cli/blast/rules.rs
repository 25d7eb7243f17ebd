//! What makes a run a failure.

use super::{ID, against, report};
use crate::support::server::{Reply, Server};
use serde_json::{Value, json};

/// A server that refuses every third creation and keeps the rest.
fn refusing() -> Server {
    let made = std::sync::Mutex::new(Vec::<String>::new());
    Server::start(move |request, before| {
        let mut made = made.lock().expect("nobody panics here");
        match request.method.as_str() {
            "POST" if before % 3 == 2 => Reply::json(503, r#"{"message":"busy"}"#),
            "POST" => {
                let body: Value = serde_json::from_str(&request.body).expect("JSON");
                made.push(body["name"].as_str().expect("a name").to_owned());
                Reply::json(201, format!(r#"{{"id":"{ID}","name":{}}}"#, body["name"]))
            }
            _ if request.path.starts_with("/v1/projects") => {
                let items: Vec<_> = made.iter().map(|name| json!({"name": name})).collect();
                Reply::json(200, json!({"items": items, "next_page": null}).to_string())
            }
            _ => Reply::no_route(),
        }
    })
}

#[test]
fn a_broken_rule_is_exit_1_and_a_kept_one_is_not() {
    let server = refusing();
    let blast = |rules: &[&str]| {
        let arguments =
            ["blast", "--count", "9", "--concurrency", "1", "--ignore-errors", "-o", "json", "--quiet"];
        against(&server).run(&[&arguments[..], rules].concat())
    };
    let run = blast(&["--fail-if", "p99>1h", "--fail-if", "errors>90%"]);
    assert_eq!(run.code, 0, "{run}");
    let kept = report(&run.stdout);
    assert_eq!((&kept["rules"][0]["rule"], &kept["rules"][0]["broken"]), (&"p99>1h".into(), &false.into()));

    let run = blast(&["--fail-if", "p99>1h", "--fail-if", "errors>10%", "--fail-if", "done<100"]);
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains("error: what must not be is so: errors>10%, done<100"), "{run}");
    assert_eq!(report(&run.stdout)["rules"][2]["value"].as_f64(), Some(6.0));
}

#[test]
fn so_many_failures_end_it_with_exit_1() {
    let server = refusing();
    let run = against(&server).run(&[
        "blast",
        "--concurrency",
        "1",
        "--ignore-errors",
        "--max-failures",
        "2",
        "-o",
        "json",
    ]);
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains("error: 2 requests went wrong, which --max-failures ends"), "{run}");
    let report = report(&run.stdout);
    assert_eq!((&report["ended"], &report["failed"]), (&"failures".into(), &2.into()));
}

#[test]
fn nothing_measured_keeps_no_rule() {
    let server = Server::start(|_, _| Reply::json(500, "{}"));
    let run = against(&server).run(&[
        "blast",
        "--count",
        "3",
        "--ignore-errors",
        "--fail-if",
        "p99<1ms",
        "-o",
        "json",
    ]);
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains("nothing was measured, so nothing can be said for it"), "{run}");
    assert_eq!(report(&run.stdout)["rules"][0]["value"], Value::Null);
}

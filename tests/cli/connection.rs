//! Servers that are not there, are somebody else, or behave badly.

use crate::support::TestEnv;
use crate::support::fixture;
use crate::support::server::{Reply, Server, closed_port};
use std::time::Duration;

#[test]
fn nobody_listens() {
    let run = TestEnv::new().with("SAGACTL_URL", &closed_port()).run(&["status"]);
    insta::assert_snapshot!(run, @r#"
    ! error: cannot reach a coordinator at http://127.0.0.1:PORT
    ! caused by: fetching background task "saga_recovery": Connection refused
    !   ✓ address  http://127.0.0.1:PORT
    !   - DNS      not needed for an IP address
    !   ✗ TCP      127.0.0.1:PORT: Connection refused
    !   - TLS      did not come to it
    !   - answer   did not come to it
    ! hint: `sagactl coordinator run` starts a coordinator, --url names another address
    = 3
    "#);
    assert!(
        run.took < Duration::from_secs(2),
        "a port that refuses is given up fast, not after {:?}",
        run.took
    );
}

#[test]
fn a_name_that_does_not_resolve() {
    let run = TestEnv::new().run(&["status", "--url", "http://no-such-host.invalid:12221", "--no-retry"]);
    assert_eq!(run.code, 3, "{run}");
    assert!(run.stderr.contains("  ✗ DNS      no-such-host.invalid: "), "{run}");
    assert!(run.stderr.contains("  - TCP      did not come to it\n"), "{run}");
}

#[test]
fn the_port_speaks_something_else() {
    let ssh = Server::greeting(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n");
    insta::assert_snapshot!(TestEnv::at(&ssh).run(&["status"]), @r#"
    ! error: what listens at http://127.0.0.1:PORT is not a coordinator
    ! caused by: fetching background task "saga_recovery": the answer is not HTTP: it begins with "SSH-2.0-OpenSSH_9.2p1 Debian-2"
    !   ✓ address  http://127.0.0.1:PORT
    !   - DNS      not needed for an IP address
    !   ✓ TCP      127.0.0.1:PORT accepts connections
    !   - TLS      not used with http
    !   ✗ answer   not HTTP: it begins with "SSH-2.0-OpenSSH_9.2p1 Debian-2"
    ! hint: is that the port of the internal API? it is 12221 unless it was set, and 12232 on newer Nexuses
    = 5
    "#);
    let silent = Server::start(|_, _| Reply::Bytes(b"\x00\x1b[2Jbinary".to_vec()));
    let run = TestEnv::at(&silent).run(&["status"]);
    assert_eq!(run.code, 5, "{run}");
    assert!(!run.stderr.contains('\u{1b}'));
}

#[test]
fn a_web_server_is_no_coordinator() {
    let page = "<!DOCTYPE html>\n<html><head><title>It works!</title></head>";
    let html = vec!["content-type: text/html".to_owned()];
    let headers = html.clone();
    let found = Server::start(move |_, _| Reply::Answer(200, headers.clone(), page.to_owned()));
    insta::assert_snapshot!(TestEnv::at(&found).run(&["status"]), @r#"
    ! error: cannot make sense of the answer from http://127.0.0.1:PORT
    ! caused by: fetching background task "saga_recovery": the answer is not JSON; it begins with "<!DOCTYPE html>\n<html><head><title>It works!</title></head>"
    ! hint: is that the port of the internal API? it is 12221 unless it was set, and 12232 on newer Nexuses
    = 5
    "#);
    let missing = Server::start(move |_, _| Reply::Answer(404, html.clone(), page.to_owned()));
    insta::assert_snapshot!(TestEnv::at(&missing).run(&["status"]), @r#"
    ! error: no coordinator answers at http://127.0.0.1:PORT
    ! caused by: fetching background task "saga_recovery": the server answered 404 Not Found and, in place of an error body, "<!DOCTYPE html>\n<html><head><title>It works!</title></head>"
    ! hint: is that the port of the internal API? it is 12221 unless it was set, and 12232 on newer Nexuses
    = 5
    "#);
    let moved = Server::start(|_, _| {
        Reply::Answer(302, vec!["location: http://127.0.0.1:1/".to_owned()], String::new())
    });
    insta::assert_snapshot!(TestEnv::at(&moved).run(&["status"]), @r#"
    ! error: no coordinator answers at http://127.0.0.1:PORT
    ! caused by: fetching background task "saga_recovery": the server answered 302 Found without a word
    ! hint: is that the port of the internal API? it is 12221 unless it was set, and 12232 on newer Nexuses
    = 5
    "#);
}

#[test]
fn the_wrong_api_is_noticed() {
    let external = Server::start(|_, _| Reply::no_route());
    insta::assert_snapshot!(TestEnv::at(&external).run(&["status"]), @r#"
    ! error: there is no such operation at http://127.0.0.1:PORT
    ! caused by: fetching background task "saga_recovery": the server answered 404 Not Found: "Not Found" (request "5c1e0a52-6b0f-4a6e-9d0e-1f6a2a3b4c5d")
    ! hint: is that the port of the internal API? it is 12221 unless it was set, and 12232 on newer Nexuses
    = 5
    "#);
}

#[test]
fn refusals_and_troubles_have_their_hints() {
    let with = |status: u16, fixture_name: &'static str| {
        let server = Server::start(move |_, _| Reply::fixture(status, fixture_name));
        TestEnv::at(&server).with("SAGACTL_NO_RETRY", "true").run(&["status"])
    };
    insta::assert_snapshot!(with(503, "nexus/error-unavailable.json"), @r#"
    ! error: not available just now: the coordinator at http://127.0.0.1:PORT
    ! caused by: fetching background task "saga_recovery": the server answered 503 Service Unavailable, "ServiceNotAvailable": "Service Unavailable" (request "5c1e0a52-6b0f-4a6e-9d0e-1f6a2a3b4c5d")
    ! hint: it may be starting, quiescing, or without its database; try again
    = 3
    "#);
    insta::assert_snapshot!(with(500, "nexus/error-internal.json"), @r#"
    ! error: trouble inside the coordinator at http://127.0.0.1:PORT
    ! caused by: fetching background task "saga_recovery": the server answered 500 Internal Server Error, "Internal": "Internal Server Error" (request "5c1e0a52-6b0f-4a6e-9d0e-1f6a2a3b4c5d")
    ! hint: the cause is in the coordinator's log, under the id of the request
    = 3
    "#);
    let unauthorized = with(401, "nexus/error-internal.json");
    assert_eq!(unauthorized.code, 3);
    assert!(
        unauthorized.stderr.contains("\nhint: --token-file names a file with the bearer token\n"),
        "{unauthorized}"
    );
}

#[test]
fn a_moment_of_trouble_is_waited_out() {
    let task = fixture("nexus/task-2026.json");
    let server = Server::start(move |request, before| match request.path.as_str() {
        "/info" => Reply::no_route(),
        _ if before < 2 => Reply::fixture(503, "nexus/error-unavailable.json"),
        _ if before < 4 => Reply::Close,
        _ => Reply::json(200, task.clone()),
    });
    let env = TestEnv::at(&server);
    let run = env.run(&["-v", "status", "-o", "ids"]);
    assert_eq!(run.code, 0, "{run}");
    assert!(
        run.stderr.contains("fetching background task \"saga_recovery\" again in "),
        "retries are told at -v: {run}"
    );
    assert!(run.stderr.contains("the server answered 503 Service Unavailable"), "{run}");
    assert!(!run.stderr.contains(": GET "), "requests are told at -vv only: {run}");
    assert!(env.run(&["-vv", "status"]).stderr.contains(&format!(": GET {}/info\n", server.url())));
}

#[test]
fn no_retry_means_once() {
    let server = Server::start(|_, _| Reply::fixture(503, "nexus/error-unavailable.json"));
    let run = TestEnv::at(&server).run(&["tasks", "list", "--no-retry"]);
    assert_eq!((run.code, server.asked().len()), (3, 1), "{run}");
}

#[test]
fn a_server_that_never_answers_is_given_up_in_time() {
    let server = Server::start(|_, _| Reply::Hang);
    let run = TestEnv::at(&server).run(&["status", "--timeout", "300ms"]);
    assert_eq!(run.code, 4, "{run}");
    assert!(run.took < Duration::from_secs(5), "{:?}", run.took);
    let mut lines = run.stderr.lines();
    assert_eq!(
        crate::support::steady(lines.next().unwrap()),
        "error: timed out waiting for the coordinator at http://127.0.0.1:PORT"
    );
    assert!(
        lines
            .next()
            .unwrap()
            .starts_with("caused by: fetching background task \"saga_recovery\": no answer within ")
    );
}

#[test]
fn answers_that_break_off_or_never_end() {
    for (bytes, code) in [
        (&b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"name\":"[..], 3),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n{\"name\":", 5),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 5),
        (b"HTTP/1.1 20", 3),
        (b"", 3),
    ] {
        let server = Server::start(move |_, _| Reply::Bytes(bytes.to_vec()));
        let run = TestEnv::at(&server).run(&["status", "--no-retry"]);
        assert_eq!(run.code, code, "{:?}: {run}", String::from_utf8_lossy(bytes));
    }
    // More than we are willing to hold is refused before it is held.
    let endless = Server::start(|_, _| {
        let mut bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n".to_vec();
        bytes.resize(70 * 1024 * 1024, b' ');
        Reply::Bytes(bytes)
    });
    let run = TestEnv::at(&endless).run(&["tasks", "list", "--no-retry"]);
    assert_eq!(run.code, 5, "{run}");
    assert!(run.stderr.contains("the answer is larger than 67108864 bytes"), "{run}");
}

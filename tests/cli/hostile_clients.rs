//! Clients that lie. Whatever they send to either API, the coordinator answers or closes the connection, stays what it is,
//! and starts nothing.

use crate::support::coordinator::Coordinator;
use crate::support::{TestEnv, poll_until};
use sagactl::blast::limits::make_room_for;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// How long an answer may take before it counts as none; nothing here should need a hundredth of it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Host and port of an API.
fn authority(url: &str) -> &str {
    url.strip_prefix("http://").expect("a URL")
}

/// Sends bytes as they are, says that no more will come, and reads until the server closes.
fn send(url: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(authority(url)).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    // A server that has seen enough closes while we still write.
    let _ = stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write));
    read_to_the_end(stream)
}

/// Sends a whole request and reads the answer. To a server, somebody who says that no more will come has hung up, and need
/// not be answered any more what takes a while.
fn ask(url: &str, request: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(authority(url)).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    stream.write_all(request.as_bytes()).expect("it reads");
    read_to_the_end(stream)
}

fn read_to_the_end(mut stream: TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return answer,
            Ok(count) => answer.extend_from_slice(&piece[..count]),
            // Reset: closed with something of ours unread.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return answer,
            Err(error) => panic!("neither an answer nor an end: {error}; so far {answer:?}"),
        }
    }
}

/// The statuses of all answers in what a server sent.
fn statuses(answers: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(answers);
    let heads =
        text.match_indices("HTTP/1.1 ").filter_map(|(at, head)| text.get(at + head.len()..)?.get(..3));
    heads.map(|status| status.parse().expect("a status")).collect()
}

/// Requests that ask for something to be made, in ways that must not make it. `{host}` is the API's own authority.
fn lies() -> Vec<(&'static str, Vec<u8>)> {
    let project = r#"{"name":"from-a-liar","description":""}"#;
    let post =
        |headers: &str, body: &str| format!("POST /v1/projects HTTP/1.1\r\n{headers}\r\n{body}").into_bytes();
    let json = "host: {host}\r\ncontent-type: application/json\r\n";
    let length = project.len();
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let mut lies = vec![
        (
            "no Host",
            post(&format!("content-type: application/json\r\ncontent-length: {length}\r\n"), project),
        ),
        ("two Hosts", post(&format!("{json}host: {{host}}\r\ncontent-length: {length}\r\n"), project)),
        (
            "a foreign Host",
            post(
                &format!(
                    "host: evil.example\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n"
                ),
                project,
            ),
        ),
        (
            "a page of another origin",
            post(&format!("{json}origin: http://evil.example\r\ncontent-length: {length}\r\n"), project),
        ),
        (
            "a page of another site",
            post(&format!("{json}sec-fetch-site: cross-site\r\ncontent-length: {length}\r\n"), project),
        ),
        ("two lengths", post(&format!("{json}content-length: 2\r\ncontent-length: {length}\r\n"), project)),
        ("a negative length", post(&format!("{json}content-length: -{length}\r\n"), project)),
        ("a length with a sign", post(&format!("{json}content-length: +{length}\r\n"), project)),
        ("a length that is longer", post(&format!("{json}content-length: {}\r\n", length + 7), project)),
        ("a length that is shorter", post(&format!("{json}content-length: {}\r\n", length - 1), project)),
        ("a body beyond the limit", post(&format!("{json}content-length: 200000\r\n"), &" ".repeat(200_000))),
        ("a length beyond all memory", post(&format!("{json}content-length: 999999999999\r\n"), project)),
        (
            "chunks beyond the limit",
            post(
                &format!("{json}transfer-encoding: chunked\r\n"),
                &format!("4000\r\n{}\r\n", " ".repeat(0x4000)).repeat(12),
            ),
        ),
        (
            "a chunk without a size",
            post(&format!("{json}transfer-encoding: chunked\r\n"), &format!("xyz\r\n{project}\r\n0\r\n\r\n")),
        ),
        (
            "a chunk of a negative size",
            post(&format!("{json}transfer-encoding: chunked\r\n"), &format!("-1\r\n{project}\r\n0\r\n\r\n")),
        ),
        (
            "a chunk beyond all numbers",
            post(
                &format!("{json}transfer-encoding: chunked\r\n"),
                &format!("fffffffffffffffff\r\n{project}\r\n0\r\n\r\n"),
            ),
        ),
        (
            "chunks that break off",
            post(&format!("{json}transfer-encoding: chunked\r\n"), &format!("{length:x}\r\n{project}\r\n")),
        ),
        (
            "an encoding that nobody knows",
            post(&format!("{json}transfer-encoding: gzip, xchunked\r\n"), project),
        ),
        ("deep JSON", post(&format!("{json}content-length: {}\r\n", deep.len()), &deep)),
        (
            "deep JSON in a field",
            post(
                &format!("{json}content-length: {}\r\n", deep.len() + 41),
                &format!("{{\"name\":\"from-a-liar\",\"description\":{deep}    }}"),
            ),
        ),
        ("words for JSON", post(&format!("{json}content-length: 5\r\n"), "hello")),
        ("an empty body", post(json, "")),
        (
            "another type",
            post(
                &format!("host: {{host}}\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n"),
                project,
            ),
        ),
        (
            "a long header",
            post(&format!("{json}x: {}\r\ncontent-length: {length}\r\n", "y".repeat(1_000_000)), project),
        ),
        (
            "many headers",
            post(&format!("{json}{}content-length: {length}\r\n", "x: y\r\n".repeat(5_000)), project),
        ),
        ("a header with a NUL", post(&format!("{json}x: \0\r\ncontent-length: {length}\r\n"), project)),
        ("a header with a space in its name", post(&format!("{json}content-length : {length}\r\n"), project)),
        (
            "a long target",
            format!("GET /{} HTTP/1.1\r\nhost: {{host}}\r\n\r\n", "a".repeat(200_000)).into_bytes(),
        ),
        (
            "a target of broken escapes",
            b"GET /v1/projects/%zz%00%ff?limit=%f0 HTTP/1.1\r\nhost: {host}\r\n\r\n".to_vec(),
        ),
        ("a target upwards", b"GET /../../etc/passwd HTTP/1.1\r\nhost: {host}\r\n\r\n".to_vec()),
        (
            "another's target",
            b"GET http://evil.example/v1/projects HTTP/1.1\r\nhost: {host}\r\n\r\n".to_vec(),
        ),
        ("a tunnel", b"CONNECT evil.example:443 HTTP/1.1\r\nhost: evil.example\r\n\r\n".to_vec()),
        ("no such version", b"GET /v1/projects HTTP/9.9\r\nhost: {host}\r\n\r\n".to_vec()),
        ("HTTP/2 uninvited", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec()),
        ("TLS", [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], &[7; 506]].concat()),
        ("half a request line", b"POST /v1/proj".to_vec()),
        ("half a head", b"POST /v1/projects HTTP/1.1\r\nhost: {host}\r\ncontent-le".to_vec()),
        ("nothing", Vec::new()),
        ("lines without end", b"\r\n".repeat(10_000)),
        ("noise", (0..20_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()),
    ];
    let not_text = [&b"{\"name\":\"from-a-liar\",\"description\":\"\xff\xfe\"}"[..]].concat();
    let mut request = post(&format!("{json}content-length: {}\r\n", not_text.len()), "");
    request.extend_from_slice(&not_text);
    lies.push(("a body that is not UTF-8", request));
    lies
}

#[test]
fn whatever_clients_send_both_apis_live_on_and_nothing_is_started() {
    let env = TestEnv::new();
    let mut coordinator = Coordinator::start(&env, &env.path().join("data"), &[]);
    let apis = [coordinator.ready.internal_url.clone(), coordinator.ready.external_url.clone()];
    for (what, lie) in lies() {
        for url in &apis {
            // Only texts have the place for it.
            let lie = match String::from_utf8(lie.clone()) {
                Ok(text) => text.replace("{host}", authority(url)).into_bytes(),
                Err(_) => lie.clone(),
            };
            let answer = send(url, &lie);
            for status in statuses(&answer) {
                assert!((400..500).contains(&status) || status == 505, "{what}: {status} at {url}");
            }
        }
    }
    // The internal API's own changes, from a page and by another name.
    let [internal, external] = &apis;
    for headers in
        ["host: evil.example", "host: {host}\r\norigin: http://evil.example", "host: {host}\r\norigin: null"]
    {
        let headers = headers.replace("{host}", authority(internal));
        for path in ["/demo-saga", "/quiesce", "/bgtasks/activate"] {
            let request = format!(
                "POST {path} HTTP/1.1\r\n{headers}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
            assert_eq!(statuses(&ask(internal, &request)), [403], "{path} with {headers}");
        }
    }
    assert!(coordinator.is_running());
    for url in [internal, external] {
        let ping = format!("GET /v1/ping HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", authority(url));
        assert_eq!(statuses(&ask(url, &ping)), [200]);
    }
    let count = |table: &str| -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        coordinator.database().query_row(&sql, [], |row| row.get(0)).expect("a count")
    };
    assert_eq!((count("saga"), count("project")), (0, 0), "nothing was started");
    // Told straight, the same request does make something.
    let body = r#"{"name":"from-a-liar","description":""}"#;
    let honest = format!(
        "POST /v1/projects HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        authority(external),
        body.len()
    );
    assert_eq!(statuses(&ask(external, &honest)), [201]);
    assert!(!coordinator.log().contains("panicked"), "{}", coordinator.log());
}

#[test]
fn what_follows_a_request_is_another_request_or_nothing() {
    let env = TestEnv::new();
    let coordinator = Coordinator::start(&env, &env.path().join("data"), &[]);
    for url in [&coordinator.ready.internal_url, &coordinator.ready.external_url] {
        let host = authority(url);
        let ping = format!("GET /v1/ping HTTP/1.1\r\nhost: {host}\r\n\r\n");
        let last = format!("GET /v1/ping HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        let three = format!("{ping}{ping}{last}");
        assert_eq!(statuses(&ask(url, &three)), [200; 3], "in order, one after the other");
        let junk = format!("{ping}\0\x01junk that is no request\r\n\r\n{ping}");
        assert_eq!(statuses(&ask(url, &junk)), [200, 400], "nothing is read behind junk");
        // A length and chunks at once: were the length believed, what stands in the body would be a request of its own.
        let hidden = format!("DELETE /v1/projects/x HTTP/1.1\r\nhost: {host}\r\n\r\n");
        let smuggled = format!(
            "POST /v1/projects HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: 4\r\n\
             transfer-encoding: chunked\r\n\r\n{:x}\r\n{hidden}\r\n0\r\n\r\n",
            hidden.len()
        );
        let answers = statuses(&send(url, smuggled.as_bytes()));
        assert!(answers.len() <= 1 && answers.iter().all(|status| *status >= 400), "{answers:?}");
    }
}

/// Sends the head of a request and then its body byte by byte, as long as the server likes. What came back.
fn drip(url: &str, path: &str, framing: &str, byte: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(authority(url)).expect("it listens");
    // Looking for an answer is the pause between two bytes.
    stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a time");
    let host = authority(url);
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n{framing}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("it reads");
    let deadline = Instant::now() + PATIENCE;
    let mut answer = Vec::new();
    while Instant::now() < deadline {
        let mut piece = [0; 4096];
        match stream.read(&mut piece) {
            Ok(0) => return answer,
            Ok(count) => answer.extend_from_slice(&piece[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                // Whoever is not listened to any more learns it by reading.
                let _ = stream.write_all(byte.as_bytes());
            }
            Err(_) => return answer,
        }
    }
    panic!("{path} with {framing}: still read after {PATIENCE:?}; so far {answer:?}");
}

#[test]
fn a_body_that_drips_is_not_waited_for() {
    let env = TestEnv::new();
    let coordinator = Coordinator::start(&env, &env.path().join("data"), &[]);
    let (internal, external) = (&coordinator.ready.internal_url, &coordinator.ready.external_url);
    std::thread::scope(|scope| {
        let drips = [
            (internal, "/bgtasks/activate", "content-length: 60000", " "),
            (external, "/v1/projects", "content-length: 60000", " "),
            (external, "/v1/projects", "transfer-encoding: chunked", "1\r\n \r\n"),
            // Nothing of it ever comes.
            (external, "/v1/login/main/local", "content-length: 60", ""),
        ];
        let dripping = drips
            .map(|(url, path, framing, byte)| (path, scope.spawn(move || drip(url, path, framing, byte))));
        for (path, answer) in dripping {
            let answer = answer.join().expect("an end");
            let text = String::from_utf8_lossy(&answer).into_owned();
            // Without users nobody can log in, and nobody waits for what they say.
            let expected = if path.starts_with("/v1/login") { [408, 404] } else { [408, 408] };
            assert!(statuses(&answer).iter().all(|status| expected.contains(status)), "{path}: {text}");
            assert!(!answer.is_empty(), "{path}: not a word");
        }
    });
    let projects: i64 = coordinator
        .database()
        .query_row("SELECT count(*) FROM project", [], |row| row.get(0))
        .expect("a count");
    assert_eq!(projects, 0);
}

/// Creates a project on a connection that is there already.
fn create_project(stream: &mut TcpStream, host: &str, name: &str) {
    let body = format!("{{\"name\":\"{name}\",\"description\":\"\"}}");
    let request = format!(
        "POST /v1/projects HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    // Its body ends with the brace.
    while !answer.ends_with(b"}") {
        let count = stream.read(&mut piece).expect("an answer");
        assert_ne!(count, 0, "closed after {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&piece[..count]);
    }
    assert_eq!(statuses(&answer), [201], "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn a_flood_of_idle_connections_stops_neither_sagas_nor_heartbeats() {
    const DESCRIPTORS: u32 = 2_048;
    make_room_for(DESCRIPTORS + 512).expect("descriptors for this side of the connections");
    let env = TestEnv::new();
    let heartbeat = env.path().join("heartbeat");
    let more = ["--heartbeat-file", heartbeat.to_str().expect("text"), "-v"];
    let mut coordinator =
        Coordinator::start_with_descriptors(&env, &env.path().join("data"), DESCRIPTORS, &more);
    let host = authority(&coordinator.ready.external_url).to_owned();
    let mut before = TcpStream::connect(&host).expect("it listens");
    before.set_read_timeout(Some(PATIENCE)).expect("a time");
    create_project(&mut before, &host, "before");

    let address = authority(&coordinator.ready.internal_url).parse().expect("an address");
    let mut flood = Vec::new();
    // The system has a queue of its own for those that wait, and does not answer those beyond it.
    while flood.len() < DESCRIPTORS as usize + 64 {
        match TcpStream::connect_timeout(&address, Duration::from_secs(2)) {
            Ok(stream) => flood.push(stream),
            Err(_) => break,
        }
    }
    assert!(flood.len() > 1_900, "{} connections: {}", flood.len(), coordinator.log());
    let told = "no new connections are taken until others have ended; sagas go on";
    poll_until("the coordinator says that it is full", || coordinator.log().contains(told).then_some(()));

    for number in 0..20 {
        create_project(&mut before, &host, &format!("meanwhile-{number}"));
    }
    // A file that has to be opened anew, which takes a descriptor.
    std::fs::remove_file(&heartbeat).expect("it was there");
    poll_until("the heartbeat file is there again", || heartbeat.exists().then_some(()));
    let done: i64 = coordinator
        .database()
        .query_row("SELECT count(*) FROM saga WHERE saga_state = 'done'", [], |row| row.get(0))
        .expect("a count");
    assert_eq!(done, 21);
    assert!(coordinator.log().matches("Too many open files").count() < 20, "{}", coordinator.log());

    drop(flood);
    let status = poll_until("it answers again", || {
        let run = coordinator.env().run(&["status", "--timeout", "5s"]);
        (run.code == 0).then_some(run)
    });
    assert!(status.stdout.contains("saga_recovery"), "{status}");
    assert!(coordinator.is_running());
}

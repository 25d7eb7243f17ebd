//! `https` URLs: everything works through a proxy that ends TLS, and what is wrong with a certificate, a file of
//! certificates or the scheme is told once, in words that help.

use crate::support::coordinator::Coordinator;
use crate::support::server::Server;
use crate::support::{Run, TestEnv, fixture};
use crate::tls_proxy::{Authority, Flaw, TlsProxy};
use std::io::Read as _;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

fn nexus() -> Server {
    Server::nexus(&fixture("nexus/task-2026.json"))
}

/// A command that has to do well.
#[track_caller]
fn good(env: &TestEnv, arguments: &[&str]) -> Run {
    let run = env.run(arguments);
    assert_eq!(run.code, 0, "{arguments:?}: {run}");
    run
}

#[test]
fn everything_works_through_tls() {
    let env = TestEnv::new();
    let coordinator = Coordinator::start(&env, &env.path().join("data"), &[]);
    let authority = Authority::new();
    let identity = authority.sign(Flaw::None);
    let internal = TlsProxy::start(&coordinator.ready.internal_url, &identity);
    let external = TlsProxy::start(&coordinator.ready.external_url, &identity);
    let ca_file = authority.file_in(env.path());
    let outside = TestEnv::new()
        .with("SAGACTL_URL", &internal.url())
        .with("SAGACTL_EXTERNAL_URL", &external.url())
        .with("SAGACTL_CA_FILE", text(&ca_file));
    for arguments in [
        &["status"][..],
        &["tasks", "list"],
        &["activate", "saga_recovery"],
        &["quiesce", "status"],
        &["demo-saga", "create"],
        &["secs", "list"],
    ] {
        let run = outside.run(arguments);
        assert!(matches!(run.code, 0 | 1), "{arguments:?}: {run}");
        assert!(!run.stderr.contains("error:"), "{arguments:?}: {run}");
    }
    // The generator has connections of its own; its records are read through TLS as well.
    let blast = good(&outside, &["blast", "--count", "40", "--concurrency", "4", "-q", "-o", "json"]);
    let report: serde_json::Value = serde_json::from_str(&blast.stdout).expect("a report");
    assert_eq!(report["done"], 40, "{blast}");
    assert_eq!(report["reconciliation"]["lost"], 0, "{blast}");
    let clean = good(&outside, &["blast", "clean", "--yes", "-w", "-q"]);
    assert!(clean.stdout.contains("40"), "{clean}");
    // An address will do where the certificate has it, and a file of a context.
    let config = format!(
        "[contexts.default]\nurl = \"https://127.0.0.1:{}\"\nca-file = \"{}\"\n",
        internal.url().rsplit(':').next().expect("a port"),
        text(&ca_file),
    );
    good(&TestEnv::new().with_config(&config), &["status"]);
    good(&TestEnv::new(), &["status", "--url", &internal.url(), "--ca-file", text(&ca_file)]);
    // What the system trusts is trusted without being told.
    good(&TestEnv::new().with("SSL_CERT_FILE", text(&ca_file)), &["status", "--url", &internal.url()]);
}

#[test]
fn a_bad_certificate_is_told_and_not_tried_again() {
    let server = nexus();
    let (authority, stranger) = (Authority::new(), Authority::new());
    let env = TestEnv::new();
    let ca_file = authority.file_in(env.path());
    for (identity, reason, hint) in [
        (
            stranger.sign(Flaw::None),
            "its certificate is not signed by anybody who is trusted",
            "--ca-file names a PEM file with the certificate of whoever signed it, which is then trusted",
        ),
        (
            authority.sign(Flaw::Expired),
            "its certificate expired: 2020-02-29T00:00:00Z",
            "the server needs a new certificate, unless this machine's clock is wrong",
        ),
        (
            authority.sign(Flaw::NotValidYet),
            "its certificate is not valid yet: 3020-02-28T00:00:00Z",
            "look at the clocks of both machines",
        ),
        (
            authority.sign(Flaw::OtherName),
            "its certificate is for other.example",
            "use a name in the URL that the certificate is for",
        ),
    ] {
        let proxy = TlsProxy::start(&server.url(), &identity);
        let url = proxy.url();
        let env = TestEnv::new().with("SAGACTL_CA_FILE", text(&ca_file));
        let run = env.run(&["status", "--url", &url]);
        assert_eq!(run.code, 3, "{run}");
        assert!(run.stderr.starts_with(&format!("error: cannot trust the server at {url}\n")), "{run}");
        for line in [
            format!("caused by: fetching background task \"saga_recovery\": {reason}\n"),
            format!("hint: {hint}\n"),
        ] {
            assert!(run.stderr.contains(&line), "{line}: {run}");
        }
        // Once for everything together, and once for each of the two parts, of which the second may not have got that far when
        // the first ended the command.
        assert!((2..=3).contains(&proxy.connections()), "{reason}: {}", proxy.connections());
        let blast = env.run(&["blast", "--external-url", &url, "--url", &url, "--count", "5", "-q"]);
        assert_eq!(blast.code, 3, "{blast}");
        assert!(blast.stderr.contains(&format!("caused by: {reason}\n")), "{blast}");
        assert!((3..=4).contains(&proxy.connections()), "{reason}: {}", proxy.connections());
    }
    assert!(server.requests().is_empty(), "nothing is said to a server that is not trusted");
}

#[test]
fn a_ca_that_poses_as_a_server_is_told_as_such() {
    let server = nexus();
    let env = TestEnv::new();
    let identity = Authority::new().sign(Flaw::IsCa);
    let path = env.path().join("self.pem");
    std::fs::write(&path, &identity.pem).expect("written");
    let proxy = TlsProxy::start(&server.url(), &identity);
    let run = TestEnv::new().run(&["status", "--url", &proxy.url(), "--ca-file", text(&path)]);
    assert_eq!(run.code, 3, "{run}");
    assert!(run.stderr.contains("its certificate is that of a CA, which may sign others"), "{run}");
}

#[test]
fn the_wrong_scheme_is_told() {
    let scratch = TestEnv::new();
    let coordinator = Coordinator::start(&scratch, &scratch.path().join("data"), &[]);
    let authority = Authority::new();
    let ca_file = authority.file_in(scratch.path());
    let env = TestEnv::new().with("SAGACTL_CA_FILE", text(&ca_file));
    let https = coordinator.ready.internal_url.replace("http://", "https://");
    insta::assert_snapshot!(env.run(&["status", "--url", &https]), @r#"
    ! error: what listens at https://127.0.0.1:PORT does not speak TLS
    ! caused by: fetching background task "saga_recovery": the server does not speak TLS
    ! hint: is it http:// in place of https://?
    = 5
    "#);
    let proxy = TlsProxy::start(&coordinator.ready.internal_url, &authority.sign(Flaw::None));
    insta::assert_snapshot!(env.run(&["status", "--url", &proxy.plain_url()]), @r#"
    ! error: what listens at http://127.0.0.1:PORT does not speak plain HTTP
    ! caused by: fetching background task "saga_recovery": the server speaks TLS
    !   ✓ address  http://127.0.0.1:PORT
    !   - DNS      not needed for an IP address
    !   ✓ TCP      127.0.0.1:PORT accepts connections
    !   - TLS      not used with http
    !   ✗ answer   it speaks TLS
    ! hint: is it https:// in place of http://?
    = 5
    "#);
    let silent = TlsProxy::without_alerts(&coordinator.ready.internal_url, &authority.sign(Flaw::None));
    let run = env.run(&["status", "--url", &silent.plain_url()]);
    assert_eq!(run.code, 5, "{run}");
    assert!(run.stderr.contains("\"saga_recovery\": the server speaks TLS\n"), "{run}");
    let blast = env.run(&["blast", "--external-url", &https, "--count", "5", "-q"]);
    assert_eq!(blast.code, 5, "{blast}");
}

#[test]
fn nobody_listens_with_tls_either() {
    let env = TestEnv::new();
    let ca_file = Authority::new().file_in(env.path());
    let url = crate::support::server::closed_port().replace("http://", "https://");
    let run = TestEnv::new().run(&["status", "--url", &url, "--ca-file", text(&ca_file)]);
    assert_eq!(run.code, 3, "{run}");
    assert!(run.stderr.contains(": Connection refused\n"), "{run}");
    assert!(run.stderr.contains("  - TLS      did not come to it\n"), "{run}");
}

#[test]
fn a_handshake_that_breaks_off_may_have_been_an_accident() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            counter.fetch_add(1, Ordering::SeqCst);
            // Read, so that it is an end and no reset.
            let _ = socket.and_then(|mut socket| socket.read(&mut [0; 4096]));
        }
    });
    let scratch = TestEnv::new();
    let ca_file = Authority::new().file_in(scratch.path());
    let url = format!("https://{address}");
    let run = scratch.run(&["tasks", "list", "--url", &url, "--ca-file", text(&ca_file)]);
    assert_eq!(run.code, 3, "{run}");
    assert!(run.stderr.contains("  ✗ TLS      the other side closed the connection\n"), "{run}");
    // Twice for the command, once to see how things are.
    assert_eq!(connections.load(Ordering::SeqCst), 3, "{run}");
}

#[test]
fn a_file_that_cannot_be_trusted_is_named() {
    let authority = Authority::new();
    let identity = authority.sign(Flaw::None);
    let server = nexus();
    let proxy = TlsProxy::start(&server.url(), &identity);
    let env = TestEnv::new();
    let file = |name: &str, content: &[u8]| {
        let path = env.path().join(name);
        std::fs::write(&path, content).expect("written");
        path
    };
    for (path, reason) in [
        (env.path().join("missing.pem"), "No such file or directory"),
        (env.path().to_owned(), "Is a directory"),
        (file("empty.pem", b""), "is empty"),
        (file("notes.pem", b"Dear diary"), "holds no certificate in PEM form"),
        (file("key.pem", identity.key.serialize_pem().as_bytes()), "holds a private key and no certificate"),
    ] {
        for command in [&["status"][..], &["blast", "--count", "1", "-q"]] {
            let env = TestEnv::new().with("SAGACTL_CA_FILE", text(&path));
            let url = proxy.url();
            let run = env.run(&[command, &["--url", &url, "--external-url", &url]].concat());
            assert_eq!(run.code, 2, "{run}");
            assert!(run.stderr.starts_with("error: the CA file cannot be used\n"), "{run}");
            assert!(run.stderr.contains(reason) && run.stderr.contains(text(&path)), "{run}");
            assert!(!run.stderr.contains("PRIVATE"), "{run}");
        }
        // What is not needed is not read.
        let plain = TestEnv::at(&server).with("SAGACTL_CA_FILE", text(&path));
        good(&plain, &["status"]);
    }
    assert_eq!(proxy.connections(), 0);
}

#[test]
fn roots_of_the_system_are_read_for_https_alone() {
    let server = nexus();
    let env = || TestEnv::at(&server).with("SSL_CERT_FILE", "/nowhere/roots.pem");
    good(&env(), &["status"]);
    let run = env().run(&["status", "--url", "https://127.0.0.1:1"]);
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("the system has no root certificates: "), "{run}");
    assert!(run.stderr.contains("--ca-file"), "{run}");
}

//! Reading from a server that does not let us in, is cut off in the middle, does not answer, or is something else.

use crate::postgres::{PASSWORD, Server as Postgres};
use crate::support::TestEnv;
use crate::support::databases::Recorded;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

/// Lists from a database on a server and answers exit code and standard error, both without ports and names that change.
fn list(url: &str, more: &[&str]) -> (i32, String) {
    let run = TestEnv::new().run(&[&["sagas", "list", "--db-url", url], more].concat());
    assert!(!run.stderr.contains(PASSWORD) && !run.stderr.contains("s3cret"), "{run}");
    (run.code, crate::support::steady(&run.stderr))
}

#[test]
fn a_password_opens_the_door_and_is_never_shown() {
    let database = Recorded::Nexus(294).in_postgres().expect("PostgreSQL");
    let (code, _) = list(&database.guarded_url(PASSWORD), &[]);
    assert_eq!(code, 0);
    let (code, said) = list(&database.guarded_url("s3cret"), &[]);
    assert_eq!(code, 3);
    assert!(said.contains(": password authentication failed for user \"guarded\"\n"), "{said}");
    assert!(said.starts_with("error: refused by postgresql://guarded@127.0.0.1:PORT/"), "{said}");
    let without = database.guarded_url("").replace(":@", "@");
    let (code, said) = list(&without, &[]);
    assert_eq!((code, said.contains("password missing")), (3, true), "{said}");
}

#[test]
fn a_database_or_a_permission_that_is_not_there() {
    let database = Postgres::shared().database();
    let missing = database.url().replace("/test_", "/no_test_");
    let (code, said) = list(&missing, &[]);
    assert_eq!((code, said.contains("does not exist")), (3, true), "{said}");
    let (code, said) = list(&database.url(), &[]);
    assert_eq!((code, said.contains("is a database without sagas")), (2, true), "{said}");

    let database = Recorded::Nexus(294).in_postgres().expect("PostgreSQL");
    let role = format!("nobody_{}", std::process::id());
    database.sql(&format!("CREATE ROLE {role} LOGIN"));
    let url = database.url().replace("//sagactl@", &format!("//{role}@"));
    let (code, said) = list(&url, &[]);
    assert_eq!((code, said.contains("permission denied for table")), (3, true), "{said}");
    drop(database);
    Postgres::shared().database().sql(&format!("DROP ROLE {role}"));
}

#[test]
fn nothing_is_changed_and_no_answer_is_waited_for_without_end() {
    let database = Recorded::Sagactl.in_postgres().expect("PostgreSQL");
    // A lock that keeps every reader out for as long as it is held.
    let mut holder = LockHolder::start(&database.url());
    let (code, said) = list(&database.url(), &["--timeout", "1s"]);
    holder.release();
    assert_eq!((code, said.contains("did not answer within 1s")), (4, true), "{said}");
    assert_eq!(list(&database.url(), &[]).0, 0);
}

/// Somebody who has locked the table of sagas.
struct LockHolder {
    runtime: tokio::runtime::Runtime,
    client: Option<tokio_postgres::Client>,
}

impl LockHolder {
    fn start(url: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let client = runtime.block_on(async {
            let (client, connection) =
                tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("a session");
            tokio::spawn(connection);
            client.batch_execute("BEGIN; LOCK TABLE saga IN ACCESS EXCLUSIVE MODE").await.expect("a lock");
            client
        });
        Self { runtime, client: Some(client) }
    }

    fn release(&mut self) {
        if let Some(client) = self.client.take() {
            self.runtime.block_on(client.batch_execute("ROLLBACK")).expect("the lock is given back");
        }
    }
}

#[test]
fn a_connection_that_is_cut_in_the_middle_of_a_list() {
    let database = Recorded::Sagactl.in_postgres().expect("PostgreSQL");
    database.sql(
        "INSERT INTO saga (id, creator, time_created, name, saga_state, adopt_generation, adopt_time, saga_dag)
         SELECT gen_random_uuid(), creator, time_created, name, 'done', 1, adopt_time, '{}'
         FROM (SELECT * FROM saga LIMIT 1) AS one, generate_series(1, 5000)",
    );
    let port = database
        .url()
        .rsplit_once(':')
        .and_then(|(_, rest)| rest.split_once('/'))
        .map(|(port, _)| port.to_owned());
    let port = port.expect("a port");
    // Some pages get through; the cut is not at the end of an answer.
    let proxy = cut_after(format!("127.0.0.1:{port}").parse().expect("an address"), 1_000_003);
    let url = database.url().replace(&format!(":{port}/"), &format!(":{}/", proxy.port()));
    let list = ["sagas", "list", "--limit", "0", "-o", "ids", "--db-url", &url];
    // The page that broke off is asked for again, and nothing is missing or told twice.
    let run = TestEnv::new().run(&list);
    assert_eq!(run.code, 0, "{run}");
    let ids: BTreeSet<&str> = run.stdout.lines().collect();
    let there: usize = database.sql("SELECT count(*) FROM saga").parse().expect("a number");
    assert_eq!((ids.len(), run.stdout.lines().count()), (there, there));

    let run = TestEnv::new().run(&[&list[..], &["--no-retry"]].concat());
    assert_eq!(run.code, 3, "{run}");
    assert!(run.stderr.contains("error: lost postgresql://sagactl@"), "{run}");
    assert!(run.stderr.contains("hint: what was printed before is not all; try again\n"), "{run}");
    assert!((1..5009).contains(&run.stdout.lines().count()), "{} lines", run.stdout.lines().count());
}

/// A way to a server that breaks once it has answered so many bytes.
fn cut_after(server: SocketAddr, bytes: u64) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let upstream = TcpStream::connect(server).expect("the server");
            let (mut to_server, mut from_client) =
                (upstream.try_clone().expect("a socket"), client.try_clone().expect("a socket"));
            std::thread::spawn(move || std::io::copy(&mut from_client, &mut to_server));
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut (&upstream).take(bytes), &mut &client);
                let _ = client.shutdown(Shutdown::Both);
                let _ = upstream.shutdown(Shutdown::Both);
            });
        }
    });
    address
}

#[test]
fn what_is_no_postgresql_server_at_all() {
    // Somebody who accepts connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("postgresql://root@{}/omicron", silent.local_addr().expect("an address"));
    let (code, said) = list(&url, &["--timeout", "300ms"]);
    assert_eq!((code, said.contains("did not answer within")), (4, true), "{said}");
    // Somebody who speaks something else and hangs up.
    let talker = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = talker.local_addr().expect("an address");
    std::thread::spawn(move || {
        let (mut stream, _) = talker.accept().expect("a connection");
        let _ = stream.write_all(b"220 mail.example.com ready\r\n");
    });
    let (code, said) = list(&format!("postgresql://root@{address}/omicron"), &[]);
    assert_eq!(
        (code, said.contains("cannot connect to postgresql://root@127.0.0.1:PORT/omicron")),
        (3, true),
        "{said}"
    );
}

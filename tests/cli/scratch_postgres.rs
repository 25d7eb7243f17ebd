//! The scratch PostgreSQL itself: tests rely on it to be theirs alone, and on nothing being left of it.

use crate::postgres::{PASSWORD, Server, USER};
use std::net::TcpStream;

#[test]
fn each_test_has_a_database_of_its_own() {
    let (one, other) = (Server::shared().database(), Server::shared().database());
    one.sql("CREATE TABLE t (n INT)");
    one.sql("INSERT INTO t VALUES (1), (2)");
    assert_eq!(one.sql("SELECT n, current_user FROM t ORDER BY n"), format!("1|{USER}\n2|{USER}"));
    assert_eq!(other.sql("SELECT count(*) FROM pg_tables WHERE tablename = 't'"), "0");
    assert_ne!(one.url(), other.url());
    assert!(one.guarded_url(PASSWORD).contains(PASSWORD));
}

#[test]
fn a_crash_loses_nothing_that_was_committed_and_nothing_is_left_in_the_end() {
    let server = Server::start();
    let database = server.database();
    database.sql("CREATE TABLE t AS SELECT 7 AS n");
    server.crash();
    TcpStream::connect(("127.0.0.1", server.port())).expect_err("nobody listens");
    server.start_again();
    assert_eq!(database.sql("SELECT n FROM t"), "7");
    drop(database);
    let (port, directory) = (server.port(), server.directory().to_owned());
    drop(server);
    TcpStream::connect(("127.0.0.1", port)).expect_err("nobody listens");
    assert!(!directory.exists(), "{} is still there", directory.display());
}

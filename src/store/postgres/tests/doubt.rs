//! Commits whose answer never came: nothing is lost and nothing is done twice.

use super::{calm, count};
use crate::postgres_proxy::{Fault, Proxy};
use crate::scratch_postgres::Server;
use crate::store::postgres::PostgresStore;
use crate::store::sql::Statement;
use crate::store::{SharedStore, Until, Write};
use std::sync::Arc;

/// Adds one to a number. Done twice, it would show.
const COUNT_UP: &str = "UPDATE tally SET counted = counted + 1 WHERE id = 1";

async fn every_write_counts_once(fault: Fault) {
    let server = Server::shared();
    let database = server.database();
    let proxy = Proxy::start(server.port(), fault);
    let url = proxy.lead(&database.url(), server.port());
    let store: SharedStore = Arc::new(PostgresStore::open(&url, calm()).expect("a database"));
    database.sql("CREATE TABLE tally (id INT PRIMARY KEY, counted INT); INSERT INTO tally VALUES (1, 0)");
    let mut expected = 0;
    for commits in [0, 1, 3] {
        proxy.fail_after(commits);
        while !proxy.has_failed() {
            // Some at a time, so that there are batches, and one after the other.
            let writes: Vec<_> = (0..10)
                .map(|_| store.write(Write::one(Statement::new(COUNT_UP, vec![])), Until::Durable))
                .collect();
            for write in writes {
                assert_eq!(write.await.expect("it waits for the database to be back").rows, [1]);
                expected += 1;
            }
        }
    }
    assert_eq!(database.sql("SELECT counted FROM tally"), expected.to_string());
    assert_eq!(count(&*store, "SELECT counted FROM tally").await, expected);
}

#[tokio::test]
async fn a_commit_that_never_arrived_is_made_again() {
    every_write_counts_once(Fault::SwallowCommit).await;
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_not() {
    every_write_counts_once(Fault::SwallowAnswer).await;
}

#[tokio::test]
async fn without_a_row_of_its_own_a_writer_says_that_it_does_not_know() {
    let server = Server::shared();
    let database = server.database();
    drop(super::open(&database, calm()));
    let proxy = Proxy::start(server.port(), Fault::SwallowAnswer);
    let url = proxy.lead(&database.url(), server.port());
    let store =
        PostgresStore::open_for_changes(&url, Arc::new(|why| panic!("fatal: {why}"))).expect("a database");
    let store: SharedStore = Arc::new(store);
    database.sql("CREATE TABLE tally (id INT PRIMARY KEY, counted INT); INSERT INTO tally VALUES (1, 0)");
    proxy.fail_after(0);
    let count_up = || store.write(Write::one(Statement::new(COUNT_UP, vec![])), Until::Durable);
    let error = count_up().await.expect_err("nobody knows").to_string();
    assert!(error.starts_with("whether it was committed is unknown"), "{error}");
    count_up().await.expect("it goes on");
    assert_eq!(database.sql("SELECT counted FROM tally"), "2");
}

//! Which databases are opened, and how it is said that one is not.

use super::{calm, open};
use crate::scratch_postgres::{Database, PASSWORD, Server};
use crate::store::error::StoreError;
use crate::store::postgres::PostgresStore;
use crate::store::schema::CURRENT_VERSION;
use crate::store::sql::Statement;
use crate::store::tests::{created, write};
use crate::store::{SharedStore, Store, Write};
use crate::wire::ids::SecId;
use std::sync::Arc;

fn refused(url: &str) -> StoreError {
    PostgresStore::open(url, calm()).map(|store| store.url()).expect_err("it cannot be used")
}

/// Also that the way in for readers and that for changes say the same.
fn refused_schema(database: &Database<'_>) -> String {
    let errors = [
        PostgresStore::open_read_only(&database.url()).err(),
        PostgresStore::open_for_changes(&database.url(), Arc::new(|why| panic!("fatal: {why}"))).err(),
    ];
    let texts = errors.map(|error| match error {
        Some(StoreError::WrongSchema(text)) => text.replace(&database.url(), "DB"),
        other => panic!("expected a wrong schema, got {other:?}"),
    });
    assert_eq!(texts[0], texts[1]);
    let [text, _] = texts;
    text
}

#[test]
fn newer_older_empty_and_foreign_databases_are_refused_and_left_alone() {
    let database = Server::shared().database();
    assert_eq!(refused_schema(&database), "database DB is empty: no coordinator has been started on it");
    drop(open(&database, calm()));

    let (now, newer, older) = (CURRENT_VERSION, CURRENT_VERSION + 1, CURRENT_VERSION - 1);
    database.sql(&format!("UPDATE sagactl_schema SET version = {newer}"));
    let text = format!("database DB is at schema {newer}, this program knows up to {now}");
    assert_eq!(refused_schema(&database), text);
    let StoreError::WrongSchema(said) = refused(&database.url()) else { panic!("expected a wrong schema") };
    assert_eq!(said.replace(&database.url(), "DB"), text);
    assert_eq!(database.sql("SELECT version FROM sagactl_schema"), newer.to_string());

    database.sql(&format!("UPDATE sagactl_schema SET version = {older}"));
    assert_eq!(
        refused_schema(&database),
        format!(
            "database DB is at schema {older}, this program needs {now}; a coordinator of this version brings it up to \
             date when it starts"
        )
    );

    let foreign = Server::shared().database();
    foreign.sql("CREATE TABLE accounts (id INT)");
    let text = "database DB is not one of sagactl's: it has tables, but none that tells its schema's version";
    assert_eq!(refused_schema(&foreign), text);
    assert!(matches!(refused(&foreign.url()), StoreError::WrongSchema(_)));
    assert_eq!(foreign.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "1");
}

#[test]
fn passwords_are_used_and_never_told() {
    let database = Server::shared().database();
    let store = PostgresStore::open(&database.guarded_url(PASSWORD), calm()).expect("the right password");
    assert!(store.url().starts_with("postgresql://guarded@127.0.0.1:"), "{}", store.url());
    assert!(!format!("{store:?}").contains(PASSWORD));
    let error = refused(&database.guarded_url("guessed-wrong"));
    assert!(matches!(error, StoreError::Unusable(_)), "{error:?}");
    let text = error.to_string();
    assert!(text.ends_with("password authentication failed for user \"guarded\""), "{text}");
    assert!(!text.contains("guessed-wrong"), "{text}");
}

#[test]
fn servers_and_databases_that_are_not_there_are_named() {
    let server = Server::shared();
    let nowhere = format!("postgresql://sagactl@127.0.0.1:{}/nowhere", server.port());
    let error = refused(&nowhere);
    assert!(matches!(error, StoreError::Unusable(_)), "{error:?}");
    assert_eq!(
        error.to_string(),
        format!("cannot open database {nowhere}: database \"nowhere\" does not exist")
    );
    let error = refused("postgresql://sagactl:s3cret@127.0.0.1:1/x");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    let text = error.to_string();
    assert!(text.starts_with("cannot open database postgresql://sagactl@127.0.0.1:1/x: "), "{text}");
    assert!(text.contains("refused"), "{text}");
}

#[test]
fn coordinators_that_start_at_the_same_moment_do_not_mind_each_other() {
    let database = Server::shared().database();
    let stores: Vec<SharedStore> = std::thread::scope(|scope| {
        let starting: Vec<_> = (0..4).map(|_| scope.spawn(|| open(&database, calm()))).collect();
        starting.into_iter().map(|store| store.join().expect("no panic")).collect()
    });
    assert_eq!(database.sql("SELECT count(*) FROM sec WHERE state = 'active'"), stores.len().to_string());
    assert_eq!(database.sql("SELECT version FROM sagactl_schema"), CURRENT_VERSION.to_string());
}

#[tokio::test]
async fn what_is_opened_for_reading_cannot_be_written() {
    let database = Server::shared().database();
    let store = open(&database, calm());
    let (_, id) = created(&store, SecId::random()).await;
    let visitor: SharedStore = Arc::new(PostgresStore::open_read_only(&database.url()).expect("a database"));
    let found = crate::store::sagas::load_saga(&*visitor, id).await.expect("it is readable");
    assert_eq!(found.map(|saga| saga.id), Some(id));
    let delete = "DELETE FROM saga";
    let refused = write(&visitor, Write::one(Statement::new(delete, vec![]))).await;
    assert!(matches!(refused, Err(StoreError::Unusable(_))), "{refused:?}");
    // Nor by a read that is none.
    visitor.read(Statement::new("DELETE FROM saga RETURNING id", vec![])).await.expect_err("it is a write");
    assert_eq!(database.sql("SELECT count(*) FROM saga"), "1");
}

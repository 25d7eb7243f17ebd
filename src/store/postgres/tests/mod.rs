//! What is PostgreSQL's own. What every store does is the suite's.

use super::{Isolation, OpenOptions, PostgresStore};
use crate::scratch_postgres::{Database, Server};
use crate::store::SharedStore;
use crate::store::tests::{Fixture, behaviour_suite};
use crate::wire::ids::SecId;
use std::sync::Arc;

mod behaviour {
    use super::*;

    behaviour_suite!(fresh(Isolation::ReadCommitted));
}

mod behaviour_serializable {
    use super::*;

    behaviour_suite!(fresh(Isolation::Serializable));
}

fn fresh(isolation: Isolation) -> Fixture {
    let database = Server::shared().database();
    let options = OpenOptions { isolation, ..calm() };
    Fixture { store: open(&database, options), keep: Box::new(database) }
}

/// Options for a SEC of its own, under which nothing fatal is to happen.
fn calm() -> OpenOptions {
    OpenOptions::new(SecId::random(), Arc::new(|reason| panic!("fatal: {reason}")))
}

fn open(database: &Database<'_>, options: OpenOptions) -> SharedStore {
    Arc::new(PostgresStore::open(&database.url(), options).expect("a database"))
}

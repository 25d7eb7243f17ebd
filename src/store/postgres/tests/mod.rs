//! What is PostgreSQL's own. What every store does is the suite's.

mod batches;
mod doubt;
mod fencing;
mod opening;
mod outage;

use super::{Isolation, OpenOptions, PostgresStore};
use crate::scratch_postgres::{Database, Server};
use crate::store::sql::Statement;
use crate::store::tests::{Fixture, behaviour_suite};
use crate::store::{SharedStore, Store};
use crate::wire::ids::SecId;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

mod behaviour {
    use super::*;

    behaviour_suite!(fresh(Isolation::Serializable));
}

mod behaviour_read_committed {
    use super::*;

    behaviour_suite!(fresh(Isolation::ReadCommitted));
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

/// Options under which the writer stops for good at a fatal error, as the end of the process would stop it, and the
/// reason comes out of the channel.
fn stopping(sec: SecId) -> (OpenOptions, Receiver<String>) {
    let (sender, reasons) = channel();
    let options = OpenOptions::new(
        sec,
        Arc::new(move |reason| {
            // Several may find out, and the first is what a process would have ended with.
            let _ = sender.send(reason.to_owned());
            loop {
                std::thread::park();
            }
        }),
    );
    (options, reasons)
}

/// One number, asked of the database.
async fn count(store: &dyn Store, sql: &'static str) -> i64 {
    store.read(Statement::new(sql, vec![])).await.expect("it is readable")[0].int(0).expect("a number")
}

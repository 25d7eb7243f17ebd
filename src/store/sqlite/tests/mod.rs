//! What is SQLite's own: files, locks, crashes. What every store does is the suite's.

mod crash;
mod fatal;
mod opening;
mod schema;
mod visiting;

use super::{OpenOptions, SqliteStore};
use crate::store::SharedStore;
use crate::store::error::StoreError;
use crate::store::tests::{Fixture, behaviour_suite};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

mod behaviour {
    use super::*;

    behaviour_suite!(fresh());
}

fn fresh() -> Fixture {
    let directory = tempfile::tempdir().expect("a scratch directory");
    Fixture { store: open(&directory.path().join("sagas.db")), keep: Box::new(directory) }
}

/// Opens a database on which nothing fatal is to happen.
fn open(path: &Path) -> SharedStore {
    let options = OpenOptions::new(Arc::new(|reason| panic!("fatal: {reason}")));
    Arc::new(SqliteStore::open(path, options).expect("a database"))
}

/// Options under which the writer stops for good at a fatal error, as the end of the process would stop it, and the
/// reason comes out of the channel.
fn stopping() -> (OpenOptions, Receiver<String>) {
    let (sender, reasons) = channel();
    let options = OpenOptions::new(Arc::new(move |reason| {
        sender.send(reason.to_owned()).expect("the test is waiting");
        loop {
            thread::park();
        }
    }));
    (options, reasons)
}

/// What an error says to people, if it is of the kind for files that cannot be used.
fn unusable<T: std::fmt::Debug>(result: Result<T, StoreError>) -> String {
    match result {
        Err(StoreError::Unusable(text)) => text,
        other => panic!("expected an unusable database, got {other:?}"),
    }
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        thread::yield_now();
    }
}

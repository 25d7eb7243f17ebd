//! Sagas per second: `project-create` with 64 clients, strict and as its kind declares, beside the same on a store that
//! does nothing; and the same through the external API.

use crate::lab;
use crate::table::{Budget, Table};
use sagactl::store::SharedStore;
use sagactl::store::noop::NoopStore;
use sagactl::wire::ids::SecId;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

const LASTS: Duration = Duration::from_secs(3);

/// Measures them in turns, for a machine that is slow for a while should be slow for all; the medians count.
pub(crate) fn run(table: &mut Table) {
    let on_sqlite = |always_strict| {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let store = lab::sqlite(&dir.path().join("db"));
        lab::create_projects(&lab::sec(&store, SecId::random(), always_strict).0, LASTS)
    };
    let turns = || {
        let noop: SharedStore = Arc::new(NoopStore);
        let limit = lab::create_projects(&lab::sec(&noop, SecId::random(), false).0, LASTS);
        [limit, on_sqlite(true), on_sqlite(false)]
    };
    let [limit, strict, own] = lab::medians(turns, |&rate| rate);
    let of = |limit| Some((limit, "no-op store"));
    table.add("sagas on a no-op store", limit, "sagas/s", None, Budget::None);
    table.add("sagas, SQLite FULL, strict", strict, "sagas/s", of(limit), Budget::AtLeast(0.25));
    table.add("sagas, SQLite FULL, own database", own, "sagas/s", of(limit), Budget::AtLeast(0.5));

    let http = through_http();
    let budget = Budget::AtLeast(0.7);
    table.add(
        "project-create through the external API",
        http,
        "sagas/s",
        Some((own, "without HTTP")),
        budget,
    );
}

/// The whole program on both ends: a coordinator's process and a blast's.
fn through_http() -> f64 {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let mut coordinator = crate::cli::coordinator(dir.path());
    let blast = Command::new(crate::cli::PROGRAM)
        .args(["blast", "--concurrency", "64", "--duration", "5s", "--quiet", "-o", "json"])
        .args(["--external-url", &coordinator.ready.external_url, "--url", &coordinator.ready.internal_url])
        .stderr(Stdio::inherit())
        .output()
        .expect("blast runs");
    coordinator.kill();
    let report: serde_json::Value = serde_json::from_slice(&blast.stdout).expect("blast answers JSON");
    report["rate_per_sec"].as_f64().expect("a rate")
}

//! Reading sagas from a history of millions: the first page must come as fast as from a small one.
//!
//! `SAGACTL_BENCH_SAGAS` sets how many sagas there are (5,000,000 unless it is set; 20 GB of scratch space are then needed for
//! SQLite), `SAGACTL_BENCH_DB_URL` names an empty PostgreSQL database to fill and measure as well.

mod fill;

use crate::cli::PROGRAM;
use crate::table::{Budget, Table};
use fill::{Filled, SAGAS};
use sagactl::observe::database;
use sagactl::observe::sagas::count::{Counting, Key};
use sagactl::observe::sagas::filter::{Filter, Glob};
use sagactl::observe::sagas::list::{Detail, Listing, Request};
use sagactl::store::inspect::{Inspector, OpenOptions};
use sagactl::wire::time::now;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Times that each question is asked; the median counts.
const RUNS: usize = 31;

/// What a first page may take.
const BUDGET_MS: f64 = 50.0;

/// Fills databases and reads them.
pub(crate) fn run(table: &mut Table) {
    let number =
        std::env::var("SAGACTL_BENCH_SAGAS").ok().and_then(|text| text.parse().ok()).unwrap_or(SAGAS);
    let dir = tempfile::tempdir().expect("a scratch directory");
    let path = dir.path().join("history.db");
    let started = Instant::now();
    let filled = fill::sqlite(&path, number);
    println!("  filled SQLite with {number} sagas in {:.0?}", started.elapsed());
    measure(table, "SQLite", &format!("sqlite:{}", path.display()), &filled);
    if let Ok(url) = std::env::var("SAGACTL_BENCH_DB_URL") {
        let started = Instant::now();
        let filled = fill::postgresql(&url, number);
        println!("  filled PostgreSQL with {number} sagas in {:.0?}", started.elapsed());
        measure(table, "PostgreSQL", &url, &filled);
    }
}

fn measure(table: &mut Table, kind: &str, url: &str, filled: &Filled) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let options = OpenOptions { statement_timeout: Duration::from_secs(600), ..OpenOptions::default() };
    let inspector = runtime.block_on(Inspector::open(url, &options)).expect("the database that was filled");
    let millis = |question: &dyn Fn()| {
        let mut times: Vec<Duration> = (0..RUNS)
            .map(|_| {
                let started = Instant::now();
                question();
                started.elapsed()
            })
            .collect();
        times.sort();
        times[RUNS / 2].as_secs_f64() * 1000.0
    };
    let probe = millis(&|| {
        let sagas = runtime.block_on(inspector.load_sagas(&[filled.with_log])).expect("a row");
        assert_eq!(sagas.len(), 1);
    });
    let limit = Some((probe, "one index probe"));
    let first_page = |filter: Filter| {
        let request = Request { filter, limit: Some(50), may_scan: false, detail: Detail::Full };
        let listed = runtime.block_on(async {
            let mut listing = Listing::begin(inspector.clone(), request, now()).await.expect("a listing");
            let mut listed = 0;
            while let Some(page) = listing.next().await.expect("a page") {
                listed += page.len();
            }
            listed
        });
        assert_eq!(listed, 50);
    };
    let all = Filter::default();
    // Finding the idle ones takes the logs of all that are unfinished.
    let idle = Filter { idle: Some(Duration::from_secs(3600)), ..all.clone() };
    let took = millis(&|| first_page(idle.clone()));
    table.add(&format!("{kind}, first page of sagas list --idle 1h"), took, "ms", limit, Budget::None);
    for (what, filter) in [
        ("sagas list", all.clone()),
        ("sagas list --unfinished", Filter { unfinished: true, ..all.clone() }),
        ("sagas list --failing", Filter { failing: true, ..all.clone() }),
        ("sagas list --name vpc-*", Filter { names: vec![Glob("vpc-*".to_owned())], ..all.clone() }),
    ] {
        let took = millis(&|| first_page(filter.clone()));
        table.add(
            &format!("{kind}, first page of {what}"),
            took,
            "ms",
            limit,
            Budget::FigureAtMost(BUDGET_MS),
        );
    }
    let took = millis(&|| {
        let records =
            runtime.block_on(inspector.load_saga(filled.with_log)).expect("a saga").expect("it is there");
        assert!(records.events.len() > 40);
    });
    table.add(&format!("{kind}, everything of one saga"), took, "ms", limit, Budget::FigureAtMost(BUDGET_MS));
    let took = millis(&|| {
        let ids =
            runtime.block_on(inspector.find_by_prefix(&filled.with_log.to_string()[..18], 2)).expect("ids");
        assert!(!ids.is_empty());
    });
    table.add(
        &format!("{kind}, a saga by how its id begins"),
        took,
        "ms",
        limit,
        Budget::FigureAtMost(BUDGET_MS),
    );
    let took = millis(&|| {
        let view =
            runtime.block_on(database::look(&inspector, &[filled.with_log], now(), database::PATIENCE));
        assert!(view.sagas.as_option().is_some(), "{:?}", view.sagas);
    });
    table.add(&format!("{kind}, what status asks"), took, "ms", limit, Budget::None);

    let started = Instant::now();
    let counted = runtime.block_on(async {
        let keys = vec![Key::Name, Key::State];
        let mut counting = Counting::begin(inspector.clone(), all, keys, None, now()).await.expect("a count");
        while counting.advance().await.expect("a page") {}
        counting.progress().0
    });
    assert_eq!(counted, filled.sagas);
    let rate = counted as f64 / started.elapsed().as_secs_f64();
    table.add(&format!("{kind}, sagas count --by name,state"), rate, "sagas/s", None, Budget::None);
    let (rate, peak) = list_everything(url);
    table.add(&format!("{kind}, sagas list --limit 0 -o ids"), rate, "sagas/s", None, Budget::None);
    let few = peak_of(&["sagas", "list", "--limit", "5000", "-o", "ids", "--db-url", url]).1;
    let what = format!("{kind}, its memory at most");
    table.add(&what, peak, "MB", Some((few, "the same for 5,000 sagas")), Budget::None);
}

/// Lists everything by the program itself: sagas per second, and its memory at most.
fn list_everything(url: &str) -> (f64, f64) {
    let started = Instant::now();
    let (listed, peak) = peak_of(&["sagas", "list", "--limit", "0", "-o", "ids", "--db-url", url]);
    (listed as f64 / started.elapsed().as_secs_f64(), peak)
}

/// Lines that the program writes, and how many megabytes of memory it had at most.
fn peak_of(arguments: &[&str]) -> (u64, f64) {
    let mut child = Command::new(PROGRAM)
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let status = format!("/proc/{}/status", child.id());
    let mut output = child.stdout.take().expect("a pipe");
    let mut buffer = vec![0; 1 << 16];
    let (mut lines, mut peak) = (0, 0.0_f64);
    while let Ok(read) = std::io::Read::read(&mut output, &mut buffer) {
        if read == 0 {
            break;
        }
        lines += buffer[..read].iter().filter(|&&byte| byte == b'\n').count() as u64;
        let of_process = std::fs::read_to_string(&status).unwrap_or_default();
        let line = of_process.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        peak = peak.max(kilobytes.unwrap_or(0.0) / 1024.0);
    }
    assert!(child.wait().expect("it ends").success());
    (lines, peak)
}

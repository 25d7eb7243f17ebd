//! Recovery: ten thousand unfinished sagas to completion, the pass that finds nothing new, the restart after a kill -9,
//! and what requests of users feel of a recovery storm.

use crate::table::{Budget, Table};
use crate::{cli, lab};
use futures::FutureExt;
use futures::future::BoxFuture;
use sagactl::coordinator::background::driver::Waker;
use sagactl::coordinator::background::tasks::saga_recovery::{RecoveryStatus, SagaRecovery};
use sagactl::coordinator::background::{Activation, Task};
use sagactl::coordinator::identity::load_or_create_sec_id;
use sagactl::coordinator::recovery::{Recovery, Settled};
use sagactl::coordinator::sagas::project_create::ProjectCreate;
use sagactl::coordinator::server::DATABASE_FILE;
use sagactl::store::error::StoreError;
use sagactl::store::sagas::{self as rows, NewSaga};
use sagactl::store::sql::{Row, Statement};
use sagactl::store::{Applied, Lane, SharedStore, Store, Until, Write};
use sagactl::wire::bgtasks::ActivationReason;
use sagactl::wire::ids::{SagaId, SecId};
use sagactl::wire::info::Info;
use sagactl::wire::time::now;
use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// First argument with which the benchmark runs itself to leave sagas behind as a crash would.
pub(crate) const LEAVE_UNFINISHED: &str = "leave-unfinished";

const UNFINISHED: usize = 10_000;

/// Writes that a saga hands over between its creation and its end, less a few: each is cut at a number below.
const WRITES: u64 = 60;

/// Lets each saga hand over its creation and a number of writes more and then waits for ever: what a crash leaves, many times over.
#[derive(Debug)]
struct CutStore {
    inner: SharedStore,
    left: Mutex<HashMap<Lane, u64>>,
    cut: Arc<AtomicUsize>,
}

impl CutStore {
    fn lets_through(&self, lane: Option<Lane>) -> bool {
        let Some(lane) = lane else { return true };
        let mut left = self.left.lock().expect("no panic while it is held");
        // Spread over all points of a saga by the id's own random bits.
        let at_most = || 1 + (lane.as_uuid().as_u128() % u128::from(WRITES)) as u64;
        let left = left.entry(lane).or_insert_with(at_most);
        if *left == 0 {
            self.cut.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        *left -= 1;
        true
    }
}

#[async_trait::async_trait]
impl Store for CutStore {
    fn write(&self, write: Write, until: Until) -> BoxFuture<'static, Result<Applied, StoreError>> {
        if self.lets_through(write.lane) {
            self.inner.write(write, until)
        } else {
            std::future::pending().boxed()
        }
    }

    fn write_unwaited(&self, write: Write) {
        if self.lets_through(write.lane) {
            self.inner.write_unwaited(write);
        }
    }

    fn close_lane(&self, lane: Lane) {
        self.inner.close_lane(lane);
    }

    async fn read(&self, statement: Statement) -> Result<Vec<Row>, StoreError> {
        self.inner.read(statement).await
    }

    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn url(&self) -> String {
        self.inner.url()
    }
}

/// Reads the real thing and writes nothing: recovery's own cost without that of making things durable.
#[derive(Debug)]
struct UnwrittenStore(SharedStore);

#[async_trait::async_trait]
impl Store for UnwrittenStore {
    fn write(&self, write: Write, _: Until) -> BoxFuture<'static, Result<Applied, StoreError>> {
        std::future::ready(Ok(Applied { rows: vec![1; write.statements.len()] })).boxed()
    }

    fn write_unwaited(&self, _: Write) {}

    fn close_lane(&self, _: Lane) {}

    async fn read(&self, statement: Statement) -> Result<Vec<Row>, StoreError> {
        self.0.read(statement).await
    }

    fn kind(&self) -> &'static str {
        self.0.kind()
    }

    fn url(&self) -> String {
        self.0.url()
    }
}

/// Runs sagas of a data directory to a point of their own each and then ends, as a crash would.
pub(crate) fn leave_unfinished(dir: &Path, count: usize) {
    let sec_id = load_or_create_sec_id(dir).expect("a SEC id");
    let cut = Arc::new(AtomicUsize::new(0));
    let store: SharedStore = Arc::new(CutStore {
        inner: lab::sqlite(&dir.join(DATABASE_FILE)),
        left: Mutex::default(),
        cut: Arc::clone(&cut),
    });
    let (sagas, _recovery) = lab::sec(&store, sec_id, true);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        for index in 0..count {
            let id = SagaId::random();
            sagas.create::<ProjectCreate>(id, &lab::params_for(id), None).await.expect("a saga is created");
            // Not too many on their way at the same time, or the engine has little room to move.
            while index.saturating_sub(cut.load(Ordering::Relaxed)) > 256 {
                tokio::task::yield_now().await;
            }
        }
        while cut.load(Ordering::Relaxed) < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    #[expect(clippy::exit, reason = "what this process holds must be left behind as by a crash")]
    std::process::exit(0)
}

fn with_unfinished(count: usize) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let program = std::env::current_exe().expect("this program");
    let status = Command::new(program)
        .args([LEAVE_UNFINISHED.as_ref(), dir.path().as_os_str(), count.to_string().as_ref()])
        .status()
        .expect("this program runs");
    assert!(status.success(), "leaving unfinished sagas failed");
    dir
}

/// Measures everything that concerns recovery.
pub(crate) fn run(table: &mut Table) {
    to_completion(table);
    nothing_new(table);
    after_a_kill(table);
    storm(table);
}

fn to_completion(table: &mut Table) {
    let dir = with_unfinished(UNFINISHED);
    let store: SharedStore = Arc::new(UnwrittenStore(lab::sqlite(&dir.path().join(DATABASE_FILE))));
    let limit = recover_in_process(&store, load_or_create_sec_id(dir.path()).expect("a SEC id"));
    drop(store);
    let what = format!("recovering {UNFINISHED} sagas, writing nothing");
    table.add(&what, limit.as_secs_f64(), "s", None, Budget::None);

    let empty = tempfile::tempdir().expect("a scratch directory");
    let calm = cli::coordinator(empty.path()).time_to_ready;
    let started = Instant::now();
    let coordinator = cli::coordinator(dir.path());
    let ready = coordinator.time_to_ready;
    let resting = resident_mb(coordinator.ready.pid, "VmRSS:");
    wait_until_recovered(&coordinator.ready.internal_url);
    let took = started.elapsed();
    let what = format!("recovering {UNFINISHED} sagas, process start to all finished");
    let beside = Some((limit.as_secs_f64(), "writing nothing"));
    table.add(&what, took.as_secs_f64(), "s", beside, Budget::AtMost(2.6));
    let grown = resident_mb(coordinator.ready.pid, "VmHWM:") - resting;
    table.add("memory growth while recovering them", grown, "MB", None, Budget::FigureAtMost(100.0));
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let beside = Some((ms(calm), "start with none"));
    table.add("start to ready with them", ms(ready), "ms", beside, Budget::FigureAtMost(250.0));
}

fn recover_in_process(store: &SharedStore, sec_id: SecId) -> Duration {
    let (sagas, recovery) = lab::sec(store, sec_id, false);
    let mut task = SagaRecovery {
        waker: Waker::new(),
        store: Arc::clone(store),
        sagas: sagas.clone(),
        recovery,
        status: Arc::new(RecoveryStatus::default()),
        abandon_unrecoverable: false,
        log: slog::Logger::root(slog::Discard, slog::o!()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let started = Instant::now();
    runtime.block_on(async {
        let activation = Activation { iteration: 1, reason: ActivationReason::Timeout, start_time: now() };
        let report = task.activate(&activation).await;
        assert_eq!(report["ntotal_recovered"], UNFINISHED, "{report}");
        while sagas.counts().total() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    started.elapsed()
}

/// A pass over sagas that all run here already: list, take in, plan.
fn nothing_new(table: &mut Table) {
    const RUNNING: usize = 100_000;
    let dir = tempfile::tempdir().expect("a scratch directory");
    let store = lab::sqlite(&dir.path().join("db"));
    let sec_id = SecId::random();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (announcer, mut recovery) = Recovery::new();
    runtime.block_on(async {
        let mut last = None;
        for _ in 0..RUNNING {
            let id = SagaId::random();
            let announced = announcer.creating(id);
            let saga = NewSaga {
                id,
                creator: sec_id,
                time_created: now(),
                name: "project-create".to_owned(),
                dag: "{}".to_owned(),
                idempotency: None,
            };
            last = Some(store.write(rows::create(saga), Until::Durable));
            announced.created();
        }
        last.expect("some").await.expect("durable");
        let list = || async {
            let mut ids: Vec<SagaId> = Vec::new();
            loop {
                let page = rows::list_recovery_candidates(&*store, sec_id, ids.last().copied(), 10_000)
                    .await
                    .expect("ids");
                if page.is_empty() {
                    return ids;
                }
                ids.extend(page);
            }
        };
        let started = Instant::now();
        list().await;
        let listing = started.elapsed();
        let started = Instant::now();
        let begun = recovery.begin_pass();
        let drained = recovery.drain(begun.listed(list().await));
        let plan = recovery.plan(drained, Settled::Known(Vec::new()));
        let pass = started.elapsed();
        assert_eq!((plan.skipped().len(), plan.need().len()), (RUNNING, 0));
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        let what = format!("a pass that finds nothing new, {RUNNING} running");
        let beside = Some((ms(listing), "listing the ids"));
        table.add(&what, ms(pass), "ms", beside, Budget::FigureAtMost(100.0));
    });
}

fn after_a_kill(table: &mut Table) {
    let mut times: Vec<Duration> = (0..5)
        .map(|_| {
            let dir = tempfile::tempdir().expect("a scratch directory");
            let mut coordinator = cli::coordinator(dir.path());
            let mut blast = blast(&coordinator, "5s").stdout(Stdio::null()).spawn().expect("blast starts");
            std::thread::sleep(Duration::from_millis(700));
            coordinator.kill();
            let _ = blast.kill();
            let _ = blast.wait();
            let started = Instant::now();
            let coordinator = cli::coordinator(dir.path());
            wait_until_recovered(&coordinator.ready.internal_url);
            started.elapsed()
        })
        .collect();
    times.sort();
    let worst = times.last().copied().unwrap_or_default();
    let ms = worst.as_secs_f64() * 1000.0;
    let what = "kill -9 with 64 in flight: process start to all finished, worst of 5";
    table.add(what, ms, "ms", None, Budget::FigureAtMost(250.0));
}

/// What users feel: the 99th percentile of fresh requests while ten thousand sagas are being recovered.
fn storm(table: &mut Table) {
    let p99 = |dir: &Path| {
        let coordinator = cli::coordinator(dir);
        let output = blast(&coordinator, "2s").output().expect("blast runs");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("blast answers JSON");
        report["latency_ms"]["p99"].as_f64().expect("a percentile")
    };
    let empty = tempfile::tempdir().expect("a scratch directory");
    let calm = p99(empty.path());
    let stormy = p99(with_unfinished(UNFINISHED).path());
    let beside = Some((calm, "without a storm"));
    table.add("p99 of fresh requests during a recovery storm", stormy, "ms", beside, Budget::AtMost(2.0));
}

fn blast(coordinator: &cli::Coordinator, duration: &str) -> Command {
    let mut command = Command::new(cli::PROGRAM);
    command
        .args([
            "blast",
            "--concurrency",
            "64",
            "--duration",
            duration,
            "--ignore-errors",
            "--quiet",
            "-o",
            "json",
        ])
        .args(["--external-url", &coordinator.ready.external_url, "--url", &coordinator.ready.internal_url])
        .stderr(Stdio::null());
    command
}

/// Polls `GET /info` until a pass is complete and nothing is in flight.
fn wait_until_recovered(internal_url: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let answer = client.get(format!("{internal_url}/info")).send().await.expect("an answer");
            let info: Info = answer.json().await.expect("the coordinator's own shape");
            if info.recovered && info.sagas_in_flight == 0 {
                return;
            }
            assert!(Instant::now() < deadline, "not recovered in time: {info:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
}

/// A line of `/proc/PID/status`, in MB.
fn resident_mb(pid: u32, field: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap_or_default();
    let kib: f64 = line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(f64::NAN);
    kib / 1024.0
}

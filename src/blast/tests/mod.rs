//! The whole engine against servers that behave and misbehave. Whatever they do, the accounting adds up, and what is
//! claimed of each request is true.

mod server;

use super::journal::Journal;
use super::names::RequestId;
use super::schedule::{End, Rate};
use super::*;
use crate::reconcile::Verdict;
use server::{Reply, Server};
use std::collections::HashSet;

fn config(server: &Server) -> Config {
    let names = Names::new("dummy-", &names::run_id(None)).expect("good names");
    Config {
        limits: Limits { count: Some(40), duration: None, max_failures: Some(1) },
        grace: Duration::from_secs(20),
        request_timeout: Duration::from_secs(20),
        ..Config::new(server.url().parse().expect("a URL"), names, 4)
    }
}

fn lenient(server: &Server) -> Config {
    let config = config(server);
    Config { limits: Limits { max_failures: None, ..config.limits }, ..config }
}

/// Runs it to its end and asks the server what it has. Checks what holds for every run.
async fn run(config: Config) -> Report {
    finish(&Blast::new(config)).await
}

async fn finish(blast: &Blast) -> Report {
    blast.run().await.expect("the target is good");
    conclude(blast).await
}

async fn conclude(blast: &Blast) -> Report {
    let target = Target::resolve(&blast.config().target, &Trust::system(), None, Reach::Loopback).await;
    let target = target.expect("a target");
    let reconciliation = match records::from_api(&target, &blast.stem()).await {
        Ok(recorded) => blast.reconcile(&recorded),
        Err(reason) => Reconciliation::not_checked(reason),
    };
    let report = blast.report(reconciliation);
    adds_up(blast, &report);
    report
}

fn adds_up(blast: &Blast, report: &Report) {
    let Report { started, done, failed, in_doubt, .. } = *report;
    assert_eq!(started, done + failed + in_doubt);
    assert_eq!(failed + in_doubt, report.errors.iter().map(|error| error.count).sum::<u64>());
    assert_eq!(blast.progress().totals, Totals { started, done, failed, in_doubt, in_flight: 0 });
    let found = &report.reconciliation;
    if let Some(recorded) = found.acknowledged_recorded
        && found.deleted_absent.is_none()
    {
        assert_eq!(Some(done), found.lost.map(|lost| lost + recorded));
        let sum = |one: Option<u64>, other: Option<u64>| one.zip(other).map(|(one, other)| one + other);
        assert_eq!(Some(failed), sum(found.failed_absent, found.failed_recorded));
        assert_eq!(Some(in_doubt), sum(found.in_doubt_absent, found.in_doubt_recorded));
    }
    let over_time: u64 =
        blast.course().series.iter().map(|moment| moment.done + moment.failed + moment.in_doubt).sum();
    assert_eq!(over_time, started);
}

/// Requests started, done, failed and in doubt.
fn counts(report: &Report) -> [u64; 4] {
    [report.started, report.done, report.failed, report.in_doubt]
}

fn classes(report: &Report) -> Vec<(String, u64)> {
    report.errors.iter().map(|error| (error.class.clone(), error.count)).collect()
}

#[tokio::test]
async fn a_good_server_is_counted_exactly() {
    let server = Server::start(|_| Reply::Create).await;
    let report = run(config(&server)).await;
    assert_eq!(counts(&report), [40, 40, 0, 0]);
    assert_eq!((report.ended, report.reconciliation.verdict), (End::Count, Verdict::Consistent));
    assert_eq!(report.reconciliation.acknowledged_recorded, Some(40));
    assert!(report.latency_ms.is_some() && report.rate_per_sec > 0.0);
    assert_eq!(report.model, "closed loop, 4 in flight");
    // One connection per worker and one to ask with.
    assert!(server.connections() <= 5, "{}", server.connections());

    let mut names = server.projects();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 40, "every name is made once");
}

#[tokio::test]
async fn requests_carry_what_the_api_wants() {
    let server = Server::start(|_| Reply::Create).await;
    let mut config = config(&server);
    config.credential = Some((http::header::AUTHORIZATION, http::HeaderValue::from_static("Bearer secret")));
    let stem = config.names.stem().to_owned();
    run(config).await;
    let mut keys = HashSet::new();
    for head in server.heads() {
        let header = |name: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("no {name} in {head}")).to_owned()
        };
        assert_eq!(header("host: "), server.address.to_string());
        assert_eq!(header("content-type: "), "application/json");
        assert_eq!(header("authorization: "), "Bearer secret");
        let key = header("idempotency-key: ");
        assert!(key.starts_with(&stem), "{key}");
        assert!(keys.insert(key), "every request has a key of its own");
    }
    assert_eq!(keys.len(), 40);
}

#[tokio::test]
async fn each_kind_of_trouble_has_its_class_and_its_place_in_the_accounts() {
    for (reply, class, (failed, in_doubt)) in [
        (Reply::Refuse(400), "status 400", (20, 0)),
        (Reply::Refuse(500), "status 500", (20, 0)),
        (Reply::Refuse(503), "status 503", (20, 0)),
        (Reply::Refuse(202), "status 202", (0, 20)),
        (Reply::Rubbish, "body", (0, 20)),
        (Reply::OtherName, "body", (0, 20)),
        (Reply::Garbage, "not http", (0, 20)),
        (Reply::Reset, "reset", (0, 20)),
        (Reply::Close, "cut", (0, 20)),
        (Reply::Cut, "cut", (0, 20)),
        (Reply::Flood, "body", (0, 20)),
    ] {
        let server = Server::start(move |number| if number % 2 == 0 { Reply::Create } else { reply }).await;
        let report = run(lenient(&server)).await;
        assert_eq!(classes(&report), [(class.to_owned(), 20)], "{reply:?}");
        assert_eq!(counts(&report), [40, 20, failed, in_doubt], "{reply:?}");
        assert!(!report.reconciliation.is_inconsistent(), "{reply:?}");
        assert_eq!(server.requests(), 40, "nothing is sent twice: {reply:?}");
    }
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_in_doubt() {
    for reply in [Reply::Hang, Reply::Drip] {
        let server = Server::start(move |number| if number == 3 { reply } else { Reply::Create }).await;
        let config = Config { request_timeout: Duration::from_millis(300), ..lenient(&server) };
        let report = run(config).await;
        assert_eq!(classes(&report), [("timeout".to_owned(), 1)], "{reply:?}");
        assert_eq!(counts(&report), [40, 39, 0, 1]);
        assert_eq!(report.reconciliation.in_doubt_absent, Some(1));
    }
}

#[tokio::test]
async fn in_doubt_and_done_after_all_is_told_apart() {
    let server =
        Server::start(|number| if number % 4 == 1 { Reply::CreateSilently } else { Reply::Create }).await;
    let report = run(lenient(&server)).await;
    assert_eq!(counts(&report), [40, 30, 0, 10]);
    let found = &report.reconciliation;
    assert_eq!((found.verdict, found.in_doubt_recorded), (Verdict::Consistent, Some(10)));
}

#[tokio::test]
async fn what_was_lost_or_made_twice_is_named() {
    let server = Server::start(|number| match number {
        5 => Reply::Lie,
        6 => Reply::CreateTwice,
        _ => Reply::Create,
    })
    .await;
    let report = run(config(&server)).await;
    assert_eq!(report.done, 40);
    let found = &report.reconciliation;
    assert_eq!((found.verdict, found.lost, found.duplicates), (Verdict::Inconsistent, Some(1), Some(1)));
    let projects = server.projects();
    assert!(!projects.contains(&found.lost_names[0]), "{found:?}");
    assert_eq!(projects.iter().filter(|name| **name == found.duplicate_names[0]).count(), 2);
}

#[tokio::test]
async fn the_first_failure_ends_it_and_is_named() {
    let server = Server::start(|number| if number == 9 { Reply::Refuse(400) } else { Reply::Create }).await;
    let mut config = config(&server);
    config.limits.count = None;
    let report = run(config).await;
    assert_eq!((report.ended, report.failed), (End::Failures, 1));
    assert!(report.started < 20, "{report:?}");
    let first = report.first_failure.expect("there was one");
    assert!(first.error.contains("not today"), "{first:?}");
    assert!(!server.projects().contains(&first.name));
}

#[tokio::test]
async fn so_many_failures_end_it_and_fewer_do_not() {
    let with = async |most| {
        let server =
            Server::start(|number| if number < 3 { Reply::Refuse(500) } else { Reply::Create }).await;
        let mut config = config(&server);
        config.limits.max_failures = Some(most);
        run(config).await
    };
    assert_eq!(with(4).await.ended, End::Count);
    let too_many = with(3).await;
    assert_eq!((too_many.ended, too_many.failed), (End::Failures, 3));
}

#[tokio::test]
async fn a_server_that_closes_after_every_answer_is_no_failure() {
    let server = Server::start(|_| Reply::CreateAndClose).await;
    let report = run(config(&server)).await;
    assert_eq!(counts(&report), [40, 40, 0, 0]);
    assert_eq!(server.requests(), 40);
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_replaced() {
    let server = Server::start(|_| Reply::CreateAndClose).await;
    let mut config = config(&server);
    config.limits.count = Some(8);
    config.pacing = Pacing::ClosedLoop { pause: Duration::from_millis(20) };
    let report = run(config).await;
    assert_eq!(counts(&report), [8, 8, 0, 0]);
    assert_eq!(report.model, "closed loop, 4 in flight, 20ms pause after each");
}

#[tokio::test]
async fn a_server_that_dies_and_comes_back_is_found_again() {
    let mut server = Server::start(|_| Reply::Create).await;
    let mut config = lenient(&server);
    config.limits.count = None;
    let blast = Blast::new(config);
    let running = spawn(&blast);
    until(|| server.requests() >= 100).await;
    server.kill().await;
    until(|| blast.progress().totals.failed >= 4).await;
    server.restart().await;
    let so_far = server.requests();
    until(|| server.requests() >= so_far + 100).await;
    blast.drain();
    running.await.expect("it does not panic");
    let report = conclude(&blast).await;
    assert_eq!(report.ended, End::Interrupted);
    assert!(report.errors.iter().any(|error| error.class == "refused"), "{:?}", report.errors);
    assert!(report.failed < 100, "refusals are no busy loop: {report:?}");
    assert_eq!(report.reconciliation.verdict, Verdict::Consistent);
}

#[tokio::test]
async fn a_server_that_is_gone_in_the_end_leaves_the_question_open() {
    let mut server = Server::start(|_| Reply::Create).await;
    let mut config = lenient(&server);
    config.limits.count = None;
    let blast = Blast::new(config);
    let running = spawn(&blast);
    until(|| server.requests() >= 10).await;
    server.kill().await;
    blast.drain();
    running.await.expect("it does not panic");
    let found = conclude(&blast).await.reconciliation;
    assert_eq!((found.verdict, found.lost), (Verdict::NotChecked, None));
    assert!(found.reason.is_some_and(|reason| reason.contains("refused")));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_counted_and_a_name_that_is_none_is_told() {
    let mut server = Server::start(|_| Reply::Create).await;
    server.kill().await;
    let blast =
        Blast::new(Config { limits: Limits { count: Some(6), ..Limits::default() }, ..lenient(&server) });
    blast.run().await.expect("it can begin");
    let report = blast.report(Reconciliation::not_checked(""));
    assert_eq!((counts(&report), report.nothing_left), ([6, 0, 6, 0], true));

    let nowhere = Config { target: "http://nowhere.invalid".parse().expect("a URL"), ..lenient(&server) };
    let error = Blast::new(nowhere).run().await.expect_err("no such host");
    assert!(matches!(error, StartError::Target(TargetError::Unknown { .. })), "{error}");
}

/// A run against a server that hangs from the fourth request on, stopped in some way once it hangs.
async fn stopped(grace: Duration, act: impl AsyncFnOnce(&Blast)) -> Report {
    let server = Server::start(|number| if number < 3 { Reply::Create } else { Reply::Hang }).await;
    let mut config = Config { grace, ..config(&server) };
    config.limits.count = None;
    let blast = Blast::new(config);
    let running = spawn(&blast);
    until(|| server.requests() >= 7).await;
    assert_eq!(blast.progress().totals.in_flight, 4);
    act(&blast).await;
    running.await.expect("it does not panic");
    conclude(&blast).await
}

#[tokio::test]
async fn the_first_signal_waits_for_the_grace() {
    let began = Instant::now();
    let report = stopped(Duration::from_millis(100), async |blast: &Blast| blast.drain()).await;
    assert!(began.elapsed() >= Duration::from_millis(100));
    assert_eq!(counts(&report), [7, 3, 0, 4]);
    assert_eq!(classes(&report), [("given up".to_owned(), 4)]);
    assert_eq!((report.ended, report.first_failure), (End::Interrupted, None));
}

#[tokio::test]
async fn the_second_signal_waits_for_nothing() {
    let began = Instant::now();
    let report = stopped(Duration::from_secs(20), async |blast: &Blast| {
        blast.drain();
        blast.stop_now();
    })
    .await;
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(counts(&report), [7, 3, 0, 4]);
    assert_eq!(report.reconciliation.in_doubt_absent, Some(4));
}

#[tokio::test]
async fn a_paused_worker_does_not_hold_up_the_end() {
    let server = Server::start(|_| Reply::Create).await;
    let mut config = config(&server);
    config.limits.count = None;
    config.pacing = Pacing::ClosedLoop { pause: Duration::MAX };
    let blast = Blast::new(config);
    let running = spawn(&blast);
    until(|| blast.progress().totals.done == 4).await;
    blast.drain();
    running.await.expect("it does not panic");
    assert_eq!(counts(&conclude(&blast).await), [4, 4, 0, 0]);
}

#[tokio::test]
async fn a_duration_ends_it_and_a_warm_up_is_not_measured() {
    let server = Server::start(|_| Reply::Create).await;
    let mut config = config(&server);
    config.limits = Limits { duration: Some(Duration::from_millis(100)), ..Limits::default() };
    config.warm_up = Duration::from_millis(50);
    let blast = Blast::new(config);
    let report = finish(&blast).await;
    assert_eq!((report.ended, report.warm_up_secs), (End::Duration, 0.05));
    assert!(report.duration_secs >= 0.15, "{}", report.duration_secs);
    let measured: u64 = blast.course().latency_distribution.iter().map(|band| band.count).sum();
    assert!(measured < report.done, "{measured} of {}", report.done);
    assert_eq!(report.reconciliation.acknowledged_recorded, Some(report.done), "accounted for all the same");
}

#[tokio::test]
async fn an_open_loop_keeps_its_rate_and_counts_from_the_intended_start() {
    // One answer hangs for as long as its connection lasts; the loop goes on all the same.
    let server = Server::start(|number| if number == 10 { Reply::Hang } else { Reply::Create }).await;
    let mut config = lenient(&server);
    config.pacing = Pacing::OpenLoop { rate: rate("200") };
    config.request_timeout = Duration::from_millis(400);
    let began = Instant::now();
    let report = run(config).await;
    // The last of 40 starts at 195 ms.
    assert!(began.elapsed() >= Duration::from_millis(195));
    assert_eq!(counts(&report), [40, 39, 0, 1]);
    assert_eq!(report.model, "open loop, 200/s, corrected, at most 4 in flight");
}

#[tokio::test]
async fn latency_in_an_open_loop_includes_waiting_for_a_worker() {
    // One worker, and a first request that stalls it: everything meant to start meanwhile is late, and says so.
    let server = Server::start(|number| if number == 0 { Reply::Hang } else { Reply::Create }).await;
    let mut config = lenient(&server);
    config.concurrency = 1;
    config.limits.count = Some(5);
    config.pacing = Pacing::OpenLoop { rate: rate("1000") };
    config.request_timeout = Duration::from_millis(200);
    let report = run(config).await;
    assert_eq!(counts(&report), [5, 4, 0, 1]);
    let latency = report.latency_ms.expect("four were done");
    assert!(latency.p50 >= 190.0, "{latency:?}");
}

#[tokio::test]
async fn an_open_loop_can_be_stopped_while_nothing_is_due() {
    let server = Server::start(|_| Reply::Create).await;
    let mut config = config(&server);
    config.limits.count = None;
    config.pacing = Pacing::OpenLoop { rate: rate("0.001") };
    let blast = Blast::new(config);
    let running = spawn(&blast);
    until(|| blast.progress().totals.done == 1).await;
    blast.drain();
    running.await.expect("it does not panic");
    assert_eq!(counts(&conclude(&blast).await), [1, 1, 0, 0]);
}

#[tokio::test]
async fn a_cycle_leaves_nothing_and_what_it_leaves_is_named() {
    let server = Server::start_deleting(
        |number| if number == 5 { Reply::Refuse(500) } else { Reply::Create },
        |name| match name {
            name if name.ends_with("-0-2") => Reply::Refuse(404),
            name if name.ends_with("-0-3") => Reply::Lie,
            name if name.ends_with("-0-4") => Reply::Close,
            _ => Reply::Create,
        },
    )
    .await;
    let config = Config { workload: Workload::ProjectCycle, concurrency: 1, ..lenient(&server) };
    let stem = config.names.stem().to_owned();
    let report = run(config).await;
    // Of 40: one not made, one gone before it was deleted, one whose deletion nobody answered.
    assert_eq!(counts(&report), [40, 37, 2, 1]);
    let found = &report.reconciliation;
    assert_eq!(found.verdict, Verdict::Inconsistent);
    assert_eq!((found.lost_names.as_slice(), found.failed_absent), (&[format!("{stem}0-2")][..], Some(1)));
    assert_eq!((found.deleted_absent, found.deleted_recorded), (Some(36), Some(1)));
    assert_eq!(found.deleted_recorded_names, [format!("{stem}0-3")]);
    assert_eq!((found.in_doubt_absent, found.in_doubt_recorded), (Some(1), Some(0)));
}

#[tokio::test]
async fn demo_sagas_are_known_by_their_ids() {
    let server = Server::start(|_| Reply::Create).await;
    let config = Config { workload: Workload::DemoSaga, ..config(&server) };
    let blast = Blast::new(config);
    blast.run().await.expect("it can begin");
    let mut ids = blast.saga_ids();
    assert_eq!(ids.len(), 40);
    let missing = ids.pop().expect("one");
    let found = blast.reconcile(&Recorded::Sagas(ids));
    assert_eq!((found.acknowledged_recorded, found.lost), (Some(39), Some(1)));
    assert_eq!(found.lost_names, [missing.to_string()]);
    assert_eq!(found.in_doubt_unknown, Some(0));
}

#[tokio::test]
async fn a_read_makes_nothing() {
    let server = Server::start(|_| Reply::Create).await;
    let path = "/v1/projects?limit=1".to_owned();
    let blast = Blast::new(Config { workload: Workload::Get { path }, ..config(&server) });
    blast.run().await.expect("it can begin");
    assert_eq!((blast.progress().totals.done, server.requests()), (40, 0));
    let nonsense = Workload::Get { path: "v1".to_owned() };
    let error =
        Blast::new(Config { workload: nonsense, ..config(&server) }).run().await.expect_err("no path");
    assert!(matches!(error, StartError::Path { .. }), "{error}");
}

#[tokio::test]
async fn a_run_writes_down_what_it_saw() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("journal");
    let server = Server::start(|number| match number {
        7 => Reply::Refuse(400),
        8 => Reply::CreateSilently,
        9 => Reply::Lie,
        _ => Reply::Create,
    })
    .await;
    let blast = Blast::new(lenient(&server));
    blast.record_to(&path).expect("a journal");
    let report = finish(&blast).await;
    blast.finish_record().expect("written");
    let journal = Journal::read(&path).expect("a journal");
    assert!(journal.is_whole);
    assert_eq!(journal.totals, blast.progress().totals);
    let recorded: Vec<RequestId> =
        server.projects().iter().map(|name| journal.names.request(name).expect("one of ours")).collect();
    let (requests, without_line) = journal.requests(&recorded);
    assert_eq!(without_line, 0);
    let again = Recorded::Projects(recorded).reconcile(&journal.names, requests, &[]);
    assert_eq!(again, report.reconciliation, "the file proves what the run itself has proved");
    assert_eq!(again.lost_names.len(), 1);
}

#[tokio::test]
async fn a_record_that_cannot_be_kept_ends_the_run() {
    let server = Server::start(|_| Reply::Create).await;
    let mut config = config(&server);
    config.limits.count = None;
    let blast = Blast::new(config);
    blast.shared.books.state().recorder = Some(Recorder::on_a_full_disk(&blast.config().names));
    blast.run().await.expect("it can begin");
    let report = conclude(&blast).await;
    assert_eq!(report.ended, End::Record);
    assert!(blast.finish_record().is_err());
}

fn rate(text: &str) -> Rate {
    text.parse().expect("a rate")
}

fn spawn(blast: &Blast) -> tokio::task::JoinHandle<()> {
    let blast = blast.clone();
    tokio::spawn(async move { blast.run().await.expect("it can begin") })
}

/// Asks again and again until it holds.
async fn until(holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "it never came to that");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

//! `blast` as a generator, beside `wrk` and `oha`: each makes load on the same trivial endpoint at 64 connections, one
//! after the other in one run.
//!
//! The server is a bare one of our own, on one thread of this process; with the generator on another, two cores are
//! enough. What a generator costs is read from `/proc`, as for every process: its CPU time when it has ended and its
//! largest size on the way.

use crate::cli::PROGRAM;
use crate::table::{Budget, Table};
use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Connections of each generator, as the budgets have it.
const CONNECTIONS: &str = "64";

/// How long each makes load.
const SECONDS: u64 = 5;

/// Rounds, of which the best counts: what disturbs a run makes it slower, never faster.
const ROUNDS: usize = 3;

/// Clock ticks per second in `/proc`, which Linux fixes for everything that reads it.
const TICKS: f64 = 100.0;

/// What a generator did and took.
#[derive(Clone, Copy, Debug)]
struct Measured {
    per_second: f64,
    cpu_us_per_request: f64,
    peak_mib: f64,
}

/// Installs what is missing: `wrk` by apt, `oha` by cargo.
pub(crate) fn install() {
    for (tool, program, arguments) in [
        ("wrk", "apt-get", &["install", "-y", "-q", "wrk"][..]),
        ("oha", "cargo", &["install", "oha", "--locked", "--no-default-features", "--features", "rustls"]),
    ] {
        if !is_installed(tool) {
            println!("installing {tool} …");
            let installed = Command::new(program).args(arguments).status();
            if !installed.is_ok_and(|status| status.success()) {
                println!("  {tool} could not be installed");
            }
        }
    }
}

fn is_installed(tool: &str) -> bool {
    Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// Throughput, CPU per request, memory, and how exactly a rate is kept.
pub(crate) fn run(table: &mut Table) {
    let address = serve();
    let url = format!("http://{address}");
    let wrk = measured("wrk", || wrk(&url));
    let oha = measured("oha", || oha(&url));
    let blast = best(|| blast(&url, SECONDS, &[]).0);
    for (tool, measured) in [("wrk", wrk), ("oha", oha)] {
        if let Some(Measured { per_second, cpu_us_per_request, peak_mib }) = measured {
            table.add(&format!("{tool}, 64 connections"), per_second, "requests/s", None, Budget::None);
            table.add(&format!("{tool}, CPU per request"), cpu_us_per_request, "us", None, Budget::None);
            table.add(&format!("{tool}, memory"), peak_mib, "MiB", None, Budget::None);
        }
    }
    table.add(
        "blast, 64 connections",
        blast.per_second,
        "requests/s",
        oha.map(|oha| (oha.per_second, "oha")),
        Budget::AtLeast(1.0),
    );
    table.add(
        "blast, CPU per request",
        blast.cpu_us_per_request,
        "us",
        wrk.map(|wrk| (wrk.cpu_us_per_request, "wrk")),
        Budget::AtMost(1.3),
    );
    // Both long enough for everything that is bounded to have reached its bound.
    let (long, _) = self::blast(&url, SECONDS * 2, &[]);
    let (longer, _) = self::blast(&url, SECONDS * 8, &[]);
    table.add(
        "blast, memory of a run four times as long",
        longer.peak_mib,
        "MiB",
        Some((long.peak_mib, "the shorter run")),
        Budget::AtMost(1.1),
    );
    keeps_its_rate(table, &url, blast.per_second);
}

/// An open loop at shares of what the closed loop reaches.
fn keeps_its_rate(table: &mut Table, url: &str, capacity: f64) {
    for share in [0.1, 0.5, 0.8] {
        let rate = (capacity * share).round();
        let (_, report) = blast(url, SECONDS, &["--rate", &rate.to_string()]);
        let started = report["started"].as_f64().expect("a number") / SECONDS as f64;
        table.add(
            &format!("blast --rate at {:.0} % of that, off by", share * 100.0),
            (started / rate - 1.0).abs() * 100.0,
            "%",
            None,
            Budget::FigureAtMost(1.0),
        );
        let p50 = report["latency_ms"]["p50"].as_f64().expect("a number");
        table.add("  its median latency", p50 * 1000.0, "us", None, Budget::None);
    }
}

/// The best of some rounds of a tool, if it is installed.
fn measured(tool: &str, measure: impl Fn() -> Measured) -> Option<Measured> {
    if is_installed(tool) {
        Some(best(measure))
    } else {
        println!("  {tool} is not installed and is left out; `cargo bench -- load --install` installs it");
        None
    }
}

fn best(measure: impl Fn() -> Measured) -> Measured {
    let rounds: Vec<_> = (0..ROUNDS).map(|_| measure()).collect();
    rounds
        .into_iter()
        .reduce(|best, next| Measured {
            per_second: best.per_second.max(next.per_second),
            cpu_us_per_request: best.cpu_us_per_request.min(next.cpu_us_per_request),
            peak_mib: best.peak_mib.max(next.peak_mib),
        })
        .expect("there is a round")
}

fn blast(url: &str, seconds: u64, more: &[&str]) -> (Measured, serde_json::Value) {
    let lasts = format!("{seconds}s");
    let mut command = Command::new(PROGRAM);
    command
        .args(["blast", "--workload", "get", "--path", "/", "--quiet", "-o", "json", "--duration", &lasts])
        .args(["--concurrency", CONNECTIONS, "--external-url", url, "--url", "http://127.0.0.1:1"])
        .args(more);
    let (output, cpu, peak_mib) = watched(&mut command);
    let report: serde_json::Value = serde_json::from_str(&output).expect("a report");
    let done = report["done"].as_f64().expect("a number");
    assert_eq!(report["started"], report["done"], "every request is answered");
    let per_second = report["rate_per_sec"].as_f64().expect("a number");
    (Measured { per_second, cpu_us_per_request: cpu / done * 1e6, peak_mib }, report)
}

fn wrk(url: &str) -> Measured {
    let lasts = format!("-d{SECONDS}s");
    let (output, cpu, peak_mib) = watched(Command::new("wrk").args(["-t1", "-c", CONNECTIONS, &lasts, url]));
    let number = |text: &str| text.trim().parse::<f64>().expect("a number");
    let after = |mark: &str| output.lines().find_map(|line| line.trim().strip_prefix(mark)).map(number);
    let requests = output
        .lines()
        .find_map(|line| line.trim().split_once(" requests in "))
        .map(|(count, _)| number(count))
        .expect("wrk says how many");
    let per_second = after("Requests/sec:").expect("wrk says how fast");
    Measured { per_second, cpu_us_per_request: cpu / requests * 1e6, peak_mib }
}

fn oha(url: &str) -> Measured {
    let lasts = format!("{SECONDS}s");
    let arguments = ["--no-tui", "--output-format", "json", "-c", CONNECTIONS, "-z", &lasts, url];
    let (output, cpu, peak_mib) = watched(Command::new("oha").args(arguments));
    let report: serde_json::Value = serde_json::from_str(&output).expect("oha answers JSON");
    let per_second = report["summary"]["requestsPerSec"].as_f64().expect("a number");
    let requests = per_second * report["summary"]["total"].as_f64().expect("seconds");
    Measured { per_second, cpu_us_per_request: cpu / requests * 1e6, peak_mib }
}

/// Runs a command to its end: what it printed, its CPU seconds, and its largest size in MiB.
fn watched(command: &mut Command) -> (String, f64, f64) {
    let before = cpu_of_children();
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it starts");
    let pid = child.id();
    let size = std::thread::spawn(move || {
        let mut peak = 0.0_f64;
        // The high-water mark is gone with the process, so the last look before that is the one that counts.
        while let Some(size) = peak_of(pid) {
            peak = peak.max(size);
            std::thread::sleep(Duration::from_millis(20));
        }
        peak
    });
    let output = child.wait_with_output().expect("it ends");
    let peak = size.join().expect("looking does not panic");
    (String::from_utf8(output.stdout).expect("text"), cpu_of_children() - before, peak)
}

/// CPU seconds of all children that have ended.
fn cpu_of_children() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux has it");
    // The name in the second field may hold blanks; fields are counted from behind it.
    let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<f64>().expect("a number");
    (ticks(13) + ticks(14)) / TICKS
}

fn peak_of(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<f64>().ok()? / 1024.0)
}

/// A server that answers everything with two bytes, on a thread of its own.
fn serve() -> SocketAddr {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            sender.send(listener.local_addr().expect("an address")).expect("somebody waits");
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                stream.set_nodelay(true).expect("loopback can");
                tokio::spawn(async move {
                    let answer = service_fn(|_| async {
                        Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from_static(b"ok"))))
                    });
                    // Ends when the generator closes it, which is no error to anybody.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), answer)
                        .await;
                });
            }
        });
    });
    receiver.recv().expect("the server says where it is")
}

//! The tool as a process: how long a person or a script waits for `sagactl status`.

use crate::table::{Budget, Table};
use sagactl::wire::info::ReadyFile;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_sagactl");

const RUNS: usize = 200;

/// A coordinator's process; killed with its owner.
pub(crate) struct Coordinator {
    child: Child,
    /// Where it can be reached.
    pub ready: ReadyFile,
    /// From process start to both APIs answering.
    pub time_to_ready: Duration,
}

/// Starts a coordinator on a directory and waits until it is ready.
pub(crate) fn coordinator(dir: &Path) -> Coordinator {
    let ready_file = dir.join("ready.json");
    let _ = std::fs::remove_file(&ready_file);
    let started = Instant::now();
    let mut child = Command::new(PROGRAM)
        .args(["coordinator", "run", "--internal", "127.0.0.1:0", "--external", "127.0.0.1:0", "--data-dir"])
        .arg(dir)
        .arg("--ready-file")
        .arg(&ready_file)
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    loop {
        if let Ok(text) = std::fs::read_to_string(&ready_file) {
            let ready = serde_json::from_str(&text).expect("a ready file");
            return Coordinator { child, ready, time_to_ready: started.elapsed() };
        }
        assert!(child.try_wait().expect("a child").is_none(), "the coordinator ended while it started");
        assert!(started.elapsed() < Duration::from_secs(30), "the coordinator is not ready");
        std::thread::sleep(Duration::from_millis(1));
    }
}

impl Coordinator {
    /// Kills it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Median times of whole processes that are run by turns, so that what disturbs the machine disturbs all. `None` for a program
/// that is not there or fails.
fn median_runs<const N: usize>(programs: [(&str, &[&str]); N]) -> [Option<Duration>; N] {
    let mut times = [const { Vec::new() }; N];
    for _ in 0..RUNS {
        for ((program, arguments), times) in programs.iter().zip(&mut times) {
            let started = Instant::now();
            let status =
                Command::new(program).args(*arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
            if status.is_ok_and(|status| status.success()) {
                times.push(started.elapsed());
            }
        }
    }
    times.map(|mut times| {
        times.sort();
        (times.len() == RUNS).then(|| times[RUNS / 2])
    })
}

/// `status` beside `curl` fetching the same report, and beside a process that does nothing.
pub(crate) fn run(table: &mut Table) {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let coordinator = coordinator(dir.path());
    // As an installed program lies in memory, curl included: read or copied in one go. What a linker has just written lies there
    // in so many pieces that starting it takes a fifth longer.
    let installed = dir.path().join("sagactl");
    std::fs::copy(PROGRAM, &installed).expect("a copy");
    let installed = installed.to_str().expect("a path");
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let url = coordinator.ready.internal_url.clone();
    let report = format!("{url}/bgtasks/view/saga_recovery");
    let mut measure = |sagas: u32| {
        let [nothing, curl, status] = median_runs([
            ("true", &[][..]),
            ("curl", &["-s", &report]),
            (installed, &["status", "--url", &url]),
        ]);
        if let Some(nothing) = nothing {
            table.add("a process that does nothing", ms(nothing), "ms", None, Budget::None);
        }
        if let Some(status) = status {
            let what = format!("sagactl status, {sagas} sagas");
            let limit = curl.map(|time| (ms(time), "curl of the same report"));
            table.add(&what, ms(status), "ms", limit, Budget::AtMost(0.5));
        }
    };
    measure(0);
    let external = &coordinator.ready.external_url;
    let load = ["blast", "--quiet", "--count", "300", "--url", &url, "--external-url", external];
    let blast = Command::new(PROGRAM).args(load).stdout(Stdio::null()).status().expect("blast runs");
    assert!(blast.success(), "{blast}");
    measure(300);
}

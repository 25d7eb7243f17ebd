//! The real coordinator as a child process of a test.

use super::{TestEnv, poll_until};
use rustix::process::{Pid, Signal, kill_process};
use sagactl::wire::info::ReadyFile;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A coordinator on free ports; killed with its owner.
pub(crate) struct Coordinator {
    child: Child,
    pub(crate) ready: ReadyFile,
    data_dir: PathBuf,
}

impl Coordinator {
    /// Starts one on a data directory and waits until it is ready.
    pub(crate) fn start(env: &TestEnv, data_dir: &Path, more: &[&str]) -> Self {
        Self::listen(env, data_dir, ["127.0.0.1:0", "127.0.0.1:0"], more)
    }

    /// Starts one that may have so many file descriptors.
    pub(crate) fn start_with_descriptors(env: &TestEnv, data_dir: &Path, most: u32, more: &[&str]) -> Self {
        let mut shell = env.shell(&format!("ulimit -n {most} && exec \"$0\" \"$@\""));
        shell.arg(env.command(&[]).get_program());
        Self::spawn(shell, data_dir, ["127.0.0.1:0", "127.0.0.1:0"], more)
    }

    /// Starts it again after a kill, where it was.
    pub(crate) fn restart(&mut self, env: &TestEnv) {
        self.restart_with(env, &[]);
    }

    /// The same, with more arguments.
    pub(crate) fn restart_with(&mut self, env: &TestEnv, more: &[&str]) {
        let address = |url: &str| url.strip_prefix("http://").expect("a URL").to_owned();
        let (internal, external) = (address(&self.ready.internal_url), address(&self.ready.external_url));
        let data_dir = self.data_dir.clone();
        *self = Self::listen(env, &data_dir, [&internal, &external], more);
    }

    fn listen(env: &TestEnv, data_dir: &Path, addresses: [&str; 2], more: &[&str]) -> Self {
        Self::spawn(env.command(&[]), data_dir, addresses, more)
    }

    fn spawn(mut program: Command, data_dir: &Path, [internal, external]: [&str; 2], more: &[&str]) -> Self {
        let ready_file = data_dir.with_extension("ready");
        let _ = std::fs::remove_file(&ready_file);
        let log = std::fs::File::create(data_dir.with_extension("log")).expect("a log");
        let (dir, file) = (data_dir.to_str().expect("text"), ready_file.to_str().expect("text"));
        let arguments = ["coordinator", "run", "--data-dir", dir, "--ready-file", file];
        let ports = ["--internal", internal, "--external", external];
        let mut child = program
            .args([&arguments[..], &ports[..], more].concat())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        let ready = poll_until("the coordinator is ready", || {
            if let Some(status) = child.try_wait().expect("a child") {
                panic!("the coordinator ended ({status}): {}", log_of(data_dir));
            }
            serde_json::from_str(&std::fs::read_to_string(&ready_file).ok()?).ok()
        });
        Self { child, ready, data_dir: data_dir.to_owned() }
    }

    /// An environment whose commands talk to this coordinator.
    pub(crate) fn env(&self) -> TestEnv {
        TestEnv::new()
            .with("SAGACTL_URL", &self.ready.internal_url)
            .with("SAGACTL_EXTERNAL_URL", &self.ready.external_url)
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it can be waited for");
    }

    /// Stops it in its tracks, as a machine that freezes would; nobody is told.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on as if nothing had happened.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("it has not been waited for, so its id is its own");
    }

    /// Sets all faults from now on, as `POST /fault` takes them. It has to have been started with `--allow-faults`.
    pub(crate) fn set_faults(&self, rules: &serde_json::Value) {
        let (status, answer) = self.post("/fault", &serde_json::json!({ "rules": rules }).to_string());
        assert_eq!(status, 200, "{answer}");
    }

    /// Posts JSON to its internal API; the status and the whole answer.
    pub(crate) fn post(&self, path: &str, body: &str) -> (u16, String) {
        let address = self.ready.internal_url.strip_prefix("http://").expect("a URL");
        let mut stream = TcpStream::connect(address).expect("it listens");
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        )
        .expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let status = answer.get(9..12).and_then(|status| status.parse().ok());
        (status.unwrap_or_else(|| panic!("no status: {answer}")), answer)
    }

    /// Whether the process is still there.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Waits until the process has ended by itself and answers its exit code.
    pub(crate) fn wait_for_its_end(&mut self) -> Option<i32> {
        poll_until("the coordinator ends by itself", || self.child.try_wait().expect("a child")).code()
    }

    /// What it wrote to standard error.
    pub(crate) fn log(&self) -> String {
        log_of(&self.data_dir)
    }

    /// The database, for `sqlite` questions of a test.
    pub(crate) fn database(&self) -> rusqlite::Connection {
        let path = self.ready.db_url.strip_prefix("sqlite:").expect("SQLite");
        rusqlite::Connection::open(path).expect("a database")
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn log_of(data_dir: &Path) -> String {
    std::fs::read_to_string(data_dir.with_extension("log")).unwrap_or_default()
}

//! Runs the binary in an environment of its own: nothing of the machine's configuration reaches it, and nothing that it
//! writes outlives the test.

pub(crate) mod coordinator;
pub(crate) mod databases;
pub(crate) mod server;

use std::fmt;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest that any command in these tests may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// An environment for commands.
pub(crate) struct TestEnv {
    dir: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

/// What a command left behind.
pub(crate) struct Run {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: i32,
    pub(crate) took: Duration,
}

impl TestEnv {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), variables: Vec::new() }
    }

    /// An environment whose coordinator is that server.
    pub(crate) fn at(server: &server::Server) -> Self {
        Self::new().with("SAGACTL_URL", &server.url())
    }

    /// The same with a variable.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A directory that goes away with the environment.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The same with a config file.
    pub(crate) fn with_config(self, text: &str) -> Self {
        fs::create_dir_all(self.path().join("config/sagactl")).unwrap();
        fs::write(self.path().join("config/sagactl/config.toml"), text).unwrap();
        self
    }

    /// A command, ready to be started.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sagactl"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.path())
            .env("XDG_CONFIG_HOME", self.path().join("config"))
            .env("XDG_DATA_HOME", self.path().join("data"))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// A line for a shell, in the same environment.
    pub(crate) fn shell(&self, line: &str) -> Command {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", line]).env_clear().current_dir(self.path());
        let variables = self.command(&[]);
        shell.envs(variables.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        let began = Instant::now();
        let mut child = self.command(arguments).spawn().unwrap();
        let stdout = read_all(child.stdout.take().unwrap());
        let stderr = read_all(child.stderr.take().unwrap());
        let status = wait(&mut child, began + PATIENCE, arguments);
        let redact = |text: String| text.replace(self.path().to_str().unwrap(), "DIR");
        Run {
            stdout: redact(stdout.join().unwrap()),
            stderr: redact(stderr.join().unwrap()),
            code: status.code().unwrap_or(-1),
            took: began.elapsed(),
        }
    }
}

/// Reads a stream to its end beside whatever else goes on.
pub(crate) fn read_all(mut stream: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        String::from_utf8(bytes).expect("the program writes UTF-8")
    })
}

/// Waits for a process to end, and ends it if it does not.
pub(crate) fn wait(child: &mut Child, deadline: Instant, what: &[&str]) -> std::process::ExitStatus {
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() >= deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{what:?} did not end by itself");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Asks again and again until there is an answer.
pub(crate) fn poll_until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

impl fmt::Display for Run {
    /// Everything that a command left behind, for one snapshot. Ports and ages, which differ from run to run, give way to
    /// placeholders.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", steady(&self.stdout))?;
        for line in self.stderr.lines() {
            writeln!(f, "! {}", steady(line))?;
        }
        writeln!(f, "= {}", self.code)
    }
}

/// The text with what differs from run to run replaced.
pub(crate) fn steady(text: &str) -> String {
    let mut steady = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("127.0.0.1:") {
        let (before, after) = rest.split_at(at + "127.0.0.1:".len());
        steady.push_str(before);
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        steady.push_str(if after[..digits].starts_with("1222") { &after[..digits] } else { "PORT" });
        rest = &after[digits..];
    }
    steady.push_str(rest);
    without_ages(&steady)
}

/// Puts `(… ago)` for ages, `up …` for uptimes and `running for …` for activations under way: fixtures grow old.
fn without_ages(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut line = line.to_owned();
        if let (Some(open), Some(close)) = (line.find("Z ("), line.find(") and ran")) {
            line.replace_range(open + 3..close, "… ago");
        }
        for marker in [", up ", "running for "] {
            if let Some(at) = line.find(marker) {
                line.replace_range(at + marker.len().., "…");
            }
        }
        lines.push(line);
    }
    let mut steady = lines.join("\n");
    if text.ends_with('\n') {
        steady.push('\n');
    }
    steady
}

/// A file of `fixtures/`.
pub(crate) fn fixture(name: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "fixtures", name].iter().collect();
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A fixture as JSON, to be varied.
pub(crate) fn fixture_json(name: &str) -> serde_json::Value {
    serde_json::from_str(&fixture(name)).unwrap()
}

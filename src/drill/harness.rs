//! Coordinators as child processes: start, wait until ready, kill -9, start again on the same data and ports.
//!
//! A child never outlives its drill. It holds the read end of a pipe and ends itself when the other end closes, which
//! happens however the drill ends, kill -9 included.

use crate::wire::info::ReadyFile;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a coordinator may take from process start to both APIs answering.
const READY_DEADLINE: Duration = Duration::from_secs(20);

/// Time between two looks at the ready file. Short, because drills measure how quickly a coordinator is back.
const READY_POLL: Duration = Duration::from_millis(2);

/// How much of a dead coordinator's log is worth repeating, from its end.
const LOG_TAIL_BYTES: usize = 2000;

/// The embedded database in a coordinator's data directory.
pub const DATABASE_FILE: &str = "sagactl.db";

/// What a coordinator writes, in its data directory.
const LOG_FILE: &str = "coordinator.log";

/// Why a drill could not go on.
#[derive(Debug, thiserror::Error)]
pub enum HarnessError {
    /// The machine did not give what was needed.
    #[error("{doing}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// A coordinator ended before it was ready.
    #[error("the coordinator ended while it started ({status}); the end of its log: {log}")]
    Died {
        /// How it ended.
        status: ExitStatus,
        /// The end of what it wrote.
        log: String,
    },
    /// A coordinator was not ready in time.
    #[error(
        "the coordinator was not ready after {}; the end of its log: {log}",
        humantime::format_duration(READY_DEADLINE)
    )]
    NotReady {
        /// The end of what it wrote.
        log: String,
    },
    /// The ready file holds something else.
    #[error("the coordinator's ready file cannot be read")]
    ReadyFile(#[source] serde_json::Error),
}

fn scratch_names() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("sagactl-");
    builder
}

fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> HarnessError {
    let doing = doing.into();
    move |source| HarnessError::Io { doing, source }
}

/// Where Linux keeps files in memory.
const MEMORY: &str = "/dev/shm";

/// A directory for one drill, gone with it unless it is to be kept.
#[derive(Debug)]
pub struct Scratch {
    dir: TempDir,
}

impl Scratch {
    /// Makes one; with `keep` it stays when the drill is over.
    ///
    /// # Errors
    ///
    /// When the temporary directory cannot be written.
    pub fn new(keep: bool) -> Result<Self, HarnessError> {
        let mut dir = scratch_names().tempdir().map_err(io("making a scratch directory"))?;
        dir.disable_cleanup(keep);
        Ok(Self { dir })
    }

    /// Makes one in memory where the system has such a place and the user names no other (`TMPDIR`): for thousands of
    /// short-lived databases. What a killed process has written is there all the same; only a power cut would tell.
    ///
    /// # Errors
    ///
    /// When the temporary directory cannot be written, either.
    pub fn in_memory() -> Result<Self, HarnessError> {
        if std::env::var_os("TMPDIR").is_none()
            && let Ok(dir) = scratch_names().tempdir_in(MEMORY)
        {
            return Ok(Self { dir });
        }
        Self::new(false)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// How a coordinator is to be started.
#[derive(Clone, Debug)]
pub struct CoordinatorSpec {
    /// Program; this very one, unless a service that embeds the library is drilled.
    pub program: PathBuf,
    /// Data directory.
    pub data_dir: PathBuf,
    /// Where the internal API listens.
    pub internal: SocketAddr,
    /// Where the external API listens.
    pub external: SocketAddr,
    /// More arguments for `coordinator run`.
    pub arguments: Vec<String>,
}

impl CoordinatorSpec {
    /// This program's own coordinator on free ports, with its data in `dir`.
    ///
    /// # Errors
    ///
    /// When the system does not tell which program this is.
    pub fn new(dir: &Path) -> Result<Self, HarnessError> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Ok(Self {
            program: std::env::current_exe().map_err(io("finding this program"))?,
            data_dir: dir.to_owned(),
            internal: any,
            external: any,
            arguments: Vec::new(),
        })
    }
}

/// A coordinator as a child process.
#[derive(Debug)]
pub struct CoordinatorProcess {
    spec: CoordinatorSpec,
    child: Killed,
    ready: ReadyFile,
    time_to_ready: Duration,
}

/// A process that ends with its value, also of a start that somebody did not wait for to the end.
#[derive(Debug)]
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Already gone after `CoordinatorProcess::kill`; both calls are harmless then.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl CoordinatorProcess {
    /// Starts one and waits until it is ready.
    ///
    /// # Errors
    ///
    /// When it ends before, or takes too long.
    pub async fn start(spec: CoordinatorSpec) -> Result<Self, HarnessError> {
        std::fs::create_dir_all(&spec.data_dir).map_err(io("making the data directory"))?;
        let ready_path = spec.data_dir.join("ready.json");
        let log_path = spec.data_dir.join(LOG_FILE);
        match std::fs::remove_file(&ready_path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(io("removing the old ready file")(error));
            }
            _ => {}
        }
        let log = File::options()
            .create(true)
            .append(true)
            .open(&log_path)
            .map_err(io("opening the coordinator's log"))?;
        let started = Instant::now();
        let mut child = Killed(
            Command::new(&spec.program)
                .args(["coordinator", "run", "--until-stdin-closes", "--data-dir"])
                .arg(&spec.data_dir)
                .args(["--internal", &spec.internal.to_string(), "--external", &spec.external.to_string()])
                .arg("--ready-file")
                .arg(&ready_path)
                .args(&spec.arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .map_err(io("starting a coordinator"))?,
        );
        loop {
            if let Ok(text) = std::fs::read_to_string(&ready_path) {
                // Written atomically, so what is there is whole.
                let ready = serde_json::from_str(&text).map_err(HarnessError::ReadyFile)?;
                return Ok(Self { spec, child, ready, time_to_ready: started.elapsed() });
            }
            if let Some(status) = child.0.try_wait().map_err(io("waiting for a coordinator"))? {
                return Err(HarnessError::Died { status, log: log_tail(&log_path) });
            }
            if started.elapsed() > READY_DEADLINE {
                return Err(HarnessError::NotReady { log: log_tail(&log_path) });
            }
            tokio::time::sleep(READY_POLL).await;
        }
    }

    /// Who it is and where it can be reached.
    pub fn ready(&self) -> &ReadyFile {
        &self.ready
    }

    /// From process start to both APIs answering.
    pub fn time_to_ready(&self) -> Duration {
        self.time_to_ready
    }

    /// Kills it with SIGKILL and waits until it is gone. What comes back starts the same coordinator again, on the same
    /// data and the same ports.
    ///
    /// # Errors
    ///
    /// When the system does not let us.
    pub fn kill(mut self) -> Result<CoordinatorSpec, HarnessError> {
        self.child.0.kill().map_err(io("killing a coordinator"))?;
        self.child.0.wait().map_err(io("waiting for a killed coordinator"))?;
        let mut spec = self.spec.clone();
        spec.internal = address_of(&self.ready.internal_url).unwrap_or(spec.internal);
        spec.external = address_of(&self.ready.external_url).unwrap_or(spec.external);
        Ok(spec)
    }
}

/// A coordinator that has ended.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// The end of what it wrote.
    pub log: String,
}

impl CoordinatorProcess {
    /// Whether it has ended by itself, or by somebody else's hand.
    ///
    /// # Errors
    ///
    /// When the system does not tell.
    pub fn has_ended(&mut self) -> Result<Option<Ended>, HarnessError> {
        let status = self.child.0.try_wait().map_err(io("waiting for a coordinator"))?;
        Ok(status.map(|status| Ended { status, log: log_tail(&self.spec.data_dir.join(LOG_FILE)) }))
    }

    /// Stops it in its tracks (SIGSTOP), as a machine that freezes would. It is told nothing, and neither is anybody else.
    ///
    /// # Errors
    ///
    /// When the system does not let us.
    pub fn freeze(&self) -> Result<(), HarnessError> {
        self.signal(Signal::STOP, "stopping a coordinator")
    }

    /// Lets it go on (SIGCONT) as if nothing had happened.
    ///
    /// # Errors
    ///
    /// When the system does not let us.
    pub fn thaw(&self) -> Result<(), HarnessError> {
        self.signal(Signal::CONT, "continuing a coordinator")
    }

    fn signal(&self, signal: Signal, doing: &str) -> Result<(), HarnessError> {
        // It has not been waited for unless it was found to have ended, so its id is still its own.
        kill_process(Pid::from_child(&self.child.0), signal).map_err(|errno| io(doing)(errno.into()))
    }

    /// What starts one on the same data again, on other ports. It is killed if it still runs.
    pub fn into_spec(self) -> CoordinatorSpec {
        self.spec.clone()
    }
}

fn address_of(url: &str) -> Option<SocketAddr> {
    url.strip_prefix("http://")?.parse().ok()
}

fn log_tail(path: &Path) -> String {
    let mut bytes = Vec::new();
    if let Ok(mut file) = File::open(path) {
        let _ = file.read_to_end(&mut bytes);
    }
    let tail = &bytes[bytes.len().saturating_sub(LOG_TAIL_BYTES)..];
    let text = String::from_utf8_lossy(tail);
    let text = text.trim();
    if text.is_empty() { "(empty)".to_owned() } else { text.to_owned() }
}

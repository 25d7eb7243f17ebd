//! A scratch PostgreSQL server for tests, which they start by themselves.
//!
//! It is made by `initdb` in a temporary directory, listens on a free port of 127.0.0.1 and on a socket in that directory,
//! and belongs to an unprivileged user, because the server refuses to run as root.
//!
//! # Never left behind
//!
//! The test process cannot be relied on to stop it: statics are not dropped, and a process may be killed. So a watchdog is
//! started before anything else: a shell whose standard input is a pipe that only the test process holds. However that
//! process ends, the pipe closes, and the watchdog stops the server and removes the directory.
//!
//! # One server, many databases
//!
//! [`Server::shared`] is one server for all tests of a binary, with a fresh database for each ([`Server::database`]).
//! Tests that crash the server start one of their own ([`Server::start`]).

#![allow(dead_code, reason = "each test binary uses the parts that it needs")]

use std::fmt;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// The superuser of scratch servers, who needs no password.
pub(crate) const USER: &str = "sagactl";

/// A user who may do everything in databases and needs [`PASSWORD`].
pub(crate) const GUARDED_USER: &str = "guarded";

/// The password of [`GUARDED_USER`].
pub(crate) const PASSWORD: &str = "open-sesame";

/// Settings for speed. Without `fsync` what is committed survives the death of the server's processes, which is all that a
/// test can bring about, but not that of the machine.
const FAST: &[&str] = &["fsync=off", "full_page_writes=off"];

/// Settings for measuring: those of a server that is meant to keep what it was given.
const DURABLE: &[&str] = &["fsync=on", "shared_buffers=512MB"];

/// Ports are looked for below those that systems give to outgoing connections, so that a server that is started again
/// finds its port free.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Servers and tests that look for a port at the same time may find the same one.
const START_ATTEMPTS: usize = 5;

/// A scratch server. Dropping it stops it and removes what it kept.
pub(crate) struct Server {
    dir: PathBuf,
    port: u16,
    user: Option<User>,
    names: AtomicU32,
    /// Empty databases that nobody uses.
    spare: Mutex<Vec<String>>,
    watchdog: Child,
}

/// A fresh database on a scratch server, given back with its owner.
pub(crate) struct Database<'s> {
    server: &'s Server,
    name: String,
}

/// Who runs the server if the tests are run by root.
#[derive(Clone, Copy)]
struct User {
    uid: u32,
    gid: u32,
}

impl Server {
    /// The server that all tests of this binary share.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts a server for one test.
    pub(crate) fn start() -> Self {
        Self::start_with(FAST)
    }

    /// Starts a server that syncs what it commits, for measuring.
    pub(crate) fn start_durable() -> Self {
        Self::start_with(DURABLE)
    }

    fn start_with(settings: &[&str]) -> Self {
        let user = unprivileged_user();
        // Not the system's choice of a directory: the path of a socket must be short, and the server's user must get there.
        let dir =
            tempfile::Builder::new().prefix("sagactl-pg-").tempdir_in("/tmp").expect("a directory in /tmp");
        if let Some(User { uid, gid }) = user {
            chown(dir.path(), Some(uid), Some(gid)).expect("root may give directories away");
        }
        let watchdog = start_watchdog(dir.path(), user);
        let mut server = Self {
            dir: dir.keep(),
            port: 0,
            user,
            names: AtomicU32::new(0),
            spare: Mutex::default(),
            watchdog,
        };
        server.create_cluster(settings);
        server.find_port_and_start();
        server.sql("postgres", &format!("CREATE ROLE {GUARDED_USER} SUPERUSER LOGIN PASSWORD '{PASSWORD}'"));
        server
    }

    fn create_cluster(&self, settings: &[&str]) {
        let data = self.data();
        let arguments = ["-A", "trust", "-U", USER, "-E", "UTF8", "--no-locale", "--no-sync", "-D"];
        check(self.command("initdb").args(arguments).arg(&data));
        let hba = format!(
            "local all all trust\nhost all {GUARDED_USER} 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n"
        );
        let always = ["max_connections=300", "timezone=UTC", "log_min_messages=warning", "autovacuum=off"];
        let config: String = always.iter().chain(settings).map(|setting| format!("{setting}\n")).collect();
        // Both files belong to the server's user, but whoever runs the tests may write them: itself, or root.
        fs::write(data.join("pg_hba.conf"), hba).expect("a file of the new server");
        fs::write(data.join("postgresql.auto.conf"), config).expect("a file of the new server");
    }

    fn find_port_and_start(&mut self) {
        for attempt in 1.. {
            self.port = free_port();
            let output = self.try_start();
            if output.status.success() {
                return;
            }
            let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            assert!(
                attempt < START_ATTEMPTS,
                "a scratch PostgreSQL does not start: {}\n{log}",
                said(&output)
            );
        }
    }

    fn try_start(&self) -> Output {
        let options = format!("-p {} -k {} -c listen_addresses=127.0.0.1", self.port, self.dir.display());
        let mut command = self.pg_ctl(&["-w", "-t", "60", "-o", &options, "-l"]);
        command.arg(self.dir.join("log")).arg("start").output().expect("pg_ctl can be run")
    }

    /// Ends the server as a crash does: nothing is written any more, connections break.
    pub(crate) fn crash(&self) {
        check(&mut self.pg_ctl(&["-w", "-m", "immediate", "stop"]));
    }

    /// Starts it again after [`crash`](Self::crash), where it was.
    pub(crate) fn start_again(&self) {
        let output = self.try_start();
        assert!(output.status.success(), "the scratch PostgreSQL does not start again: {}", said(&output));
    }

    /// Makes a fresh, empty database.
    pub(crate) fn database(&self) -> Database<'_> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let name = spare.unwrap_or_else(|| {
            let name = self.next_name();
            self.sql("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0"));
            name
        });
        Database { server: self, name }
    }

    fn next_name(&self) -> String {
        format!("test_{}", self.names.fetch_add(1, Ordering::Relaxed))
    }

    /// Empties a database to be used again, which is many times quicker than making one. It gets a new name, so that
    /// whoever was left behind by the test before, and tries to connect again, does not find it.
    fn recycle(&self, name: &str) {
        let new_name = self.next_name();
        let script = format!(
            "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE datname = '{name}';\n\
             ALTER DATABASE {name} RENAME TO {new_name};\n\
             \\connect {new_name}\n\
             SET client_min_messages = error; DROP SCHEMA public CASCADE; CREATE SCHEMA public;\n"
        );
        let mut shell =
            self.shell("postgres").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("a shell");
        shell.stdin.take().expect("piped").write_all(script.as_bytes()).expect("it reads");
        // If it failed, for example because the server has been crashed, there is one spare database less.
        if shell.wait().expect("a child").success() {
            self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(new_name);
        }
    }

    /// The port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its first process, the parent of all others.
    pub(crate) fn pid(&self) -> u32 {
        let file = fs::read_to_string(self.data().join("postmaster.pid")).expect("the server runs");
        file.lines().next().and_then(|line| line.parse().ok()).expect("a process id")
    }

    /// Where it keeps everything.
    pub(crate) fn directory(&self) -> &Path {
        &self.dir
    }

    fn sql(&self, database: &str, sql: &str) -> String {
        check(self.shell(database).args(["-c", sql]))
    }

    fn shell(&self, database: &str) -> Command {
        let mut command = self.command("psql");
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", USER, "-h"]).arg(&self.dir);
        command.args(["-p", &self.port.to_string(), "-d", database]);
        command
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn pg_ctl(&self, arguments: &[&str]) -> Command {
        let mut command = self.command("pg_ctl");
        command.arg("-s").arg("-D").arg(self.data()).args(arguments);
        command
    }

    fn command(&self, program: &str) -> Command {
        as_user(&find_program(program), self.user)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

impl Database<'_> {
    /// Where it is, for [`USER`].
    pub(crate) fn url(&self) -> String {
        format!("postgresql://{USER}@127.0.0.1:{}/{}", self.server.port, self.name)
    }

    /// Where it is, for [`GUARDED_USER`] with this password.
    pub(crate) fn guarded_url(&self, password: &str) -> String {
        format!("postgresql://{GUARDED_USER}:{password}@127.0.0.1:{}/{}", self.server.port, self.name)
    }

    /// PostgreSQL's own shell, which runs what it reads from standard input.
    pub(crate) fn shell(&self) -> Command {
        self.server.shell(&self.name)
    }

    /// Runs SQL by PostgreSQL's own client and answers its rows, one a line, columns separated by `|`.
    pub(crate) fn sql(&self, sql: &str) -> String {
        self.server.sql(&self.name, sql).trim_end().to_owned()
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        // That of a failed test is left as it is.
        if !std::thread::panicking() {
            self.server.recycle(&self.name);
        }
    }
}

impl fmt::Debug for Database<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url())
    }
}

/// See the text of this file.
fn start_watchdog(dir: &Path, user: Option<User>) -> Child {
    let script = r#"cat >/dev/null; "$0" -s -D "$1/data" -m immediate -w stop; rm -rf "$1""#;
    as_user(Path::new("/bin/sh"), user)
        .arg("-c")
        .arg(script)
        .arg(find_program("pg_ctl"))
        .arg(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Out of reach of a terminal's ^C, which would end it before its work is done.
        .process_group(0)
        .spawn()
        .expect("a shell can be run")
}

fn as_user(program: &Path, user: Option<User>) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/").env("LC_ALL", "C").stdin(Stdio::null());
    // Variables like PGHOST would lead to another server.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    if let Some(User { uid, gid }) = user {
        command.uid(uid).gid(gid);
    }
    command
}

/// Whom the server is run as: whoever runs the tests, unless that is root.
fn unprivileged_user() -> Option<User> {
    let ours = fs::metadata("/proc/self").expect("a Linux system");
    if ours.uid() != 0 {
        return None;
    }
    let passwd = fs::read_to_string("/etc/passwd").expect("a list of users");
    let find = |wanted: &str| {
        passwd.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let (uid, gid) = (fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
            (fields[0] == wanted).then_some(User { uid, gid })
        })
    };
    Some(find("postgres").or_else(|| find("nobody")).expect("root has a user to run PostgreSQL as"))
}

/// Finds a program of PostgreSQL's. Distributions keep those of the server off the path, in a directory per version.
fn find_program(name: &str) -> PathBuf {
    let on_path =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    let mut directories: Vec<PathBuf> = on_path;
    if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
        let mut versions: Vec<PathBuf> = versions.flatten().map(|entry| entry.path()).collect();
        versions.sort_by_key(|path| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()));
        directories.splice(0..0, versions.into_iter().rev().map(|version| version.join("bin")));
    }
    let found = directories.iter().map(|directory| directory.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!(
            "this test needs a PostgreSQL server, and its program {name} is neither on the PATH nor in \
             /usr/lib/postgresql; tests/run installs it"
        )
    })
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let span = u32::from(PORTS.end - PORTS.start);
    // Processes begin at different places, so that those that start together seldom meet.
    let begin = std::process::id().wrapping_mul(7919);
    loop {
        let next = begin.wrapping_add(LAST.fetch_add(1, Ordering::Relaxed)) % span;
        let port = PORTS.start + u16::try_from(next).expect("less than the span of ports");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Runs a command that must succeed and answers what it wrote.
fn check(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"));
    assert!(output.status.success(), "{command:?} failed: {}", said(&output));
    String::from_utf8(output.stdout).expect("PostgreSQL writes UTF-8")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

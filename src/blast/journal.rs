//! A run's own record of itself: JSON lines, one per request, written as it goes.
//!
//! It is evidence: it can be held against the records of a coordinator later, on another machine, also when the generator
//! was killed in the middle. So a line goes to the system as soon as its request is over, and a reader takes what is
//! there.
//!
//! ```text
//!   {"sagactl_blast":1,"run_id":…}                   first: which run, and how names are made
//!   {"name":…,"outcome":"done","seen":…}             each request when it is over
//!   {"ended":"count","started":300,…}                last; missing if the generator was killed
//! ```
//!
//! # Who writes
//!
//! A thread of its own, so that a disk that takes its time is not measured as a slow server; it writes whatever has come
//! in, and then waits for more. Only when it falls far behind do requests wait for it, so memory stays bounded. If it
//! cannot write, it says so once, and the run ends: a record with holes would be worse than none.
//!
//! # What a torn record proves
//!
//! Requests that were under way when the generator was killed, or whose line had not been written, are in no line. A
//! worker numbers its requests one after the other, so what is on record under a later number than the worker's last line
//! is such a request: it was sent, and nobody knows the answer. [`Journal::requests`] has it as in doubt. A name that is
//! on record and *before* the worker's last line has a line, or nobody explains it.

use super::Config;
use super::answer::{Outcome, Trouble};
use super::ledger::Totals;
use super::names::{Names, NamesError, RequestId};
use super::schedule::End;
use super::workload::Workload;
use crate::reconcile::Seen;
use crate::wire::ids::SagaId;
use crate::wire::time::{Time, to_stored};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

/// Version of the format.
const VERSION: u32 = 1;

/// Requests that may wait to be written before the load waits for the disk.
const MOST_WAITING: usize = 16 * 1024;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the format.
    pub sagactl_blast: u32,
    /// The run.
    pub run_id: String,
    /// What names begin with.
    pub prefix: String,
    /// What each request does.
    pub workload: Workload,
    /// The API that was spoken to.
    pub url: String,
    /// Workers.
    pub concurrency: u32,
    /// How the load was made, in words.
    pub model: String,
    /// When the run began. Later times are counted from here by a clock that never steps.
    pub time_started: Time,
}

impl Header {
    /// The first line of a run's journal.
    pub(super) fn new(config: &Config, time_started: Time) -> Self {
        Self {
            sagactl_blast: VERSION,
            run_id: config.names.run_id().to_owned(),
            prefix: config.names.prefix().to_owned(),
            workload: config.workload.clone(),
            url: config.target.to_string(),
            concurrency: config.concurrency,
            model: config.model(),
            time_started,
        }
    }
}

/// The line of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Name of what it was to make.
    pub name: String,
    /// Its idempotency key, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// When it was meant to start.
    pub time_intended: String,
    /// When it started.
    pub time_started: String,
    /// When it was over.
    pub time_ended: String,
    /// How it is counted.
    pub outcome: Outcome,
    /// What the client knows of it.
    pub seen: Seen,
    /// What was answered: `ok`, or the class of the trouble.
    pub answer: String,
    /// The trouble in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The saga that it made, where the answer says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saga_id: Option<SagaId>,
}

/// The last line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footer {
    /// Why no more requests were made.
    pub ended: End,
    /// Requests launched.
    pub started: u64,
    /// Acknowledged.
    pub done: u64,
    /// Told no, or never left.
    pub failed: u64,
    /// Sent, and no answer came.
    pub in_doubt: u64,
}

/// A request that is over, on its way to its line.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) request: RequestId,
    pub(super) intended: Duration,
    pub(super) started: Duration,
    pub(super) ended: Duration,
    pub(super) outcome: Outcome,
    pub(super) seen: Seen,
    /// Class and words of the trouble, if there was one.
    pub(super) trouble: Option<(String, String)>,
    pub(super) saga: Option<SagaId>,
}

impl Entry {
    /// A request that was still under way when the run was ended. When it had been launched is not known any more.
    pub(super) fn given_up(request: RequestId, at: Duration, trouble: &Trouble) -> Self {
        Self {
            request,
            intended: at,
            started: at,
            ended: at,
            outcome: Outcome::InDoubt,
            seen: Seen::InDoubt,
            trouble: Some((trouble.class.to_string(), trouble.message.clone())),
            saga: None,
        }
    }
}

enum Message {
    Entry(Entry),
    Last(Footer),
}

/// Writes a journal.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    sender: SyncSender<Message>,
    trouble: Arc<OnceLock<io::Error>>,
    thread: Option<JoinHandle<()>>,
}

/// A journal that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("writing the record {}", path.display())]
pub struct RecordError {
    /// Where.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

impl Recorder {
    /// Begins a journal at `path`; what was there is gone.
    ///
    /// # Errors
    ///
    /// When the file cannot be made, or its first line not be written.
    pub fn create(path: &Path, header: &Header, names: &Names) -> Result<Self, RecordError> {
        let failed = |source| RecordError { path: path.to_owned(), source };
        let mut file = File::create(path).map_err(failed)?;
        let mut first = serde_json::to_vec(header).expect("plain data is JSON");
        first.push(b'\n');
        file.write_all(&first).map_err(failed)?;
        Self::go_on(path, file, header, names).map_err(failed)
    }

    /// Writes what comes after the first line.
    fn go_on(path: &Path, file: File, header: &Header, names: &Names) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(MOST_WAITING);
        let trouble = Arc::new(OnceLock::new());
        let writer = Writer {
            file,
            names: names.clone(),
            workload: header.workload.clone(),
            began: header.time_started,
            trouble: Arc::clone(&trouble),
        };
        let thread = std::thread::Builder::new()
            .name("blast-record".to_owned())
            .spawn(move || writer.run(&receiver))?;
        Ok(Self { path: path.to_owned(), sender, trouble, thread: Some(thread) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Hands a request over.
    pub(super) fn record(&self, entry: Entry) {
        // The writer lives as long as the sender; if it panicked, `finish` tells.
        let _ = self.sender.send(Message::Entry(entry));
    }

    /// Whether it cannot be written any more.
    pub(super) fn has_failed(&self) -> bool {
        self.trouble.get().is_some()
    }

    /// Writes the last line and waits until everything is with the system.
    ///
    /// # Errors
    ///
    /// When a part of it could not be written.
    pub fn finish(mut self, footer: Footer) -> Result<(), RecordError> {
        let _ = self.sender.send(Message::Last(footer));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        match Arc::into_inner(self.trouble).and_then(OnceLock::into_inner) {
            None => Ok(()),
            Some(source) => Err(RecordError { path: self.path, source }),
        }
    }
}

struct Writer {
    file: File,
    names: Names,
    workload: Workload,
    began: Time,
    trouble: Arc<OnceLock<io::Error>>,
}

impl Writer {
    fn run(mut self, receiver: &Receiver<Message>) {
        let mut text = Vec::with_capacity(64 * 1024);
        while let Ok(message) = receiver.recv() {
            text.clear();
            let mut is_last = self.write(&mut text, message);
            while !is_last && let Ok(message) = receiver.try_recv() {
                is_last = self.write(&mut text, message);
            }
            // After the first failure the rest is only taken, so that nobody waits for it.
            if self.trouble.get().is_none()
                && let Err(error) = self.file.write_all(&text)
            {
                let _ = self.trouble.set(error);
            }
            if is_last {
                return;
            }
        }
    }

    /// Adds a message's line; true if it is the last.
    fn write(&self, text: &mut Vec<u8>, message: Message) -> bool {
        let is_last = matches!(message, Message::Last(_));
        let written = match message {
            Message::Entry(entry) => serde_json::to_writer(&mut *text, &self.line(entry)),
            Message::Last(footer) => serde_json::to_writer(&mut *text, &footer),
        };
        written.expect("plain data is JSON, and memory takes it");
        text.push(b'\n');
        is_last
    }

    fn line(&self, entry: Entry) -> Line {
        let Entry { request, intended, started, ended, outcome, seen, trouble, saga } = entry;
        let name = self.names.name(request);
        let at = |moment: Duration| {
            let since = chrono::TimeDelta::from_std(moment).unwrap_or(chrono::TimeDelta::MAX);
            to_stored(self.began.checked_add_signed(since).unwrap_or(Time::MAX_UTC))
        };
        let key = matches!(self.workload, Workload::ProjectCreate | Workload::ProjectCycle);
        let (answer, error) = match trouble {
            None => ("ok".to_owned(), None),
            Some((class, words)) => (class, Some(words)),
        };
        Line {
            key: key.then(|| name.clone()),
            name,
            time_intended: at(intended),
            time_started: at(started),
            time_ended: at(ended),
            outcome,
            seen,
            answer,
            error,
            saga_id: saga,
        }
    }
}

/// A journal that was read.
#[derive(Clone, Debug)]
pub struct Journal {
    /// Its first line.
    pub header: Header,
    /// How its names are made.
    pub names: Names,
    /// What was seen of each request that has a line.
    seen: BTreeMap<RequestId, Seen>,
    /// Sagas that requests made, where answers said so.
    pub sagas: BTreeMap<SagaId, Seen>,
    /// Requests with a line, by outcome; nothing is in flight.
    pub totals: Totals,
    /// Whether it has its last line.
    pub is_whole: bool,
}

/// Why a file is no journal that can be read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It cannot be read.
    #[error("reading {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It does not begin like one.
    #[error("{} is no record of a blast: its first line is not one that --record writes", path.display())]
    NoHeader {
        /// Which file.
        path: PathBuf,
    },
    /// A later program wrote it.
    #[error("{} is of version {version} and this program reads version {VERSION}", path.display())]
    Version {
        /// Which file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// Its names could not have been made.
    #[error("the names of {} keep no rules", path.display())]
    Names {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: NamesError,
    },
    /// A line in the middle makes no sense.
    #[error("line {number} of {} makes no sense", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        number: usize,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Lines are missing from the middle.
    #[error("{} has lines of {lines} requests, and its end says that {started} were started", path.display())]
    Holes {
        /// Which file.
        path: PathBuf,
        /// Requests by its last line.
        started: u64,
        /// Requests by the lines before it.
        lines: u64,
    },
    /// A line is about something that this run cannot have made, or that has a line already.
    #[error("line {number} of {} is of {name:?}, which {why}", path.display())]
    Stranger {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        number: usize,
        /// The name in it.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum AnyLine {
    Request(Box<Line>),
    Last(Footer),
}

impl Journal {
    /// Reads a journal. An unfinished last line, as a killed generator leaves it, is left out.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is none.
    pub fn read(path: &Path) -> Result<Self, JournalError> {
        let failed = |source| JournalError::Read { path: path.to_owned(), source };
        let mut reader = BufReader::new(File::open(path).map_err(failed)?);
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line).map_err(failed)?;
        let header: Header =
            serde_json::from_slice(&line).map_err(|_| match serde_json::from_slice::<Version>(&line) {
                Ok(Version { sagactl_blast: version }) if version != VERSION => {
                    JournalError::Version { path: path.to_owned(), version }
                }
                _ => JournalError::NoHeader { path: path.to_owned() },
            })?;
        if header.sagactl_blast != VERSION {
            return Err(JournalError::Version { path: path.to_owned(), version: header.sagactl_blast });
        }
        let names = Names::new(&header.prefix, &header.run_id)
            .map_err(|source| JournalError::Names { path: path.to_owned(), source })?;
        let mut journal = Self {
            header,
            names,
            seen: BTreeMap::new(),
            sagas: BTreeMap::new(),
            totals: Totals::default(),
            is_whole: false,
        };
        for number in 2.. {
            line.clear();
            reader.read_until(b'\n', &mut line).map_err(failed)?;
            if line.last() != Some(&b'\n') {
                // Nothing more, or a line that was cut in the middle.
                break;
            }
            match serde_json::from_slice(&line) {
                Ok(AnyLine::Request(line)) => journal.add(&line).map_err(|why| JournalError::Stranger {
                    path: path.to_owned(),
                    number,
                    name: line.name.clone(),
                    why,
                })?,
                Ok(AnyLine::Last(footer)) if footer.started == journal.totals.started => {
                    journal.is_whole = true;
                }
                Ok(AnyLine::Last(Footer { started, .. })) => {
                    let lines = journal.totals.started;
                    return Err(JournalError::Holes { path: path.to_owned(), started, lines });
                }
                Err(source) => return Err(JournalError::Line { path: path.to_owned(), number, source }),
            }
        }
        Ok(journal)
    }

    fn add(&mut self, line: &Line) -> Result<(), &'static str> {
        let request = self.names.request(&line.name).ok_or("is no name of this run")?;
        if self.seen.insert(request, line.seen).is_some() {
            return Err("has a line already");
        }
        if let Some(saga) = line.saga_id {
            self.sagas.insert(saga, line.seen);
        }
        self.totals.started += 1;
        *match line.outcome {
            Outcome::Done => &mut self.totals.done,
            Outcome::Failed => &mut self.totals.failed,
            Outcome::InDoubt => &mut self.totals.in_doubt,
        } += 1;
        Ok(())
    }

    /// Every request with what was seen of it, in order, and how many of them have no line: those that are on record
    /// behind a worker's last line of a torn journal.
    pub fn requests(&self, recorded: &[RequestId]) -> (BTreeMap<RequestId, Seen>, u64) {
        let mut requests = self.seen.clone();
        let mut without_line = 0;
        if !self.is_whole {
            for request in recorded {
                let worker = RequestId { number: 0, ..*request }..=RequestId { number: u32::MAX, ..*request };
                let last = self.seen.range(worker).next_back().map(|(last, _)| last.number);
                let is_behind = last.is_none_or(|last| request.number > last);
                if is_behind && request.worker < self.header.concurrency {
                    without_line += u64::from(requests.insert(*request, Seen::InDoubt).is_none());
                }
            }
        }
        (requests, without_line)
    }
}

#[derive(Deserialize)]
struct Version {
    sagactl_blast: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::time::now;
    use std::fs::OpenOptions;

    impl Recorder {
        /// One whose first line still had room.
        pub(in crate::blast) fn on_a_full_disk(names: &Names) -> Self {
            let full = OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
            Self::go_on(Path::new("/dev/full"), full, &header(), names).expect("a thread")
        }
    }

    fn names() -> Names {
        Names::new("dummy-", "r1").expect("good names")
    }

    fn header() -> Header {
        Header {
            sagactl_blast: VERSION,
            run_id: "r1".to_owned(),
            prefix: "dummy-".to_owned(),
            workload: Workload::ProjectCreate,
            url: "http://127.0.0.1:1".to_owned(),
            concurrency: 2,
            model: "closed loop, 2 in flight".to_owned(),
            time_started: now(),
        }
    }

    fn entry(worker: u32, number: u32, seen: Seen, trouble: Option<&str>) -> Entry {
        let outcome = match seen {
            Seen::Acknowledged | Seen::Deleted => Outcome::Done,
            Seen::InDoubt => Outcome::InDoubt,
            Seen::Gone | Seen::Failed | Seen::Unsent => Outcome::Failed,
        };
        Entry {
            request: RequestId { worker, number },
            intended: Duration::from_millis(1),
            started: Duration::from_millis(2),
            ended: Duration::from_millis(1500),
            outcome,
            seen,
            trouble: trouble.map(|words| ("cut".to_owned(), words.to_owned())),
            saga: None,
        }
    }

    /// Writes a journal of three requests; with or without its end.
    fn written(path: &Path, is_whole: bool) {
        let recorder = Recorder::create(path, &header(), &names()).expect("a journal");
        recorder.record(entry(0, 0, Seen::Acknowledged, None));
        recorder.record(entry(1, 0, Seen::InDoubt, Some("it\nbroke \"off\"")));
        recorder.record(entry(0, 1, Seen::Failed, Some("no")));
        let footer = Footer { ended: End::Count, started: 3, done: 1, failed: 1, in_doubt: 1 };
        recorder.finish(footer).expect("a temporary directory takes it");
        if !is_whole {
            let text = std::fs::read_to_string(path).expect("text");
            let torn = text.rsplit_once("{\"ended\"").expect("an end").0.to_owned() + "{\"name\":\"dumm";
            std::fs::write(path, torn).expect("written");
        }
    }

    #[test]
    fn what_was_written_is_read_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("journal");
        written(&path, true);
        let journal = Journal::read(&path).expect("a journal");
        assert!(journal.is_whole);
        let Totals { started, done, failed, in_doubt, in_flight } = journal.totals;
        assert_eq!((started, done, failed, in_doubt, in_flight), (3, 1, 1, 1, 0));
        let (requests, without_line) = journal.requests(&[RequestId { worker: 0, number: 7 }]);
        assert_eq!(without_line, 0, "a whole journal has a line for everything");
        let seen: Vec<_> = requests.into_iter().map(|(id, seen)| (id.worker, id.number, seen)).collect();
        assert_eq!(seen, [(0, 0, Seen::Acknowledged), (0, 1, Seen::Failed), (1, 0, Seen::InDoubt)]);

        let text = std::fs::read_to_string(&path).expect("text");
        assert_eq!(text.lines().count(), 5, "an error of two lines is one line here: {text}");
        let second: serde_json::Value =
            serde_json::from_str(text.lines().nth(1).expect("a line")).expect("JSON");
        assert_eq!((&second["key"], &second["answer"]), (&"dummy-r1-0-0".into(), &"ok".into()));
        let at = |name: &str| second[name].as_str().expect("a time").parse::<Time>().expect("a time");
        assert_eq!((at("time_ended") - at("time_intended")).num_milliseconds(), 1499);
    }

    #[test]
    fn a_torn_journal_has_what_was_under_way_in_doubt() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("journal");
        written(&path, false);
        let journal = Journal::read(&path).expect("a torn journal is one all the same");
        assert!(!journal.is_whole);
        let id = |worker, number| RequestId { worker, number };
        let (requests, without_line) = journal.requests(&[id(0, 0), id(0, 2), id(1, 5), id(2, 0)]);
        assert_eq!(without_line, 2, "of worker 2 there was none");
        assert_eq!(requests.get(&id(0, 2)), Some(&Seen::InDoubt));
        assert_eq!(requests.get(&id(1, 5)), Some(&Seen::InDoubt));
        assert_eq!(requests.get(&id(2, 0)), None);
        assert_eq!(requests.get(&id(0, 0)), Some(&Seen::Acknowledged));
    }

    #[test]
    fn what_is_no_journal_is_refused_with_the_line() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("journal");
        let refused = |text: &str| {
            std::fs::write(&path, text).expect("written");
            Journal::read(&path).expect_err("refused").to_string()
        };
        assert!(refused("").contains("is no record of a blast"));
        assert!(refused("{\"run_id\":1}\n").contains("is no record of a blast"));
        assert!(refused("{\"sagactl_blast\":2,\"later\":true}\n").contains("is of version 2"));
        written(&path, true);
        let good = std::fs::read_to_string(&path).expect("text");
        let first = good.lines().nth(1).expect("a line");
        assert!(refused(&good.replace(&format!("{first}\n"), "")).contains("has lines of 2 requests"));
        assert!(refused(&format!("{good}what\n")).starts_with("line 6 of "));
        assert!(refused(&format!("{good}{first}\n")).contains("\"dummy-r1-0-0\", which has a line already"));
        let other = first.replace("dummy-r1-0-0", "dummy-r2-0-0");
        assert!(refused(&format!("{good}{other}\n")).contains("which is no name of this run"));
        assert!(matches!(Journal::read(&dir.path().join("none")), Err(JournalError::Read { .. })));
    }

    #[test]
    fn a_full_disk_is_noticed_and_told() {
        let recorder = Recorder::on_a_full_disk(&names());
        for number in 0..20 {
            recorder.record(entry(0, number, Seen::Acknowledged, None));
        }
        let footer = Footer { ended: End::Record, started: 20, done: 20, failed: 0, in_doubt: 0 };
        let error = recorder.finish(footer).expect_err("the disk is full");
        assert_eq!(error.source.kind(), io::ErrorKind::StorageFull);
        assert!(Recorder::create(Path::new("/dev/full"), &header(), &names()).is_err());
    }
}

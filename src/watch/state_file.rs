//! What a watcher told so far, through kills: see the steps in [the module above](super).
//!
//! The file's first line is JSON: the memory and the events that follow from the last look. Each line after it is the number
//! of an event of these that was told. A line that a kill cut short counts for nothing.

use super::event::Event;
use super::memory::Memory;
use crate::files::write_whole;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest wait for another watch to let go of the file.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// Time between two attempts to lock the file.
const LOCK_POLL: Duration = Duration::from_millis(10);

/// Format of the file.
const VERSION: u32 = 1;

/// Why a state file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateFileError {
    /// Another watcher uses it.
    #[error("state file {} is in use by another watch", .0.display())]
    InUse(PathBuf),
    /// It holds something else.
    #[error("{} is no state file of watch: {reason}", path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It cannot be read or written.
    #[error("{doing} state file {}", path.display())]
    Io {
        /// `locking`, `reading`, `writing`.
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Memory, and what of it has not been told. The whole of the logic; the file around it only keeps it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    version: u32,
    /// What follows once all `events` are told.
    pub memory: Memory,
    /// Events of the last look that had some.
    events: Vec<Event>,
    /// How many of them were told.
    #[serde(skip)]
    told: usize,
}

impl Ledger {
    /// Before the first look.
    pub fn new() -> Self {
        Self { version: VERSION, ..Self::default() }
    }

    /// The next event to be told.
    pub fn next(&self) -> Option<&Event> {
        self.events.get(self.told)
    }

    /// Takes up what a look brought. Everything before it must have been told.
    pub fn begin(&mut self, memory: Memory, events: Vec<Event>) {
        debug_assert!(self.next().is_none(), "events are told before there are new ones");
        *self = Self { version: VERSION, memory, events, told: 0 };
    }

    /// The same without what was told: marks may end in half a line, after which no other would be understood.
    pub fn resumed(self) -> Self {
        Self { events: self.events.into_iter().skip(self.told).collect(), told: 0, ..self }
    }

    /// The first line of the file.
    pub fn snapshot(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("ids, times and text are JSON");
        line.push(b'\n');
        line
    }

    /// Marks the next event as told and answers the line that says so.
    pub fn mark(&mut self) -> Vec<u8> {
        let seq = self.events[self.told].seq;
        self.told += 1;
        format!("{seq}\n").into_bytes()
    }

    /// Reads a file back.
    ///
    /// # Errors
    ///
    /// In words, if it is something else.
    pub fn read(content: &[u8]) -> Result<Self, String> {
        let mut lines = content.split_inclusive(|byte| *byte == b'\n');
        let first = lines.next().unwrap_or_default();
        let mut ledger: Self = serde_json::from_slice(first).map_err(|error| error.to_string())?;
        if ledger.version != VERSION {
            return Err(format!("it has format {}, and this version reads {VERSION}", ledger.version));
        }
        for line in lines {
            let Some(expected) = ledger.next().map(|event| format!("{}\n", event.seq)) else { break };
            if line != expected.as_bytes() {
                break;
            }
            ledger.told += 1;
        }
        Ok(ledger)
    }
}

/// A ledger and, if wished, the file that keeps it.
#[derive(Debug)]
pub struct Record {
    /// What was told.
    pub ledger: Ledger,
    file: Option<Kept>,
}

#[derive(Debug)]
struct Kept {
    path: PathBuf,
    /// Where marks are appended; opened anew after each snapshot, which is another file.
    marks: Option<File>,
    _lock: File,
}

impl Record {
    /// A record that ends with the process.
    pub fn in_memory() -> Self {
        Self { ledger: Ledger::new(), file: None }
    }

    /// A record in a file, which need not be there yet.
    ///
    /// # Errors
    ///
    /// Any [`StateFileError`].
    pub fn open(path: &Path) -> Result<Self, StateFileError> {
        // The file itself is replaced all the time, so the lock is on another one beside it.
        let mut lock_path = path.as_os_str().to_owned();
        lock_path.push(".lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(lock_path);
        let lock = lock.map_err(failed("locking", path))?;
        lock_soon(&lock, path)?;
        let ledger = match std::fs::read(path) {
            Ok(content) => Ledger::read(&content)
                .map_err(|reason| StateFileError::Foreign { path: path.to_owned(), reason })?,
            Err(error) if error.kind() == ErrorKind::NotFound => Ledger::new(),
            Err(error) => return Err(failed("reading", path)(error)),
        };
        let has_to_go_on = ledger.next().is_some();
        let file = Kept { path: path.to_owned(), marks: None, _lock: lock };
        let mut record = Self { ledger: ledger.resumed(), file: Some(file) };
        if has_to_go_on {
            record.save()?;
        }
        Ok(record)
    }

    /// Takes up what a look brought, and has it on disk before anything is told.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn begin(&mut self, memory: Memory, events: Vec<Event>) -> Result<(), StateFileError> {
        if events.is_empty() && self.ledger.next().is_none() && memory == self.ledger.memory {
            return Ok(());
        }
        self.ledger.begin(memory, events);
        self.save()
    }

    fn save(&mut self) -> Result<(), StateFileError> {
        if let Some(Kept { path, marks, .. }) = &mut self.file {
            write_whole(path, &self.ledger.snapshot()).map_err(failed("writing", path))?;
            let file = OpenOptions::new().append(true).open(&*path).map_err(failed("writing", path))?;
            *marks = Some(file);
        }
        Ok(())
    }

    /// The next event was told.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn mark(&mut self) -> Result<(), StateFileError> {
        let line = self.ledger.mark();
        if let Some(Kept { path, marks: Some(marks), .. }) = &mut self.file {
            marks.write_all(&line).and_then(|()| marks.sync_data()).map_err(failed("writing", path))?;
        }
        Ok(())
    }
}

/// Takes the lock, if need be after a moment: a watch that was killed while it started a hook left a process that holds all its
/// files until it has become the hook.
fn lock_soon(lock: &File, path: &Path) -> Result<(), StateFileError> {
    let began = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if began.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(LOCK_POLL);
            }
            Err(TryLockError::WouldBlock) => return Err(StateFileError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed("locking", path)(error)),
        }
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateFileError {
    let path = path.to_owned();
    move |source| StateFileError::Io { doing, path, source }
}

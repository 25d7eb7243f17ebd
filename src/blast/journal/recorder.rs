//! Writes a journal, on a thread of its own.

use super::{Footer, Header, Line};
use crate::blast::answer::{Outcome, Trouble};
use crate::blast::names::{Names, RequestId};
use crate::blast::workload::Workload;
use crate::reconcile::Seen;
use crate::wire::ids::SagaId;
use crate::wire::time::{Time, to_stored};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

/// Requests that may wait to be written before the load waits for the disk.
const MOST_WAITING: usize = 16 * 1024;

/// A request that is over, on its way to its line.
#[derive(Clone, Debug)]
pub(in crate::blast) struct Entry {
    pub(in crate::blast) request: RequestId,
    pub(in crate::blast) intended: Duration,
    pub(in crate::blast) started: Duration,
    pub(in crate::blast) ended: Duration,
    pub(in crate::blast) outcome: Outcome,
    pub(in crate::blast) seen: Seen,
    /// Class and words of the trouble, if there was one.
    pub(in crate::blast) trouble: Option<(String, String)>,
    pub(in crate::blast) saga: Option<SagaId>,
}

impl Entry {
    /// A request that was still under way when the run was ended. When it had been launched is not known any more.
    pub(in crate::blast) fn given_up(request: RequestId, at: Duration, trouble: &Trouble) -> Self {
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
    pub(super) fn go_on(path: &Path, file: File, header: &Header, names: &Names) -> io::Result<Self> {
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
    pub(in crate::blast) fn record(&self, entry: Entry) {
        // The writer lives as long as the sender; if it panicked, `finish` tells.
        let _ = self.sender.send(Message::Entry(entry));
    }

    /// Whether it cannot be written any more.
    pub(in crate::blast) fn has_failed(&self) -> bool {
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

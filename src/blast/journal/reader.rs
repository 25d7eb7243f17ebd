//! Reads a journal again, whole or torn.

use super::{Footer, Header, Line, VERSION};
use crate::blast::answer::Outcome;
use crate::blast::ledger::Totals;
use crate::blast::names::{Names, NamesError, RequestId};
use crate::reconcile::Seen;
use crate::wire::ids::SagaId;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

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
        let file = File::open(path).map_err(|source| JournalError::Read { path: path.to_owned(), source })?;
        Self::read_from(BufReader::new(file), path)
    }

    /// Reads what is in the file at `path`.
    pub(super) fn read_from(mut reader: impl BufRead, path: &Path) -> Result<Self, JournalError> {
        let failed = |source| JournalError::Read { path: path.to_owned(), source };
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

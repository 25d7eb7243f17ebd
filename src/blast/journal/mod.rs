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

mod reader;
mod recorder;
#[cfg(test)]
mod tests;

pub use reader::{Journal, JournalError};
pub(super) use recorder::Entry;
pub use recorder::{RecordError, Recorder};

use super::Config;
use super::answer::Outcome;
use super::schedule::End;
use super::workload::Workload;
use crate::reconcile::Seen;
use crate::wire::ids::SagaId;
use crate::wire::time::Time;
use serde::{Deserialize, Serialize};

/// Version of the format.
const VERSION: u32 = 1;

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

//! Keeps what was found: when each problem was seen first and last, and when it was gone.
//!
//! A problem that is over is still worth knowing: recovery may have mended it, and whoever comes in the morning wants to
//! know that it was there. [`History::update`] is pure; the file is written whole or not at all.

use super::invariant::Invariant;
use super::{Problem, Report, Verdict};
use crate::wire::ids::{SagaId, SecId};
use crate::wire::time::Time;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Problems that are over and are kept; the oldest of more are forgotten.
const MOST_ENDED: usize = 1_000;

/// Version of the file.
const VERSION: u32 = 1;

/// What was ever found, as far as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Version of the file.
    version: u32,
    /// Problems, in the order in which they began.
    pub problems: Vec<Past>,
}

/// A problem with its times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Past {
    /// The invariant.
    pub id: String,
    /// The saga that it is about.
    pub saga_id: Option<SagaId>,
    /// The SEC that it is about.
    pub sec_id: Option<SecId>,
    /// What tells it apart from others of the same saga or SEC.
    kind: String,
    /// What it is, as it was told last.
    pub text: String,
    /// When it was found first.
    pub began: Time,
    /// When it was found last.
    pub last_seen: Time,
    /// When it was found to be gone; absent while it lasts.
    pub ended: Option<Time>,
}

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// It cannot be read or written.
    #[error("{}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// It is something else.
    #[error("{} is no history of problems", path.display())]
    NotAHistory {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        error: serde_json::Error,
    },
    /// A newer version of this program wrote it.
    #[error("{} is of version {version}, and this program knows version {VERSION}", path.display())]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
}

impl Default for History {
    fn default() -> Self {
        Self { version: VERSION, problems: Vec::new() }
    }
}

impl History {
    /// Reads a file; one that is not there is an empty history.
    ///
    /// # Errors
    ///
    /// If it cannot be read or is something else.
    pub fn load(path: &Path) -> Result<Self, HistoryError> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(HistoryError::File { path: path.to_owned(), error }),
        };
        let history: Self = serde_json::from_slice(&text)
            .map_err(|error| HistoryError::NotAHistory { path: path.to_owned(), error })?;
        match history.version {
            VERSION => Ok(history),
            version => Err(HistoryError::Newer { path: path.to_owned(), version }),
        }
    }

    /// Writes a file: beside it first, and then in its place, so that a crash leaves the old one or the new one.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), HistoryError> {
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let write = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(directory)?;
            serde_json::to_writer_pretty(&mut file, self)?;
            file.write_all(b"\n")?;
            file.as_file().sync_all()?;
            file.persist(path)?;
            fs::File::open(directory)?.sync_all()
        };
        write().map_err(|error| HistoryError::File { path: path.to_owned(), error })
    }

    /// Sagas of problems that last, so that they are looked at again.
    pub fn open_sagas(&self) -> Vec<SagaId> {
        let mut sagas: Vec<SagaId> = self
            .problems
            .iter()
            .filter(|past| past.ended.is_none())
            .filter_map(|past| past.saga_id)
            .collect();
        sagas.sort();
        sagas.dedup();
        sagas
    }

    /// Folds a report in. A problem is over when its invariant was judged without it; of a report on some sagas only, that
    /// says something of these sagas alone.
    pub fn update(&mut self, report: &Report, only_sagas: &[SagaId]) {
        for judged in &report.invariants {
            if judged.verdict == Verdict::Na {
                continue;
            }
            for problem in &judged.evidence {
                self.see(judged.id, problem, report.time);
            }
            // What was not listed for want of room may well be there still.
            if judged.more > 0 {
                continue;
            }
            let is_looked_at = |past: &Past| {
                only_sagas.is_empty() || past.saga_id.is_some_and(|saga| only_sagas.contains(&saga))
            };
            for past in &mut self.problems {
                let is_of_it = past.id == judged.id.as_str() && past.ended.is_none() && is_looked_at(past);
                if is_of_it && past.last_seen != report.time {
                    past.ended = Some(report.time);
                }
            }
        }
        let ended = self.problems.iter().filter(|past| past.ended.is_some()).count();
        let mut to_forget = ended.saturating_sub(MOST_ENDED);
        self.problems.retain(|past| {
            let is_forgotten = past.ended.is_some() && to_forget > 0;
            to_forget -= usize::from(is_forgotten);
            !is_forgotten
        });
    }

    fn see(&mut self, id: Invariant, problem: &Problem, now: Time) {
        let Problem { saga_id, sec_id, kind, text, next: _ } = problem;
        let known = self.problems.iter_mut().find(|past| {
            past.ended.is_none()
                && past.id == id.as_str()
                && (past.saga_id, past.sec_id, past.kind.as_str()) == (*saga_id, *sec_id, *kind)
        });
        match known {
            Some(past) => {
                past.last_seen = now;
                past.text.clone_from(text);
            }
            None => self.problems.push(Past {
                id: id.as_str().to_owned(),
                saga_id: *saga_id,
                sec_id: *sec_id,
                kind: (*kind).to_owned(),
                text: text.clone(),
                began: now,
                last_seen: now,
                ended: None,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tally::{Finding, Tallies};
    use crate::check::{LookedAt, Report};
    use uuid::Uuid;

    fn at(secs: i64) -> Time {
        Time::from_timestamp(1_700_000_000 + secs, 0).expect("a time")
    }

    fn saga(number: u128) -> SagaId {
        SagaId::from_uuid(Uuid::from_u128(number))
    }

    fn report(secs: i64, findings: &[Finding]) -> Report {
        let mut tallies = Tallies::new(&[Invariant::I8]);
        for finding in findings {
            tallies.add(Invariant::I8, finding.clone());
        }
        Report::new(at(secs), tallies.judged(), LookedAt::default())
    }

    fn stuck(number: u128) -> Finding {
        Finding::Broken(Problem::of_saga(saga(number), "stuck", "look"))
    }

    fn times(history: &History) -> Vec<(i64, i64, Option<i64>)> {
        let secs = |time: Time| time.timestamp() - 1_700_000_000;
        history
            .problems
            .iter()
            .map(|past| (secs(past.began), secs(past.last_seen), past.ended.map(secs)))
            .collect()
    }

    #[test]
    fn a_problem_has_a_beginning_and_an_end_and_may_come_again() {
        let mut history = History::default();
        history.update(&report(1, &[stuck(1)]), &[]);
        history.update(&report(2, &[stuck(1), stuck(2)]), &[]);
        assert_eq!(history.open_sagas(), [saga(1), saga(2)]);
        history.update(&report(3, &[Finding::CannotTell("no database".to_owned())]), &[]);
        assert_eq!(times(&history), [(1, 2, None), (2, 2, None)], "nobody has looked");
        history.update(&report(4, &[Finding::Holds]), &[saga(2)]);
        assert_eq!(times(&history), [(1, 2, None), (2, 2, Some(4))], "only one was looked at");
        history.update(&report(5, &[Finding::Holds]), &[]);
        history.update(&report(6, &[stuck(1)]), &[]);
        assert_eq!(times(&history), [(1, 2, Some(5)), (2, 2, Some(4)), (6, 6, None)]);
    }

    #[test]
    fn what_is_over_is_forgotten_in_the_end() {
        let mut history = History::default();
        for number in 0..=MOST_ENDED as u128 {
            history.update(&report(number as i64, &[stuck(number)]), &[]);
        }
        history.update(&report(5_000, &[stuck(9_999)]), &[]);
        assert_eq!(history.problems.len(), MOST_ENDED + 1);
        assert_eq!(history.problems[0].saga_id, Some(saga(1)));
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("history.json");
        assert_eq!(History::load(&path).expect("nothing yet"), History::default());
        let mut history = History::default();
        history.update(&report(1, &[stuck(1)]), &[]);
        history.save(&path).expect("written");
        assert_eq!(History::load(&path).expect("read"), history);
        fs::write(&path, "{}").expect("written");
        assert!(matches!(History::load(&path), Err(HistoryError::NotAHistory { .. })));
        fs::write(&path, r#"{"version": 2, "problems": []}"#).expect("written");
        assert!(matches!(History::load(&path), Err(HistoryError::Newer { version: 2, .. })));
    }
}

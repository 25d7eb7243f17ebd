//! The log for an HTTP server, without the lines that strangers could fill a disk with.

use slog::{Drain, Logger, Never, OwnedKVList, Record};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// It has this line for each request that is not let in, and calls it a failure to find the version of the API.
const NOT_LET_IN: &str = "failed to determine request API version";

/// It has this line ten times a second as long as there are no descriptors left for connections.
const NOT_ACCEPTED: &str = "accept error";

/// Time between two of the latter that are told.
const PERIOD: Duration = Duration::from_secs(10);

/// The server's log, over the coordinator's.
pub(super) fn over(log: &Logger) -> Logger {
    Logger::root(ServerLog { log: log.clone(), told: Mutex::new(None) }.ignore_res(), slog::o!())
}

struct ServerLog {
    log: Logger,
    /// When it was last told that nobody is accepted.
    told: Mutex<Option<Instant>>,
}

impl ServerLog {
    fn is_due(&self, now: Instant) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = told.is_none_or(|told| now.duration_since(told) >= PERIOD);
        if is_due {
            *told = Some(now);
        }
        is_due
    }
}

impl Drain for ServerLog {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        match record.msg().as_str() {
            Some(NOT_LET_IN) => return Ok(()),
            Some(NOT_ACCEPTED) if !self.is_due(Instant::now()) => return Ok(()),
            Some(NOT_ACCEPTED) => slog::warn!(
                self.log,
                "no new connections are taken until others have ended; sagas go on. This is said once in 10s"
            ),
            _ => {}
        }
        Drain::log(&self.log, record, values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_trouble_is_told_now_and_then() {
        let log = ServerLog { log: Logger::root(slog::Discard, slog::o!()), told: Mutex::new(None) };
        let began = Instant::now();
        let after = |seconds: u64| began + Duration::from_secs(seconds);
        let told = [0, 1, 9, 10, 11, 20, 50].map(|seconds| log.is_due(after(seconds)));
        assert_eq!(told, [true, false, false, true, false, true, true]);
    }
}

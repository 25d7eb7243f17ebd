//! File descriptors: how many connections may take, and how many are kept back from them.
//!
//! The HTTP server accepts whoever comes, and a connection on which nothing is said costs a descriptor for as long as the other
//! side likes. The limit for those is the process's soft limit, at which the server waits until others have gone. What a
//! coordinator cannot do without must not wait with it: a new session on the database, a heartbeat file that somebody has
//! removed. So the soft limit stays below the hard one, and is raised for the moment in which such a thing is opened. The
//! moment is a call to the system and not longer, or the connections that wait would take what was kept back.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};

/// Descriptors that connections do not get.
const KEPT_BACK: u64 = 64;

/// Most descriptors that they do get, however many the process may have: ten thousand clients, which is the most that one
/// `blast` makes, and some more. Each costs memory as well.
const MOST: u64 = 16_384;

/// Fewer than this are not worth dividing.
const FEWEST: u64 = 4 * KEPT_BACK;

static RESERVE: Mutex<Option<Reserve>> = Mutex::new(None);

/// How the limit is divided, and how many just now need more than connections get.
struct Reserve {
    division: Division,
    users: u32,
}

/// Two soft limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Division {
    usual: u64,
    raised: u64,
    hard: Option<u64>,
}

/// Keeps some descriptors back from connections, in the whole process and for good. How many others there are; `None` if
/// the process may have too few for that.
pub fn keep_reserve() -> Option<u64> {
    let mut reserve = RESERVE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(reserve) = &*reserve {
        return Some(reserve.division.usual);
    }
    let division = divide(getrlimit(Resource::Nofile))?;
    division.set(division.usual);
    *reserve = Some(Reserve { division, users: 0 });
    Some(division.usual)
}

/// Opens something for which descriptors are kept back.
pub fn from_reserve<T>(open: impl FnOnce() -> T) -> T {
    let _raised = Raised::new();
    open()
}

/// The same for what is opened piece by piece: wherever it goes on, it may take from what is kept back.
pub async fn from_reserve_throughout<F: Future>(opening: F) -> F::Output {
    let mut opening = pin!(opening);
    poll_fn(|cx| from_reserve(|| opening.as_mut().poll(cx))).await
}

fn divide(limit: Rlimit) -> Option<Division> {
    // No limit is told by its absence.
    let hard = limit.maximum.unwrap_or(u64::MAX);
    if hard < FEWEST {
        return None;
    }
    let soft = limit.current.unwrap_or(u64::MAX);
    let usual = soft.min(MOST).min(hard - KEPT_BACK);
    Some(Division { usual, raised: usual + KEPT_BACK, hard: limit.maximum })
}

impl Division {
    fn set(self, soft: u64) {
        // Below the hard limit nobody is refused.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(soft), maximum: self.hard });
    }
}

/// As long as it lives, everything may be taken.
struct Raised;

impl Raised {
    fn new() -> Self {
        Self::change(|users| users + 1);
        Self
    }

    fn change(count: impl FnOnce(u32) -> u32) {
        let mut reserve = RESERVE.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Reserve { division, users }) = &mut *reserve else { return };
        let before = *users;
        *users = count(before);
        match (before, *users) {
            (0, 1..) => division.set(division.raised),
            (1.., 0) => division.set(division.usual),
            _ => {}
        }
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        // Whoever came before the reserve was kept has not been counted.
        Self::change(|users| users.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn divided(soft: Option<u64>, hard: Option<u64>) -> Option<(u64, u64)> {
        let division = divide(Rlimit { current: soft, maximum: hard })?;
        Some((division.usual, division.raised))
    }

    #[test]
    fn connections_get_what_the_operator_allows_and_never_all_of_it() {
        for (soft, hard, expected) in [
            (Some(1024), Some(524_288), Some((1024, 1088))),
            (Some(2048), Some(2048), Some((1984, 2048))),
            (Some(256), Some(256), Some((192, 256))),
            (Some(255), Some(255), None),
            (Some(1_048_576), Some(1_048_576), Some((16_384, 16_448))),
            (None, None, Some((16_384, 16_448))),
            (Some(64), None, Some((64, 128))),
        ] {
            assert_eq!(divided(soft, hard), expected, "{soft:?} of {hard:?}");
        }
    }
}

//! Slows down those who guess passwords. Pure but for the clock that callers read.
//!
//! Per user, not per address: guesses come from many addresses, and behind a proxy everybody has the same. A few wrong
//! passwords are free, further ones have to wait; the right one wipes the slate. Somebody who guesses can so keep a user
//! from logging in for a short while, but no session that is open is touched.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Wrong passwords that cost nothing.
const FREE: u32 = 5;

/// Wait after the first wrong password that is not free; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// Longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// After so long without a wrong password all is forgotten.
const MEMORY: Duration = Duration::from_secs(15 * 60);

/// Users that are remembered at the same time; whoever makes up more names cannot fill the memory.
const MOST_USERS: usize = 10_000;

/// Wrong passwords of late.
#[derive(Debug, Default)]
pub struct Attempts {
    wrong: HashMap<String, Wrong>,
}

#[derive(Clone, Copy, Debug)]
struct Wrong {
    count: u32,
    last: Instant,
}

impl Wrong {
    fn wait(&self) -> Duration {
        let Some(beyond) = self.count.checked_sub(FREE) else { return Duration::ZERO };
        FIRST_WAIT.saturating_mul(2u32.saturating_pow(beyond)).min(LONGEST_WAIT)
    }
}

impl Attempts {
    /// Takes note that a password of `user`'s is going to be looked at; it counts as wrong until [`Attempts::forget`], so
    /// that many guesses at the same time do not pass as one.
    ///
    /// # Errors
    ///
    /// How long to wait before the next one is looked at.
    pub fn begin(&mut self, user: &str, now: Instant) -> Result<(), Duration> {
        self.make_room(user, now);
        let wrong = self.wrong.entry(user.to_owned()).or_insert(Wrong { count: 0, last: now });
        if now.saturating_duration_since(wrong.last) >= MEMORY {
            wrong.count = 0;
        }
        let left = (wrong.last + wrong.wait()).saturating_duration_since(now);
        if !left.is_zero() {
            return Err(left);
        }
        *wrong = Wrong { count: wrong.count.saturating_add(1), last: now };
        Ok(())
    }

    /// The password was right.
    pub fn forget(&mut self, user: &str) {
        self.wrong.remove(user);
    }

    fn make_room(&mut self, user: &str, now: Instant) {
        if self.wrong.len() < MOST_USERS || self.wrong.contains_key(user) {
            return;
        }
        self.wrong.retain(|_, wrong| now.saturating_duration_since(wrong.last) < MEMORY);
        if self.wrong.len() < MOST_USERS {
            return;
        }
        // Those who wait least have guessed least.
        let gentlest = self.wrong.iter().min_by_key(|(_, wrong)| (wrong.count, wrong.last));
        if let Some(name) = gentlest.map(|(name, _)| name.clone()) {
            self.wrong.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_free_then_it_gets_slower_and_the_right_one_ends_it() {
        let mut attempts = Attempts::default();
        let start = Instant::now();
        for _ in 0..FREE {
            assert_eq!(attempts.begin("main/alice", start), Ok(()));
        }
        assert_eq!(attempts.begin("main/alice", start), Err(FIRST_WAIT));
        assert_eq!(attempts.begin("main/bob", start), Ok(()), "others do not wait");
        let later = start + FIRST_WAIT;
        assert_eq!(attempts.begin("main/alice", later), Ok(()));
        assert_eq!(attempts.begin("main/alice", later), Err(FIRST_WAIT * 2));
        attempts.forget("main/alice");
        assert_eq!(attempts.begin("main/alice", later), Ok(()));
    }

    #[test]
    fn guessing_for_a_day_gets_few_guesses_and_is_forgotten_in_the_end() {
        let mut attempts = Attempts::default();
        let start = Instant::now();
        let tries = (0..24 * 60 * 60)
            .filter(|second| attempts.begin("main/alice", start + Duration::from_secs(*second)).is_ok());
        assert!(tries.count() < 24 * 60 + 20);
        let next_day = start + Duration::from_secs(24 * 60 * 60) + MEMORY;
        for _ in 0..FREE {
            assert_eq!(attempts.begin("main/alice", next_day), Ok(()));
        }
    }

    #[test]
    fn made_up_names_do_not_fill_the_memory() {
        let mut attempts = Attempts::default();
        let start = Instant::now();
        for _ in 0..=FREE {
            let _ = attempts.begin("main/alice", start);
        }
        for name in 0..MOST_USERS + 50 {
            assert_eq!(attempts.begin(&format!("main/{name}"), start), Ok(()));
        }
        assert!(attempts.wrong.len() <= MOST_USERS);
        assert!(attempts.begin("main/alice", start).is_err(), "who has guessed is remembered");
    }
}

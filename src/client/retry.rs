//! Whether and when to try again: plain decisions, no clock and no socket.
//!
//! Waiting times double and are spread at random, so that many tools that lost the same coordinator do not come back in
//! step. How often something is tried depends on what went wrong: a port that refuses is most likely to refuse in a
//! moment too, and an operator who mistyped a port should not wait to be told.

use super::operations::{Operation, RetryClass};
use std::time::Duration;

/// What kept a request from succeeding, as far as trying again is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The port refused the connection: nothing was sent.
    Refused,
    /// No connection for another reason (name, route, time): nothing was sent.
    NotConnected,
    /// The connection went away before the answer was complete: nobody knows whether the request arrived.
    Lost,
    /// The server said that it cannot just now (429, 502, 503, 504).
    Unavailable,
}

/// How much is tried again: what `--retry` and `--no-retry` say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetryScope {
    /// Nothing at all.
    Nothing,
    /// Operations that change nothing.
    Reads,
    /// Whatever is the same done twice, and what provably never left.
    #[default]
    Idempotent,
    /// Also what may then have been done twice. What is never repeated is not repeated by this either.
    All,
}

impl RetryScope {
    /// Whether an operation may be made again after this trouble.
    pub fn allows(self, operation: Operation, trouble: Trouble) -> bool {
        self.allows_class(operation.is_read(), operation.retry_class(), trouble.is_unsent())
    }

    /// The same for operations that are not HTTP.
    pub fn allows_class(self, is_read: bool, class: RetryClass, is_unsent: bool) -> bool {
        let by_class = match class {
            RetryClass::Safe => true,
            RetryClass::UnsentOnly => is_unsent || self == Self::All,
            RetryClass::Never => false,
        };
        match self {
            Self::Nothing => false,
            Self::Reads => is_read && by_class,
            Self::Idempotent | Self::All => by_class,
        }
    }
}

/// First waiting time, on average.
const FIRST_DELAY: Duration = Duration::from_millis(40);
/// Longest waiting time, on average.
const LONGEST_DELAY: Duration = Duration::from_secs(2);

impl Trouble {
    /// Whether the request provably never reached the server.
    pub const fn is_unsent(self) -> bool {
        matches!(self, Self::Refused | Self::NotConnected)
    }

    /// How many requests are made in all before giving up, however much time is left.
    const fn most_attempts(self) -> u32 {
        match self {
            // 40 + 80 ms on average: long enough for a listener that is just being replaced.
            Self::Refused => 3,
            Self::NotConnected => 2,
            // About a second and a half: a restart of the coordinator, or a moment without a database connection.
            Self::Lost | Self::Unavailable => 6,
        }
    }
}

/// How long to wait before the next attempt; `None` to give up. `attempts` counts those made, from 1, and `random` is from
/// 0 up to 1.
pub fn delay_before_next(
    scope: RetryScope,
    operation: Operation,
    trouble: Trouble,
    attempts: u32,
    random: f64,
) -> Option<Duration> {
    if !scope.allows(operation, trouble) || attempts >= trouble.most_attempts() {
        return None;
    }
    let average = FIRST_DELAY.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(LONGEST_DELAY);
    Some(average.mul_f64(0.5 + random.clamp(0.0, 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TROUBLES: [Trouble; 4] =
        [Trouble::Refused, Trouble::NotConnected, Trouble::Lost, Trouble::Unavailable];

    #[test]
    fn class_and_scope_decide_whether_anything_is_tried_again() {
        use Operation::{CompleteDemoSaga, FetchTask, PrepareDrilledSaga, StartQuiesce};
        use RetryScope::{All, Idempotent, Nothing, Reads};
        for trouble in TROUBLES {
            let again = |scope, operation| delay_before_next(scope, operation, trouble, 1, 0.5).is_some();
            let unsent = trouble.is_unsent();
            for (scope, expected) in [
                // A read, a change that may be repeated, one that may not, and one that must not.
                (Nothing, [false, false, false, false]),
                (Reads, [true, false, false, false]),
                (Idempotent, [true, true, unsent, false]),
                (All, [true, true, true, false]),
            ] {
                let operations = [FetchTask, StartQuiesce, CompleteDemoSaga, PrepareDrilledSaga];
                assert_eq!(
                    operations.map(|operation| again(scope, operation)),
                    expected,
                    "{scope:?} {trouble:?}"
                );
            }
        }
    }

    #[test]
    fn a_wider_scope_allows_no_less() {
        for operation in Operation::ALL.iter().copied() {
            for trouble in TROUBLES {
                let scopes =
                    [RetryScope::Nothing, RetryScope::Reads, RetryScope::Idempotent, RetryScope::All];
                let allowed = scopes.map(|scope| scope.allows(operation, trouble));
                assert!(allowed.is_sorted(), "{operation:?} {trouble:?} {allowed:?}");
            }
        }
    }

    #[test]
    fn waiting_doubles_within_its_spread_and_ends() {
        let delay = |trouble, attempts, random| {
            delay_before_next(RetryScope::Idempotent, Operation::FetchTask, trouble, attempts, random)
        };
        for trouble in TROUBLES {
            let (mut attempts, mut longest) = (1, Duration::ZERO);
            while let Some(most) = delay(trouble, attempts, 1.0) {
                let least = delay(trouble, attempts, 0.0).expect("chance decides how long, not whether");
                assert_eq!(least * 3, most);
                assert!(most <= LONGEST_DELAY.mul_f64(1.5));
                longest += most;
                attempts += 1;
            }
            assert!(longest < Duration::from_secs(3), "{trouble:?}: {longest:?}");
        }
        // A port that refuses is given up well within a second.
        let refused: Duration = (1..10).filter_map(|n| delay(Trouble::Refused, n, 1.0)).sum();
        assert!(refused < Duration::from_millis(250), "{refused:?}");
    }
}

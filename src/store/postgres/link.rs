//! Whether the database can be reached: decided in one place for the whole process.
//!
//! A store has several connections, and when a server goes away each of them finds out in its own way and at its own time.
//! If each then came to its own conclusion, some would wait while others gave up, and all would knock at the door of a
//! server that is just getting up. So whoever loses a connection reports it here, and waits here.
//!
//! ```text
//!   Up(n) ── a connection made in n breaks ──► Down: one task tries again and again, with growing pauses
//!     ▲                                          │
//!     └──────────────── Up(n + 1) ◄── it connects ┘
//! ```
//!
//! A report about a connection from before the last return is out of date and changes nothing. With
//! [`OnSessionLoss::Exit`] the first report ends the process instead: the next one recovers. Sagas come to the same end
//! either way.

use super::target::Target;
use crate::store::FatalHandler;
use crate::store::error::StoreError;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// First pause between two attempts to connect; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Longest pause: how late a database's return may be noticed.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What a coordinator does when its database goes away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnSessionLoss {
    /// Sagas wait, and go on when it is back.
    #[default]
    Wait,
    /// The process ends; recovery goes on in the next.
    Exit,
}

/// The one place.
pub(super) struct Link {
    target: Target,
    on_session_loss: OnSessionLoss,
    on_fatal: FatalHandler,
    log: slog::Logger,
    runtime: Handle,
    state: watch::Sender<State>,
}

/// Counts the times that the database was found reachable.
pub(super) type Epoch = u64;

#[derive(Clone, Debug)]
enum State {
    Up(Epoch),
    Down { since: Instant, why: String },
}

impl Link {
    /// A link to a database that was just reached. Looking for it once it is lost will run on `runtime`.
    pub(super) fn new(
        target: Target,
        on_session_loss: OnSessionLoss,
        on_fatal: FatalHandler,
        log: slog::Logger,
        runtime: Handle,
    ) -> Arc<Self> {
        let (state, _) = watch::channel(State::Up(0));
        Arc::new(Self { target, on_session_loss, on_fatal, log, runtime, state })
    }

    /// Where it leads.
    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    /// Reports that a connection made in `epoch` is of no use any more.
    pub(super) fn lost(self: &Arc<Self>, epoch: Epoch, why: &str) {
        let is_news = self.state.send_if_modified(|state| match state {
            State::Up(now) if *now == epoch => {
                *state = State::Down { since: Instant::now(), why: why.to_owned() };
                true
            }
            _ => false,
        });
        if !is_news {
            return;
        }
        let database = self.target.shown();
        match self.on_session_loss {
            OnSessionLoss::Exit => {
                self.exit(&format!("the session with database {database} was lost: {why}"))
            }
            OnSessionLoss::Wait => {
                slog::warn!(self.log, "the database is out of reach; sagas wait for it";
                    "database" => database, "why" => why);
                let this = Arc::clone(self);
                self.runtime.spawn(async move { this.look_for_it(epoch).await });
            }
        }
    }

    fn exit(&self, why: &str) -> ! {
        match (self.on_fatal)(why) {}
    }

    async fn look_for_it(&self, last: Epoch) {
        for attempt in 0.. {
            tokio::time::sleep(pause(attempt, rand::random())).await;
            match self.target.in_time(self.target.connect()).await {
                Ok(connection) => {
                    drop(connection);
                    let before = self.state.send_replace(State::Up(last + 1));
                    let State::Down { since, .. } = before else { return };
                    let away = humantime::format_duration(Duration::from_millis(millis(since.elapsed())));
                    slog::warn!(self.log, "the database is back; sagas go on"; "away" => %away);
                    return;
                }
                Err(error) => {
                    slog::debug!(self.log, "the database is still out of reach"; "why" => %error)
                }
            }
        }
    }

    /// Waits until the database can be reached.
    pub(super) async fn up(&self) -> Epoch {
        let mut state = self.state.subscribe();
        let up = state.wait_for(|state| matches!(state, State::Up(_))).await;
        match up.as_deref() {
            Ok(State::Up(epoch)) => *epoch,
            // The sender is in `self`, so the wait ends only as asked for.
            _ => unreachable!("waited until the database can be reached"),
        }
    }

    /// The same, for so long.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] with the reason why it cannot be reached.
    pub(super) async fn up_within(&self, patience: Duration) -> Result<Epoch, StoreError> {
        match tokio::time::timeout(patience, self.up()).await {
            Ok(epoch) => Ok(epoch),
            Err(_) => Err(StoreError::Unavailable(match &*self.state.borrow() {
                State::Down { why, .. } => format!("database {} is out of reach: {why}", self.target.shown()),
                State::Up(_) => format!("database {} was out of reach", self.target.shown()),
            })),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The pause before an attempt: doubling, bounded, and between half and all of that by chance, so that the coordinators of
/// one database do not come back in step.
fn pause(attempt: u32, chance: u8) -> Duration {
    let full = FIRST_PAUSE.saturating_mul(1 << attempt.min(16)).min(LONGEST_PAUSE);
    full / 2 + full / 2 * u32::from(chance) / u32::from(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        assert_eq!(pause(0, 0), FIRST_PAUSE / 2);
        assert_eq!(pause(0, u8::MAX), FIRST_PAUSE);
        for attempt in [0, 1, 2, 5, 16, 17, 1000, u32::MAX] {
            let (least, most) = (pause(attempt, 0), pause(attempt, u8::MAX));
            assert!(least >= FIRST_PAUSE / 2 && most <= LONGEST_PAUSE, "{attempt}: {least:?} to {most:?}");
            assert!(least * 2 >= most, "{attempt}: {least:?} to {most:?}");
        }
        assert_eq!(pause(u32::MAX, u8::MAX), LONGEST_PAUSE);
    }

    fn link(on_session_loss: OnSessionLoss, on_fatal: FatalHandler) -> Arc<Link> {
        let target = Target::parse("postgresql://nobody@127.0.0.1:1/nothing").expect("a URL");
        let log = slog::Logger::root(slog::Discard, slog::o!());
        Link::new(target, on_session_loss, on_fatal, log, Handle::current())
    }

    #[tokio::test]
    async fn reports_from_before_the_last_return_are_out_of_date() {
        let link = link(OnSessionLoss::Wait, Arc::new(|why| panic!("fatal: {why}")));
        link.state.send_replace(State::Up(3));
        link.lost(2, "an old connection");
        assert_eq!(link.up().await, 3);
        link.lost(3, "the server is stopping");
        let error = link.up_within(Duration::ZERO).await.expect_err("nobody listens on port 1");
        let expected =
            "database postgresql://nobody@127.0.0.1:1/nothing is out of reach: the server is stopping";
        assert_eq!(error.to_string(), expected);
    }

    #[tokio::test]
    #[should_panic(
        expected = "fatal: the session with database postgresql://nobody@127.0.0.1:1/nothing was lost: x"
    )]
    async fn the_first_report_ends_a_process_that_is_to_exit() {
        link(OnSessionLoss::Exit, Arc::new(|why| panic!("fatal: {why}"))).lost(0, "x");
    }
}

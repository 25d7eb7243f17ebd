//! Keeps an eye on a coordinator, and acts when it stops being healthy: monitor, flag, remediate, verify, escalate.
//!
//! ```text
//!   examine ─> Examination ─> health::judge (pure) ─> findings ─┐
//!                                                               ├─> policy::Policy::step (pure) ─> events, a remedy
//!   another watchdog's state file ──────────────────> findings ─┘         │
//!                                                                         └─> state file: flags, history, remedies
//! ```
//!
//! What guides it:
//!
//! - It is apart from what it watches, small, and keeps all that it knows in one file, so that it may crash at any moment.
//!   Its own heartbeat lets something else watch it.
//! - The one who notices and the one who acts can be two processes: the first writes its findings into its state file, the
//!   second reads them there and looks at nothing else. If the first is gone, its findings grow old and the second does
//!   nothing; if the second is gone, the findings are there all the same.
//! - A remedy that is not checked is a wish. After each, the problems have to go within a time, and to stay away for another.
//!   Remedies that bring no progress end: what a restart has not cured three times, it will not cure the fourth time, and a
//!   coordinator that is restarted for ever because of one saga serves nobody. Then the sagas that look guilty are named, and
//!   it is a person's turn.
//! - It never touches sagas or their records.

pub mod examine;
pub mod files;
pub mod health;
pub mod policy;
#[cfg(test)]
mod tests;

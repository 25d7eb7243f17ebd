//! One file per command: its arguments, whose doc comments are the help text, and one `run` that reads like a sentence:
//! ask an edge or an engine for a value, hand the value to `render`, map it to an outcome.

pub mod activate;
pub mod blast;
pub mod check;
pub mod completions;
pub mod coordinator;
pub mod demo;
pub mod demo_saga;
pub mod drill;
pub mod quiesce;
mod saga_ids;
pub mod sagas;
pub mod secs;
mod several;
pub mod status;
pub mod tasks;
pub mod watch;
pub mod watchdog;
pub mod why;

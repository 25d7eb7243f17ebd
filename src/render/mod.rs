//! Values in, text out.
//!
//! Each thing that is shown has one file here with a function that takes the value and a writer, so that one test covers
//! each picture. Nothing in this module fetches, decides or waits. The primitives (tables, colours by meaning, times,
//! escaping, JSON) are shared, so a duration or an id looks the same everywhere.
//!
//! Two rules that the primitives carry out, so that nobody has to think of them:
//!
//! - **Everything that came from a server or a database is hostile text.** A [`table::Cell`] escapes what it is given, and
//!   [`escape::escape`] does so for running text. Control characters never reach a terminal.
//! - **Absent is `-`, unknown is `?`, and neither is `0`.**

pub mod activate;
pub mod amend;
pub mod blast;
pub mod blast_clean;
pub mod blast_html;
pub mod check;
pub mod drill;
pub mod escape;
pub mod json;
pub mod quiesce;
pub mod saga;
pub mod sagas;
pub mod secs;
pub mod status;
pub mod style;
pub mod table;
pub mod task;
pub mod tasks;
pub mod text;
pub mod time;
pub mod watch;
pub mod watchdog;
pub mod why;

use crate::wire::time::Time;
use style::Paint;

/// How things are to look, as far as they depend on where they are written and when.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Colours, or none.
    pub paint: Paint,
    /// Columns available; `None` when it does not matter, as in a file or a pipe.
    pub width: Option<usize>,
    /// How times are written in tables.
    pub times: TimeStyle,
    /// The moment that ages are counted from.
    pub now: Time,
}

/// How times are written in tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeStyle {
    /// `4s ago`, for people at a terminal.
    Relative,
    /// RFC 3339 in UTC, for everything else.
    Rfc3339,
}

/// How many rows of a table are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// At most so many.
    Rows(usize),
    /// All.
    None,
}

impl Limit {
    /// How many of `count` rows are shown.
    pub fn of(self, count: usize) -> usize {
        match self {
            Self::Rows(most) => count.min(most),
            Self::None => count,
        }
    }
}

impl Look {
    /// No colours, no limit on the width, RFC 3339 times: what a pipe gets.
    pub fn plain(now: Time) -> Self {
        Self { paint: Paint::Off, width: None, times: TimeStyle::Rfc3339, now }
    }
}

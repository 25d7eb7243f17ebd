//! The end of a process whose database lets it go on no more.

use crate::store::FatalHandler;
use std::io::Write;
use std::sync::Arc;

/// Exit code when the database refused a running process or is out of reach.
const FATAL_EXIT_CODE: i32 = 3;

/// Ends the process with one line that says why, as in a crash otherwise. `what` happens is the line's beginning, for
/// example `coordinator stops`.
pub(super) fn end_process(what: &'static str) -> FatalHandler {
    Arc::new(move |reason| {
        let mut stderr = std::io::stderr().lock();
        let _ = writeln!(stderr, "error: {what}: {reason}");
        #[expect(
            clippy::exit,
            reason = "nothing may run on: what is in flight has to count as not having happened"
        )]
        std::process::exit(FATAL_EXIT_CODE)
    })
}

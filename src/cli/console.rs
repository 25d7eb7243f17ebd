//! The process's own streams: who writes to them, whether they are terminals, how wide they are.
//!
//! Nothing outside this file and `main` knows the process's standard output and standard error.

use super::failure::{CommandResult, Failure, process_exit_code};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::ExitCode;

/// Standard output and standard error.
pub struct Console {
    stdout: Box<dyn Write>,
    stderr: Box<dyn Write>,
    stdout_is_terminal: bool,
    stderr_is_terminal: bool,
}

/// Columns and lines of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Characters per line.
    pub columns: usize,
    /// Lines.
    pub lines: usize,
}

impl Console {
    /// The process's own streams.
    pub fn of_process() -> Self {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        Self {
            stdout_is_terminal: stdout.is_terminal(),
            stderr_is_terminal: stderr.is_terminal(),
            // One write per answer, not one per line.
            stdout: Box::new(BufWriter::with_capacity(64 * 1024, stdout)),
            stderr: Box::new(stderr),
        }
    }

    /// Where data goes. Buffered until the command ends or somebody flushes.
    pub fn stdout(&mut self) -> &mut dyn Write {
        &mut *self.stdout
    }

    /// Where everything else goes.
    pub fn stderr(&mut self) -> &mut dyn Write {
        &mut *self.stderr
    }

    /// Whether a person reads the data as it comes.
    pub fn stdout_is_terminal(&self) -> bool {
        self.stdout_is_terminal
    }

    /// Whether a person sees notes and progress.
    pub fn stderr_is_terminal(&self) -> bool {
        self.stderr_is_terminal
    }

    /// Size of the terminal that the data goes to, asked each time since people resize.
    pub fn stdout_size(&self) -> Option<Size> {
        if !self.stdout_is_terminal {
            return None;
        }
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
        (size.ws_col > 0)
            .then(|| Size { columns: usize::from(size.ws_col), lines: usize::from(size.ws_row.max(2)) })
    }

    /// Writes out what is left and tells a failure; the last thing that the program does.
    pub fn finish(mut self, result: CommandResult) -> ExitCode {
        let flushed = |result: CommandResult, stdout: &mut dyn Write| match (result, stdout.flush()) {
            (Ok(_), Err(error)) => Err(Failure::from(error)),
            (result, _) => result,
        };
        let result = flushed(result, &mut *self.stdout);
        if let Err(failure) = &result {
            // There is nobody left to tell if this cannot be written.
            let _ = failure.write(&mut *self.stdout, &mut *self.stderr);
            let _ = self.stdout.flush();
        }
        process_exit_code(&result)
    }
}

/// Writes a line to standard error from places that have no console at hand, such as a client that waits to try again.
pub(super) fn log_line(text: &dyn std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

//! A line on standard error that says how far a long command is: drawn in place on a terminal, and now and then elsewhere.

use super::context::Context;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::{Duration, Instant};

/// What is over sooner needs no progress.
const FIRST: Duration = Duration::from_millis(500);

/// How often a line is drawn on a terminal.
const REDRAW: Duration = Duration::from_millis(100);

/// How often a line is written where there is no terminal to draw on.
const PLAIN_LINE: Duration = Duration::from_secs(5);

/// How far a command is.
pub(super) struct Progress {
    line: Option<ProgressBar>,
    next: Instant,
}

impl Progress {
    /// Nothing yet.
    pub(super) fn new(ctx: &mut Context<'_>) -> Self {
        let line = ctx.console().stderr_is_terminal().then(|| {
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
                .with_style(ProgressStyle::with_template("{msg}").expect("a template without mistakes"))
        });
        let wait = if line.is_some() { FIRST } else { PLAIN_LINE };
        Self { line, next: Instant::now() + wait }
    }

    /// Says how far it is, if it is time to.
    pub(super) fn show(&mut self, ctx: &mut Context<'_>, text: impl FnOnce() -> String) {
        if Instant::now() < self.next {
            return;
        }
        match &self.line {
            Some(line) => {
                line.set_message(text());
                self.next = Instant::now() + REDRAW;
            }
            None => {
                ctx.note(format_args!("{} so far", text()));
                self.next = Instant::now() + PLAIN_LINE;
            }
        }
    }

    /// Takes the line off the terminal, for what is to be written there.
    pub(super) fn clear(&mut self) {
        if let Some(line) = &self.line {
            line.set_message("");
            line.tick();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(line) = &self.line {
            line.finish_and_clear();
        }
    }
}

//! How far a run is, while it goes on: one live line on a terminal, a plain line now and then elsewhere.

use crate::blast::{Blast, StartError};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::render::blast::{progress_line, totals_line};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::{Duration, Instant};

/// How often the live line is drawn.
const REDRAW: Duration = Duration::from_millis(100);

/// How often a line is written where there is no terminal to draw on.
const PLAIN_LINE: Duration = Duration::from_secs(5);

/// Whether somebody wants to see progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    /// Yes.
    Progress,
    /// Only what ends the run.
    Nothing,
}

/// Makes a line for a terminal; it draws nothing elsewhere, or if nobody wants it.
pub(super) fn live_line(ctx: &mut Context<'_>, show: Show) -> ProgressBar {
    let live = ctx.console().stderr_is_terminal() && show == Show::Progress;
    let target = if live { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    ProgressBar::with_draw_target(None, target)
        .with_style(ProgressStyle::with_template("{msg}").expect("a template without mistakes"))
}

/// Runs to the end, telling progress and obeying ^C.
pub(super) async fn run_to_the_end(
    ctx: &mut Context<'_>,
    blast: &Blast,
    show: Show,
) -> Result<Result<(), StartError>, Failure> {
    let line = live_line(ctx, show);
    let plain = line.is_hidden() && show == Show::Progress;
    let first_plain_line = Instant::now() + PLAIN_LINE;
    let mut next_plain_line = first_plain_line;
    let mut interrupted = false;
    let mut run = std::pin::pin!(blast.run());
    let result = loop {
        tokio::select! {
            result = &mut run => break result,
            signal = tokio::signal::ctrl_c() => {
                signal.map_err(|error| Failure::unusable("cannot listen for ^C").caused_by(&error))?;
                let totals = totals_line(blast.progress().totals);
                line.suspend(|| ctx.note(format_args!("at signal: {totals}")));
                if interrupted { blast.stop_now() } else { blast.drain() }
                interrupted = true;
            }
            () = tokio::time::sleep(REDRAW) => {
                let now = || progress_line(&blast.progress());
                if plain && Instant::now() >= next_plain_line {
                    ctx.note(now());
                    next_plain_line += PLAIN_LINE;
                } else if !line.is_hidden() {
                    line.set_message(now());
                }
            }
        }
    };
    line.finish_and_clear();
    if plain && Instant::now() >= first_plain_line {
        // Whoever read one line also reads the last, which agrees with the answer.
        ctx.note(progress_line(&blast.progress()));
    }
    if interrupted {
        ctx.note(format_args!("final: {}", totals_line(blast.progress().totals)));
    }
    Ok(result)
}

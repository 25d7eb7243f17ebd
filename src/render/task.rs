//! The task block, with the labels that omdb's users know and their scripts look for.
//!
//! One number differs from omdb's: under `removed:` stands how many sagas were removed. omdb prints there, since July
//! 2024, how many were skipped.

use super::escape::excerpt;
use super::style::Style;
use super::table::{Cell, Column, Table};
use super::time;
use super::{Limit, Look};
use crate::observe::recovery::{LastPass, Pass, PassResult, Recovered, Recovery, SinceStart, kind_in_words};
use crate::observe::task::{CurrentActivation, LastActivation, TaskView, reason_in_words};
use crate::wire::bgtasks::ActivationReason;
use crate::wire::recovery::RecoveryFailure;
use serde_json::Value;
use std::io::{self, Write};
use std::time::Duration;

/// Columns before the label of a number.
const INDENT: &str = "        ";

/// Characters of a task's name that are shown; a server may say anything.
pub const LONGEST_NAME: usize = 256;

/// Characters of an error, and of a line of a task's own report, that are shown. All of it is in the JSON.
const LONGEST_TEXT: usize = 4_000;

/// Writes what every background task has: its period, what it is doing, how its last activation went.
pub fn render_task(out: &mut dyn Write, look: &Look, task: &TaskView) -> io::Result<()> {
    let TaskView { name, description: _, period, current, last, error } = task;
    writeln!(
        out,
        "{}",
        look.paint.apply(Style::Heading, format!("task: \"{}\"", excerpt(name, LONGEST_NAME)))
    )?;
    writeln!(out, "  configured period: every {}", time::exact(*period))?;
    match current {
        None => writeln!(out, "  currently executing: no")?,
        Some(CurrentActivation { iteration, reason, start_time }) => {
            writeln!(
                out,
                "  currently executing: iter {iteration}, triggered by {}",
                reason_in_words(*reason)
            )?;
            let running = look.now.signed_duration_since(*start_time).to_std().unwrap_or_default();
            writeln!(
                out,
                "    started at {}, running for {}",
                time::rfc3339_millis(*start_time),
                time::measured(running)
            )?;
        }
    }
    match last {
        None => writeln!(out, "  last completed activation: never")?,
        Some(LastActivation { iteration, reason, start_time, elapsed }) => {
            writeln!(
                out,
                "  last completed activation: iter {iteration}, triggered by {}",
                reason_in_words(*reason)
            )?;
            writeln!(
                out,
                "    started at {} ({}) and ran for {}",
                time::rfc3339_millis(*start_time),
                time::age(look.now, *start_time),
                time::measured(*elapsed)
            )?;
        }
    }
    if let Some(error) = error {
        let line = format!("    last activation FAILED: {}", excerpt(error, LONGEST_TEXT));
        writeln!(out, "{}", look.paint.apply(Style::Failed, line))?;
    }
    Ok(())
}

/// Writes the block of saga recovery down to the numbers of its last pass.
pub fn render_recovery(out: &mut dyn Write, look: &Look, recovery: &Recovery) -> io::Result<()> {
    render_task(out, look, &recovery.task)?;
    if let Some(since_start) = &recovery.since_start {
        render_since_start(out, look, since_start)?;
    }
    if let (Some(last_pass), Some(_)) = (&recovery.last_pass, &recovery.task.last) {
        render_last_pass(out, look, last_pass)?;
    }
    match (&recovery.trouble, &recovery.details) {
        (Some(_), Some(details)) => render_details(out, details),
        _ => Ok(()),
    }
}

/// Writes the task's own report as it came.
pub fn render_details(out: &mut dyn Write, details: &Value) -> io::Result<()> {
    writeln!(out, "    details:")?;
    let text = serde_json::to_string_pretty(details)?;
    for line in text.lines() {
        // Not trimmed: its blanks are the structure.
        let (blanks, text) = line.split_at(line.len() - line.trim_start().len());
        writeln!(out, "{INDENT}{blanks}{}", excerpt(text, LONGEST_TEXT))?;
    }
    Ok(())
}

fn render_since_start(out: &mut dyn Write, look: &Look, since_start: &SinceStart) -> io::Result<()> {
    let SinceStart {
        recovered,
        recovery_errors,
        observed_started,
        inferred_finished,
        missing_from_sec,
        bad_state_in_sec,
    } = *since_start;
    let numbers = [
        ("sagas recovered:", recovered, None),
        ("sagas recovery errors:", recovery_errors, Some(Style::Failed)),
        ("sagas observed started:", observed_started, None),
        ("sagas inferred finished:", inferred_finished, None),
        ("missing from SEC:", missing_from_sec, Some(Style::Warning)),
        ("bad state in SEC:", bad_state_in_sec, Some(Style::Warning)),
    ];
    let width = digits(numbers.iter().map(|(_, number, _)| *number));
    writeln!(out, "    since coordinator started:")?;
    for (label, number, style) in numbers {
        let number = look.paint.apply_some(style.filter(|_| number > 0), format!("{number:>width$}"));
        writeln!(out, "{INDENT}{label:<25}{number}")?;
    }
    Ok(())
}

fn render_last_pass(out: &mut dyn Write, look: &Look, last_pass: &LastPass) -> io::Result<()> {
    let LastPass { result, found, recovered, failed, skipped, removed, message } = last_pass;
    match result {
        PassResult::NeverStarted => return writeln!(out, "    never run"),
        PassResult::Failed => {
            let message = message.as_deref().unwrap_or("no reason given");
            let line = format!("    last pass FAILED: {}", excerpt(message, LONGEST_TEXT));
            return writeln!(out, "{}", look.paint.apply(Style::Failed, line));
        }
        PassResult::Completed => {}
    }
    let numbers = [
        ("found sagas:", found, " (in-progress, assigned to this coordinator)", None),
        ("recovered:", recovered, " (successfully)", None),
        ("failed:", failed, "", Some(Style::Failed)),
        ("skipped:", skipped, " (already running)", None),
        ("removed:", removed, " (newly finished)", None),
    ];
    let width = digits(numbers.iter().filter_map(|(_, number, _, _)| **number));
    writeln!(out, "    last pass:")?;
    for (label, number, meaning, style) in numbers {
        let text = number.map_or_else(|| "?".to_owned(), |number| number.to_string());
        let style = style.filter(|_| number.is_some_and(|number| number > 0));
        let text = look.paint.apply_some(style, format!("{text:>width$}"));
        writeln!(out, "{INDENT}{label:<13}{text}{meaning}")?;
    }
    Ok(())
}

/// Columns for numbers that stand under each other: omdb's three, or more where they are needed.
fn digits(numbers: impl Iterator<Item = u64>) -> usize {
    numbers.map(|number| number.to_string().len()).max().unwrap_or(0).max(3)
}

/// Columns before the rows of a table: few, because the widest table has to fit into 80.
const TABLE_INDENT: usize = 6;

/// Writes the tables of recovery: passes, recoveries, failures. What the coordinator does not report is left out.
pub fn render_tables(out: &mut dyn Write, look: &Look, recovery: &Recovery, limit: Limit) -> io::Result<()> {
    if let Some(passes) = &recovery.recent_passes {
        // Nearly always every pass completed, and then room is worth more than a column that says so.
        let shown = &passes[..limit.of(passes.len())];
        let all_completed = shown.iter().all(|pass| pass.end.result == PassResult::Completed);
        let columns = if all_completed { &PASS_COLUMNS[..PASS_COLUMNS.len() - 1] } else { &PASS_COLUMNS };
        let section = Section { title: "recent passes", empty: "no passes yet", columns };
        section.render(out, look, limit, passes, |pass| {
            let mut row = pass_row(look, pass);
            row.truncate(columns.len());
            row
        })?;
    }
    if let Some(recovered) = &recovery.recent_recoveries {
        let section = Section {
            title: "recently recovered sagas",
            empty: "no recovered sagas",
            columns: &RECOVERED_COLUMNS,
        };
        section.render(out, look, limit, recovered, |recovered| recovered_row(look, recovered))?;
    }
    if let Some(failures) = &recovery.recovery_failures {
        let section = Section {
            title: "recent sagas recovery failures",
            empty: "no saga recovery failures",
            columns: &FAILURE_COLUMNS,
        };
        section.render(out, look, limit, failures, |failure| failure_row(look, failure))?;
    }
    Ok(())
}

/// A table with its heading, or the words that stand for an empty one.
struct Section<'a> {
    title: &'a str,
    empty: &'a str,
    columns: &'a [Column],
}

impl Section<'_> {
    fn render<T>(
        &self,
        out: &mut dyn Write,
        look: &Look,
        limit: Limit,
        items: &[T],
        row: impl Fn(&T) -> Vec<Cell>,
    ) -> io::Result<()> {
        if items.is_empty() {
            return writeln!(out, "    {}", self.empty);
        }
        let shown = limit.of(items.len());
        let count = if shown < items.len() {
            format!("newest {shown} of {}; --limit shows more", items.len())
        } else {
            items.len().to_string()
        };
        writeln!(out, "    {}", look.paint.apply(Style::Heading, format!("{} ({count}):", self.title)))?;
        let mut table = Table::new(self.columns).indented(TABLE_INDENT);
        for item in &items[..shown] {
            table.push(row(item));
        }
        table.render(look, out)
    }
}

const PASS_COLUMNS: [Column; 10] = [
    Column::number("ITER"),
    Column::text("TRIGGER"),
    Column::text("START"),
    Column::number("TOOK"),
    Column::number("FOUND"),
    Column::number("RECOVERED"),
    Column::number("FAILED"),
    Column::number("SKIPPED"),
    Column::number("REMOVED"),
    Column::message("RESULT", 9),
];

fn pass_row(look: &Look, pass: &Pass) -> Vec<Cell> {
    let Pass { iteration, reason, time_started, duration_ms, end } = pass;
    let LastPass { result, found, recovered, failed, skipped, removed, message } = end;
    let result = match (result, message) {
        (PassResult::Completed, _) => Cell::new("completed"),
        (PassResult::NeverStarted, _) => Cell::new("never started"),
        (PassResult::Failed, Some(message)) => {
            Cell::new(format_args!("FAILED: {message}")).styled(Style::Failed)
        }
        (PassResult::Failed, None) => Cell::new("FAILED").styled(Style::Failed),
    };
    let took = Duration::try_from_secs_f64(duration_ms / 1000.0).ok().map(time::measured);
    vec![
        Cell::new(iteration),
        Cell::new(trigger(*reason)),
        Cell::new(time::when(look, *time_started)),
        Cell::or_unknown(took),
        Cell::or_absent(*found),
        Cell::or_absent(*recovered),
        Cell::or_absent(*failed).styled_if(failed.is_some_and(|failed| failed > 0), Style::Failed),
        Cell::or_absent(*skipped),
        Cell::or_absent(*removed),
        result,
    ]
}

/// What caused an activation, in one word.
pub(super) fn trigger(reason: ActivationReason) -> &'static str {
    match reason {
        ActivationReason::Signaled => "signal",
        ActivationReason::Timeout => "timer",
        ActivationReason::Dependency => "dependency",
    }
}

const RECOVERED_COLUMNS: [Column; 4] =
    [Column::text("TIME"), Column::text("SAGA_ID"), Column::message("NAME", 8), Column::text("STATE_NOW")];

fn recovered_row(look: &Look, recovered: &Recovered) -> Vec<Cell> {
    let Recovered { time, saga_id, name, state, current_sec: _ } = recovered;
    vec![
        Cell::new(time::when(look, *time)),
        Cell::new(saga_id),
        Cell::or_unknown(name.as_deref()),
        Cell::or_unknown(state.as_deref()),
    ]
}

const FAILURE_COLUMNS: [Column; 4] =
    [Column::text("TIME"), Column::text("SAGA_ID"), Column::text("KIND"), Column::message("MESSAGE", 12)];

fn failure_row(look: &Look, failure: &RecoveryFailure) -> Vec<Cell> {
    let RecoveryFailure { time, saga_id, current_sec: _, kind, message } = failure;
    vec![
        Cell::new(time::when(look, *time)),
        Cell::new(saga_id),
        Cell::or_unknown(kind.map(kind_in_words)).styled(Style::Failed),
        Cell::new(message),
    ]
}

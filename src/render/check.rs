//! `check`: the invariants, what is wrong by each, and what was wrong before.

use super::escape::escape;
use super::style::Style;
use super::table::{Cell, Column, Table};
use super::text::write_wrapped;
use super::{Look, time};
use crate::check::history::{History, Past};
use crate::check::invariant::Section;
use crate::check::{Judged, LookedAt, Problem, Report, Verdict};
use std::io::{self, Write};

const COLUMNS: [Column; 5] = [
    Column::text("ID"),
    Column::text("INVARIANT"),
    Column::text("VERDICT"),
    Column::number("CHECKED"),
    Column::message("EVIDENCE", 30),
];

const PAST_COLUMNS: [Column; 5] = [
    Column::text("BEGAN"),
    Column::text("ENDED"),
    Column::text("ID"),
    Column::text("ABOUT"),
    Column::message("PROBLEM", 30),
];

/// Problems of one invariant that are shown; JSON has more.
const MOST_SHOWN: usize = 10;

/// Writes the whole report.
pub fn render_report(out: &mut dyn Write, look: &Look, report: &Report) -> io::Result<()> {
    let Report { verdict, time: _, invariants, looked_at, malformed: _ } = report;
    let word = look.paint.apply(style(*verdict), word(*verdict));
    writeln!(out, "{word}: {}", coverage(looked_at))?;
    for (section, title) in [(Section::Recovery, "recovery problems:"), (Section::Other, "other problems:")] {
        let of_it: Vec<&Judged> = invariants.iter().filter(|judged| judged.section == section).collect();
        if of_it.is_empty() {
            continue;
        }
        writeln!(out)?;
        writeln!(out, "{}", look.paint.apply(Style::Heading, title))?;
        let mut table = Table::new(&COLUMNS).indented(2);
        for judged in &of_it {
            table.push(row(judged));
        }
        table.render(look, out)?;
        for judged in of_it.iter().filter(|judged| !judged.evidence.is_empty()) {
            render_problems(out, look, judged)?;
        }
    }
    Ok(())
}

fn row(judged: &Judged) -> Vec<Cell> {
    let Judged { id, title, section: _, verdict, checked, not_checked: _, reason: _, evidence: _, more: _ } =
        judged;
    vec![
        Cell::new(id),
        Cell::new(title),
        Cell::new(word(*verdict)).styled(style(*verdict)),
        Cell::or_unknown(*checked),
        match summary(judged) {
            text if text.is_empty() => Cell::absent(),
            text => Cell::new(text),
        },
    ]
}

/// What stands beside a verdict.
fn summary(judged: &Judged) -> String {
    let count = judged.evidence.len() as u64 + judged.more;
    let mut parts = Vec::new();
    match (count, judged.evidence.as_slice()) {
        (0, _) => {}
        (1, [one]) => parts.push(format!("{}{}", about(one), one.text)),
        (count, _) => parts.push(format!("{count} problems")),
    }
    if let Some(reason) = &judged.reason {
        parts.push(match (judged.not_checked, judged.verdict) {
            (0, _) | (_, Verdict::Na) => reason.clone(),
            (count, _) => format!("{count} not checked: {reason}"),
        });
    }
    parts.join("; ")
}

fn render_problems(out: &mut dyn Write, look: &Look, judged: &Judged) -> io::Result<()> {
    writeln!(out)?;
    let id = judged.id.as_str();
    writeln!(out, "  {}", look.paint.apply(Style::Failed, format!("{id} {}", judged.title)))?;
    for problem in judged.evidence.iter().take(MOST_SHOWN) {
        write_wrapped(out, look, "    - ", 6, &format!("{}{}", about(problem), problem.text))?;
        write_wrapped(out, look, "      next: ", 12, &problem.next)?;
    }
    let rest = judged.evidence.len().saturating_sub(MOST_SHOWN) as u64 + judged.more;
    if rest > 0 {
        let listed = if judged.evidence.len() > MOST_SHOWN { "; -o json lists more" } else { "" };
        writeln!(out, "    - and {rest} more{listed}")?;
    }
    Ok(())
}

fn about(problem: &Problem) -> String {
    problem.saga_id.map_or_else(String::new, |saga| format!("saga {saga}: "))
}

fn coverage(looked_at: &LookedAt) -> String {
    let LookedAt { database, coordinators, unfinished, at_rest, is_complete, notes: _ } = looked_at;
    let mut parts = Vec::new();
    if database.is_some() {
        let all = if *is_complete { ", all there are" } else { "" };
        parts.push(format!("{unfinished} unfinished sagas and {at_rest} at rest{all}"));
    }
    parts.push(match coordinators.len() {
        0 => "no coordinator".to_owned(),
        1 => "1 coordinator".to_owned(),
        count => format!("{count} coordinators"),
    });
    parts.join(", ")
}

/// Writes what was found at other times, too.
pub fn render_history(out: &mut dyn Write, look: &Look, history: &History) -> io::Result<()> {
    writeln!(out)?;
    writeln!(out, "{}", look.paint.apply(Style::Heading, "found so far:"))?;
    if history.problems.is_empty() {
        return writeln!(out, "  nothing");
    }
    let mut table = Table::new(&PAST_COLUMNS).indented(2);
    for past in &history.problems {
        let Past { id, saga_id, sec_id, text, began, ended, .. } = past;
        let about = match (saga_id, sec_id) {
            (Some(saga), _) => Cell::new(format!("saga {saga}")),
            (None, Some(sec)) => Cell::new(format!("SEC {sec}")),
            (None, None) => Cell::absent(),
        };
        table.push(vec![
            Cell::new(time::when(look, *began)),
            Cell::or_absent(ended.map(|ended| time::when(look, ended))),
            Cell::new(escape(id)),
            about,
            Cell::new(text),
        ]);
    }
    table.render(look, out)
}

const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Fail => "FAIL",
        Verdict::Na => "n/a",
    }
}

const fn style(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Ok => Style::Good,
        Verdict::Fail => Style::Failed,
        Verdict::Na => Style::Faint,
    }
}

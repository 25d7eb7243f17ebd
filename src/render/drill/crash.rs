//! The report of `drill crash`: one line per cycle, the sums, and what went wrong.

use crate::drill::crash::{Cycle, Report, Totals};
use crate::reconcile::Verdict;
use crate::render::Look;
use crate::render::escape::escape;
use crate::render::style::Style;
use crate::render::table::{Cell, Column, Table};
use crate::render::time;
use std::io::{self, Write};
use std::time::Duration;

const COLUMNS: [Column; 12] = [
    Column::number("CYCLE"),
    Column::text("WRITES"),
    Column::number("DONE"),
    Column::number("IN_DOUBT"),
    Column::number("KILLS"),
    Column::number("RECOVERED"),
    Column::number("TOOK"),
    Column::number("UNWOUND"),
    Column::number("LOST"),
    Column::number("DUPLICATED"),
    Column::number("ILLEGAL"),
    Column::number("HANGING"),
];

/// Problems that are told; the JSON has them all.
const SHOWN_PROBLEMS: usize = 20;

/// The whole report.
pub fn render_report(out: &mut dyn Write, look: &Look, report: &Report) -> io::Result<()> {
    let Report { verdict, seed, duration_secs, totals, cycles, kept, kept_schema } = report;
    let mut table = Table::new(&COLUMNS);
    for cycle in cycles {
        table.push(row(cycle));
    }
    table.render(look, out)?;
    let problems: Vec<_> = cycles.iter().flat_map(|cycle| &cycle.problems).collect();
    for problem in problems.iter().take(SHOWN_PROBLEMS) {
        writeln!(out, "{}", escape(problem))?;
    }
    if problems.len() > SHOWN_PROBLEMS {
        writeln!(out, "... and {} more; -o json has them all", problems.len() - SHOWN_PROBLEMS)?;
    }
    let Totals {
        kills,
        sagas,
        unwound,
        done: _,
        in_doubt: _,
        recovered,
        lost,
        duplicated,
        illegal,
        hanging,
        incomplete,
        recovery_errors,
        median_recovered_in_ms,
        worst_recovered_in_ms,
    } = totals;
    writeln!(out, "\n{kills} kills, {sagas} sagas, of which {unwound} unwound; {recovered} recovered")?;
    writeln!(
        out,
        "lost {lost}, duplicated {duplicated}, illegal logs {illegal}, hanging {hanging}, incomplete {incomplete}, \
         recovery errors {recovery_errors}"
    )?;
    let millis = |ms: &f64| time::measured(Duration::from_secs_f64(ms / 1000.0));
    writeln!(
        out,
        "from process start to all at rest: median {}, worst {}",
        millis(median_recovered_in_ms),
        millis(worst_recovered_in_ms)
    )?;
    if let Some(kept) = kept {
        writeln!(out, "the scratch directory is {}", kept.display())?;
    }
    if let Some(schema) = kept_schema {
        writeln!(out, "the schema is {schema}")?;
    }
    let (style, text) = match verdict {
        Verdict::Consistent => (Style::Good, "nothing came of all the kills"),
        Verdict::Inconsistent => (Style::Failed, "FAILED"),
        Verdict::NotChecked => (Style::Failed, "nothing was in flight at any kill, so nothing is proved"),
    };
    let took = time::measured(Duration::from_secs_f64(*duration_secs));
    writeln!(out, "{} (seed {seed}, {took})", look.paint.apply(style, text))
}

fn row(cycle: &Cycle) -> Vec<Cell> {
    let Cycle {
        cycle,
        strict,
        started: _,
        done,
        failed: _,
        in_doubt,
        in_doubt_recorded: _,
        kills,
        recovered,
        recovered_in_ms,
        sagas: _,
        unwound,
        lost,
        duplicated,
        illegal,
        hanging,
        incomplete: _,
        recovery_errors: _,
        problems: _,
    } = cycle;
    let bad = |count: &u64| Cell::new(count).styled_if(*count > 0, Style::Failed);
    vec![
        Cell::new(cycle),
        Cell::new(if *strict { "strict" } else { "own database" }),
        Cell::new(done),
        Cell::new(in_doubt),
        Cell::new(kills),
        Cell::new(recovered),
        Cell::new(time::measured(Duration::from_secs_f64(recovered_in_ms / 1000.0))),
        Cell::new(unwound),
        bad(lost),
        bad(duplicated),
        bad(illegal),
        bad(hanging),
    ]
}

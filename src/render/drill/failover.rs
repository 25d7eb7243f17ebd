//! The report of `drill failover`: one line per coordinator lost, the sums, and what went wrong.

use crate::drill::failover::{Cycle, Flavour, Report, Totals};
use crate::reconcile::Verdict;
use crate::render::Look;
use crate::render::escape::escape;
use crate::render::style::Style;
use crate::render::table::{Cell, Column, Table};
use crate::render::time;
use std::io::{self, Write};
use std::time::Duration;

const COLUMNS: [Column; 13] = [
    Column::number("CYCLE"),
    Column::text("LOST_BY"),
    Column::number("DONE"),
    Column::number("IN_DOUBT"),
    Column::number("ADOPTED"),
    Column::number("ADOPTED_IN"),
    Column::number("AT_REST_IN"),
    Column::number("FENCED_IN"),
    Column::number("LATE"),
    Column::number("LOST"),
    Column::number("DUPLICATED"),
    Column::number("ILLEGAL"),
    Column::number("HANGING"),
];

/// Problems that are told; the JSON has them all.
const SHOWN_PROBLEMS: usize = 20;

/// The whole report.
pub fn render_report(out: &mut dyn Write, look: &Look, report: &Report) -> io::Result<()> {
    let Report { verdict, seed, coordinators, duration_secs, totals, cycles, kept, kept_schema } = report;
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
        crashes,
        zombies,
        fenced,
        sagas,
        unwound,
        done: _,
        in_doubt: _,
        adopted,
        late_writes,
        lost,
        duplicated,
        illegal,
        hanging,
        incomplete,
        recovery_errors,
        problems: _,
        worst_adopted_in_ms,
        worst_at_rest_in_ms,
        worst_fenced_in_ms,
    } = totals;
    writeln!(
        out,
        "\n{coordinators} coordinators, {crashes} killed, {zombies} stopped and continued, of which {fenced} fenced; \
         {sagas} sagas, of which {unwound} unwound and {adopted} adopted"
    )?;
    writeln!(
        out,
        "writes of expunged coordinators {late_writes}, lost {lost}, duplicated {duplicated}, illegal logs {illegal}, \
         hanging {hanging}, incomplete {incomplete}, recovery errors {recovery_errors}"
    )?;
    writeln!(
        out,
        "longest from expunging to all adopted {}, to all at rest {}; from SIGCONT to the end of a zombie {}",
        took(worst_adopted_in_ms.as_ref()),
        took(worst_at_rest_in_ms.as_ref()),
        took(worst_fenced_in_ms.as_ref())
    )?;
    if let Some(kept) = kept {
        writeln!(out, "the scratch directory is {}", kept.display())?;
    }
    if let Some(schema) = kept_schema {
        writeln!(out, "the schema is {schema}")?;
    }
    let (style, text) = match verdict {
        Verdict::Consistent => (Style::Good, "nothing came of all the losses"),
        Verdict::Inconsistent => (Style::Failed, "FAILED"),
        Verdict::NotChecked => (Style::Failed, "nothing was in flight at any loss, so nothing is proved"),
    };
    let duration = time::measured(Duration::from_secs_f64(*duration_secs));
    writeln!(out, "{} (seed {seed}, {duration})", look.paint.apply(style, text))
}

fn took(ms: Option<&f64>) -> String {
    ms.map_or_else(|| "-".to_owned(), |ms| time::measured(Duration::from_secs_f64(ms / 1000.0)))
}

fn row(cycle: &Cycle) -> Vec<Cell> {
    let bad = |count: &u64| Cell::new(count).styled_if(*count > 0, Style::Failed);
    // What was waited for in vain is not "-", which is for what did not apply.
    let in_time = |ms: &Option<f64>| match ms {
        Some(_) => Cell::new(took(ms.as_ref())),
        None => Cell::new("never").styled_if(true, Style::Failed),
    };
    vec![
        Cell::new(cycle.cycle),
        Cell::new(match cycle.flavour {
            Flavour::Crash => "kill -9",
            Flavour::Zombie => "SIGSTOP",
        }),
        Cell::new(cycle.done),
        Cell::new(cycle.in_doubt),
        Cell::new(cycle.adopted),
        in_time(&cycle.adopted_in_ms),
        in_time(&cycle.at_rest_in_ms),
        match cycle.flavour {
            Flavour::Crash => Cell::new("-"),
            Flavour::Zombie => in_time(&cycle.fenced_in_ms),
        },
        bad(&cycle.late_writes),
        bad(&cycle.lost),
        bad(&cycle.duplicated),
        bad(&cycle.illegal),
        bad(&cycle.hanging),
    ]
}

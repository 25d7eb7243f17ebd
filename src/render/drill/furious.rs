//! The report of `drill furious`: the counts that have to agree.

use crate::drill::furious::{Report, Totals};
use crate::reconcile::Verdict;
use crate::render::Look;
use crate::render::escape::escape;
use crate::render::style::Style;
use crate::render::time;
use std::io::{self, Write};
use std::time::Duration;

/// The whole report.
pub fn render_report(out: &mut dyn Write, look: &Look, report: &Report) -> io::Result<()> {
    let Report { verdict, duration_secs, totals, problems, reconciliation: _, kept, kept_schema } = report;
    let Totals {
        passes,
        skipped,
        done,
        not_done,
        sagas,
        observed_started,
        inferred_finished,
        recovered,
        recovery_errors,
        lost,
        duplicated,
        illegal,
        hanging,
    } = totals;
    for (what, count) in [
        ("recovery passes", passes),
        ("sagas that they met while these ran", skipped),
        ("requests acknowledged", done),
        ("requests not acknowledged", not_done),
        ("sagas in the database", sagas),
        ("sagas observed to start", observed_started),
        ("sagas inferred to have finished", inferred_finished),
        ("sagas recovered", recovered),
        ("recovery errors", recovery_errors),
        ("lost", lost),
        ("duplicated", duplicated),
        ("illegal logs", illegal),
        ("hanging", hanging),
    ] {
        writeln!(out, "  {:<38}{count:>9}", format!("{what}:"))?;
    }
    for problem in problems {
        writeln!(out, "{}", escape(problem))?;
    }
    if let Some(kept) = kept {
        writeln!(out, "the scratch directory is {}", kept.display())?;
    }
    if let Some(schema) = kept_schema {
        writeln!(out, "the schema is {schema}")?;
    }
    let (style, text) = match verdict {
        Verdict::Consistent => (Style::Good, "recovery touched nothing that ran, and every number agrees"),
        Verdict::Inconsistent => (Style::Failed, "FAILED"),
        Verdict::NotChecked => (Style::Failed, "no pass met a saga that ran, so nothing is proved"),
    };
    writeln!(
        out,
        "{} ({})",
        look.paint.apply(style, text),
        time::measured(Duration::from_secs_f64(*duration_secs))
    )
}

//! `blast`: the line that tells how far it is, and what came of it.

use super::style::Style;
use super::table::{Cell, Column, Table};
use super::{Look, time};
use crate::blast::ledger::Totals;
use crate::blast::stats::LatencyMs;
use crate::blast::{Progress, Report};
use crate::reconcile::{Reconciliation, Verdict};
use std::io::{self, Write};
use std::time::Duration;

/// One line on how far a blast is. Says the same as the final table, from the same books.
pub fn progress_line(progress: &Progress) -> String {
    let Totals { started, done, failed, in_doubt, in_flight } = progress.totals;
    let rate = done as f64 / progress.elapsed.as_secs_f64().max(0.001);
    let latency = match progress.latency_ms {
        Some(LatencyMs { p50, p99, .. }) => format!("p50 {p50:.1}ms p99 {p99:.1}ms"),
        None => "p50 - p99 -".to_owned(),
    };
    let elapsed = time::coarse(progress.elapsed);
    format!(
        "{elapsed}: {started} started, {done} done, {failed} failed, {in_doubt} in doubt, {in_flight} in flight, \
         {rate:.0}/s, {latency}"
    )
}

/// The books at a moment, as scripts look for them.
pub fn totals_line(totals: Totals) -> String {
    let Totals { started, done, failed, in_doubt, in_flight } = totals;
    format!("started={started} done={done} failed={failed} in_doubt={in_doubt} in_flight={in_flight}")
}

/// Writes the report.
pub fn render_report(out: &mut dyn Write, look: &Look, report: &Report) -> io::Result<()> {
    let Report {
        run_id,
        model,
        started,
        done,
        failed,
        in_doubt,
        duration_secs,
        rate_per_sec,
        latency_ms,
        errors,
        first_failure,
        reconciliation,
    } = report;
    writeln!(out, "blast: run {run_id}, {model}")?;
    writeln!(out, "  started:   {started:>8}")?;
    writeln!(out, "  done:      {done:>8}  (acknowledged)")?;
    writeln!(out, "  failed:    {failed:>8}  (told no, or never left)")?;
    writeln!(out, "  in doubt:  {in_doubt:>8}  (sent, no answer)")?;
    let took = time::measured(Duration::from_secs_f64(*duration_secs));
    writeln!(out, "  {rate_per_sec:.1} done per second over {took}")?;
    match latency_ms {
        Some(LatencyMs { p50, p90, p99, p999, max }) => writeln!(
            out,
            "  latency of those done: p50 {p50:.1}ms, p90 {p90:.1}ms, p99 {p99:.1}ms, p99.9 {p999:.1}ms, max {max:.1}ms"
        )?,
        None => writeln!(out, "  latency: - (nothing was done)")?,
    }
    if let Some(first) = first_failure {
        writeln!(out, "  first failure: {} for {}", super::escape::escape(&first.error), first.name)?;
    }
    if !errors.is_empty() {
        let mut table =
            Table::new(&[Column::text("ERROR"), Column::number("COUNT"), Column::message("EXAMPLE", 20)])
                .indented(2);
        for error in errors {
            table.push(vec![Cell::new(&error.class), Cell::new(error.count), Cell::new(&error.example)]);
        }
        table.render(look, out)?;
    }
    render_reconciliation(out, look, reconciliation)
}

/// Writes what the records say.
pub fn render_reconciliation(out: &mut dyn Write, look: &Look, found: &Reconciliation) -> io::Result<()> {
    if found.verdict == Verdict::NotChecked {
        let reason = found.reason.as_deref().unwrap_or("no reason given");
        return writeln!(out, "reconciliation: not checked ({})", super::escape::escape(reason));
    }
    let (verdict, style) = match found.verdict {
        Verdict::Consistent => ("consistent", Style::Good),
        Verdict::Inconsistent | Verdict::NotChecked => ("INCONSISTENT", Style::Failed),
    };
    writeln!(out, "reconciliation with the records: {}", look.paint.apply(style, verdict))?;
    let rows = [
        ("acknowledged and recorded:", found.acknowledged_recorded),
        ("acknowledged but missing (lost):", found.lost),
        ("failed and absent:", found.failed_absent),
        ("failed yet recorded:", found.failed_recorded),
        ("in doubt, absent:", found.in_doubt_absent),
        ("in doubt, recorded:", found.in_doubt_recorded),
        ("recorded twice (duplicates):", found.duplicates),
    ];
    for (label, count) in rows {
        let count = count.map_or_else(|| "?".to_owned(), |count| count.to_string());
        writeln!(out, "  {label:<33} {count:>8}")?;
    }
    for (what, names) in [("lost", &found.lost_names), ("duplicate", &found.duplicate_names)] {
        for name in names {
            writeln!(out, "  {what}: {}", super::escape::escape(name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blast::ledger::FirstFailure;
    use crate::blast::stats::ErrorCount;

    /// A report in which every number is another.
    fn report() -> Report {
        Report {
            run_id: "1a2b3c".to_owned(),
            model: "closed loop, 64 in flight".to_owned(),
            started: 1000,
            done: 870,
            failed: 90,
            in_doubt: 40,
            duration_secs: 12.5,
            rate_per_sec: 69.6,
            latency_ms: Some(LatencyMs { p50: 1.1, p90: 2.2, p99: 3.3, p999: 4.4, max: 5.5 }),
            errors: vec![
                ErrorCount {
                    class: "refused".to_owned(),
                    count: 90,
                    example: "connecting\u{1b}[31m".to_owned(),
                },
                ErrorCount { class: "cut".to_owned(), count: 40, example: "the answer broke off".to_owned() },
            ],
            first_failure: Some(FirstFailure {
                name: "dummy-1a2b3c-7-3".to_owned(),
                error: "cut".to_owned(),
            }),
            reconciliation: Reconciliation {
                verdict: Verdict::Inconsistent,
                reason: None,
                acknowledged_recorded: Some(868),
                lost: Some(2),
                lost_names: vec!["dummy-1a2b3c-0-1".to_owned(), "dummy-1a2b3c-0-2".to_owned()],
                failed_absent: Some(89),
                failed_recorded: Some(1),
                in_doubt_absent: Some(15),
                in_doubt_recorded: Some(25),
                duplicates: Some(0),
                duplicate_names: Vec::new(),
            },
        }
    }

    #[test]
    fn a_report_says_every_number_once() {
        let mut text = Vec::new();
        render_report(&mut text, &Look::plain(crate::wire::time::now()), &report()).expect("written");
        insta::assert_snapshot!(String::from_utf8(text).expect("text"), @r"
        blast: run 1a2b3c, closed loop, 64 in flight
          started:       1000
          done:           870  (acknowledged)
          failed:          90  (told no, or never left)
          in doubt:        40  (sent, no answer)
          69.6 done per second over 12s 500ms
          latency of those done: p50 1.1ms, p90 2.2ms, p99 3.3ms, p99.9 4.4ms, max 5.5ms
          first failure: cut for dummy-1a2b3c-7-3
          ERROR    COUNT  EXAMPLE
          refused     90  connecting\x1b[31m
          cut         40  the answer broke off
        reconciliation with the records: INCONSISTENT
          acknowledged and recorded:             868
          acknowledged but missing (lost):         2
          failed and absent:                      89
          failed yet recorded:                     1
          in doubt, absent:                       15
          in doubt, recorded:                     25
          recorded twice (duplicates):             0
          lost: dummy-1a2b3c-0-1
          lost: dummy-1a2b3c-0-2
        ");
    }

    #[test]
    fn the_progress_line_says_nothing_it_does_not_know() {
        let totals = Totals { started: 10, done: 0, failed: 3, in_doubt: 2, in_flight: 5 };
        let progress = Progress { elapsed: Duration::from_secs(4), totals, latency_ms: None };
        assert_eq!(
            progress_line(&progress),
            "4s: 10 started, 0 done, 3 failed, 2 in doubt, 5 in flight, 0/s, p50 - p99 -"
        );
    }
}

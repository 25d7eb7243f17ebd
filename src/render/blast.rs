//! `blast`: the line that tells how far it is, and what came of it.

use super::style::Style;
use super::table::{Cell, Column, Table};
use super::{Look, escape::escape, time};
use crate::blast::ledger::Totals;
use crate::blast::records::SagaOutcomes;
use crate::blast::report::Reconciled;
use crate::blast::rules::Judged;
use crate::blast::stats::LatencyMs;
use crate::blast::{Progress, Report, sightings};
use crate::reconcile::{Reconciliation, Verdict};
use std::io::{self, Write};
use std::time::Duration;

/// One line on how far a blast is. Says the same as the final table, from the same books; only `now` is the rate of the
/// last moments.
pub fn progress_line(progress: &Progress) -> String {
    let Progress { elapsed, totals, rate_per_sec, rate_now, latency_ms } = progress;
    let Totals { started, done, failed, in_doubt, in_flight } = totals;
    let latency = match latency_ms {
        Some(LatencyMs { p50, p99, .. }) => format!("p50 {p50:.1}ms p99 {p99:.1}ms"),
        None => "p50 - p99 -".to_owned(),
    };
    let elapsed = time::coarse(*elapsed);
    format!(
        "{elapsed}: {started} started, {done} done, {failed} failed, {in_doubt} in doubt, {in_flight} in flight, \
         {rate_per_sec:.0}/s (now {rate_now:.0}/s), {latency}"
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
        // Every name in a table begins with it.
        prefix: _,
        workload,
        // Told before the run, if nobody gave it.
        url: _,
        model,
        time_started: _,
        // The exit code and the error say it where it matters.
        ended: _,
        started,
        done,
        failed,
        in_doubt,
        duration_secs,
        warm_up_secs,
        rate_per_sec,
        started_per_sec,
        target_rate_per_sec,
        latency_ms,
        mean_latency_ms,
        errors,
        first_failure,
        rules,
        reconciliation,
        sagas,
        recovery,
        nothing_left: _,
    } = report;
    writeln!(out, "blast: run {run_id}, {workload}, {model}")?;
    writeln!(out, "  started:   {started:>8}")?;
    writeln!(out, "  done:      {done:>8}  (acknowledged)")?;
    writeln!(out, "  failed:    {failed:>8}  (told no, or never left)")?;
    writeln!(out, "  in doubt:  {in_doubt:>8}  (sent, no answer)")?;
    let took = |secs: f64| time::measured(Duration::from_secs_f64(secs));
    write!(out, "  {rate_per_sec:.1} done per second over {}", took(*duration_secs))?;
    if *warm_up_secs > 0.0 {
        write!(out, ", without a warm-up of {}", took(*warm_up_secs))?;
    }
    writeln!(out)?;
    if let Some(target) = target_rate_per_sec {
        writeln!(out, "  {started_per_sec:.1} started per second, of {target} intended")?;
    }
    match (latency_ms, mean_latency_ms) {
        (Some(LatencyMs { p50, p90, p99, p999, max }), Some(mean)) => writeln!(
            out,
            "  latency of those done: p50 {p50:.1}ms, p90 {p90:.1}ms, p99 {p99:.1}ms, p99.9 {p999:.1}ms, \
             max {max:.1}ms, mean {mean:.1}ms"
        )?,
        _ => writeln!(out, "  latency: - (nothing was done)")?,
    }
    if let Some(first) = first_failure {
        writeln!(out, "  first failure: {} for {}", escape(&first.error), first.name)?;
    }
    if !errors.is_empty() {
        let mut table = Table::new(&[
            Column::text("ERROR"),
            Column::number("COUNT"),
            Column::text("FIRST"),
            Column::message("EXAMPLE", 20),
        ])
        .indented(2);
        for error in errors {
            table.push(vec![
                Cell::new(&error.class),
                Cell::new(error.count),
                Cell::new(&error.name),
                Cell::new(&error.example),
            ]);
        }
        table.render(look, out)?;
    }
    for rule in rules {
        render_rule(out, look, rule)?;
    }
    render_reconciliation(out, look, reconciliation)?;
    render_sagas(out, sagas.as_ref())?;
    if let Some(sightings::Seen { restarts, passes, recovered, recovery_errors }) = recovery {
        writeln!(
            out,
            "  the coordinator meanwhile: {restarts} restarts, {passes} recovery passes, {recovered} sagas recovered, \
             {recovery_errors} recovery errors"
        )?;
    }
    Ok(())
}

fn render_rule(out: &mut dyn Write, look: &Look, rule: &Judged) -> io::Result<()> {
    let Judged { rule, value, broken } = rule;
    let (word, style) = if *broken { ("BROKEN", Style::Failed) } else { ("kept", Style::Good) };
    let value = value.map_or_else(|| "?".to_owned(), |value| format!("{value:.1}"));
    writeln!(out, "  fail if {rule}: {} ({value})", look.paint.apply(style, word))
}

/// Writes what a run's own record shows when it is held against records.
pub fn render_reconciled(out: &mut dyn Write, look: &Look, reconciled: &Reconciled) -> io::Result<()> {
    let Reconciled {
        run_id,
        workload,
        url,
        time_started,
        is_whole,
        started,
        done,
        failed,
        in_doubt,
        without_line,
        reconciliation,
        sagas,
    } = reconciled;
    let began = time::rfc3339_millis(*time_started);
    writeln!(out, "record of run {run_id}: {} at {}, begun {began}", escape(workload), escape(url))?;
    writeln!(out, "  {started} requests: {done} done, {failed} failed, {in_doubt} in doubt")?;
    if !is_whole {
        writeln!(
            out,
            "  the record has no end, so the generator was killed; {without_line} more requests are on record, in doubt"
        )?;
    }
    render_reconciliation(out, look, reconciliation)?;
    render_sagas(out, sagas.as_ref())
}

fn render_sagas(out: &mut dyn Write, sagas: Option<&SagaOutcomes>) -> io::Result<()> {
    let Some(SagaOutcomes { succeeded, failed, stuck, abandoned, unfinished, missing }) = sagas else {
        return Ok(());
    };
    writeln!(
        out,
        "  their sagas: {succeeded} succeeded, {failed} failed, {stuck} stuck, {abandoned} abandoned, \
         {unfinished} unfinished, {missing} missing"
    )
}

/// Writes what the records say.
pub fn render_reconciliation(out: &mut dyn Write, look: &Look, found: &Reconciliation) -> io::Result<()> {
    if found.verdict == Verdict::NotChecked {
        let reason = found.reason.as_deref().unwrap_or("no reason given");
        return writeln!(out, "reconciliation: not checked ({})", escape(reason));
    }
    let (verdict, style) = match found.verdict {
        Verdict::Consistent => ("consistent", Style::Good),
        Verdict::Inconsistent | Verdict::NotChecked => ("INCONSISTENT", Style::Failed),
    };
    writeln!(out, "reconciliation with the records: {}", look.paint.apply(style, verdict))?;
    for (label, count) in reconciliation_rows(found) {
        let count = count.map_or_else(|| "?".to_owned(), |count| count.to_string());
        writeln!(out, "  {label:<33} {count:>8}")?;
    }
    for (what, names) in bad_names(found) {
        for name in names {
            writeln!(out, "  {what}: {}", escape(name))?;
        }
    }
    Ok(())
}

/// The classes of requests with their counts. Rows that only some workloads have, or that are only worth a line when they
/// are not empty, are left out.
pub(super) fn reconciliation_rows(
    found: &Reconciliation,
) -> impl Iterator<Item = (&'static str, Option<u64>)> {
    [
        ("acknowledged and recorded:", Some(found.acknowledged_recorded)),
        ("acknowledged but missing (lost):", Some(found.lost)),
        ("failed and absent:", Some(found.failed_absent)),
        ("failed yet recorded:", Some(found.failed_recorded)),
        ("in doubt, absent:", Some(found.in_doubt_absent)),
        ("in doubt, recorded:", Some(found.in_doubt_recorded)),
        ("in doubt, and cannot be found:", found.in_doubt_unknown.map(Some)),
        ("deleted and gone:", found.deleted_absent.map(Some)),
        ("deleted yet recorded:", found.deleted_recorded.map(Some)),
        ("recorded twice (duplicates):", Some(found.duplicates)),
        ("recorded, never requested:", found.unexplained.filter(|count| *count > 0).map(Some)),
    ]
    .into_iter()
    .filter_map(|(label, count)| Some((label, count?)))
}

/// What is wrong, by name.
pub(super) fn bad_names(found: &Reconciliation) -> [(&'static str, &[String]); 4] {
    [
        ("lost", &found.lost_names),
        ("deleted yet recorded", &found.deleted_recorded_names),
        ("duplicate", &found.duplicate_names),
        ("never requested", &found.unexplained_names),
    ]
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::blast::schedule::End;
    use crate::blast::stats::{ErrorCount, FirstFailure};

    /// A report in which every number is another.
    pub(in crate::render) fn report() -> Report {
        Report {
            run_id: "1a2b3c".to_owned(),
            prefix: "dummy-".to_owned(),
            workload: "project-create".to_owned(),
            url: "http://127.0.0.1:12220".to_owned(),
            model: "open loop, 80/s, corrected, at most 64 in flight".to_owned(),
            time_started: "2026-11-02T09:20:00Z".parse().expect("a time"),
            ended: End::Duration,
            started: 1000,
            done: 870,
            failed: 90,
            in_doubt: 40,
            duration_secs: 12.5,
            warm_up_secs: 2.25,
            rate_per_sec: 69.6,
            started_per_sec: 79.9,
            target_rate_per_sec: Some(80.0),
            latency_ms: Some(LatencyMs { p50: 1.1, p90: 2.2, p99: 3.3, p999: 4.4, max: 5.5 }),
            mean_latency_ms: Some(1.7),
            errors: vec![
                ErrorCount {
                    class: "refused".to_owned(),
                    count: 91,
                    example: "connecting\u{1b}[31m".to_owned(),
                    name: "dummy-1a2b3c-7-3".to_owned(),
                },
                ErrorCount {
                    class: "cut".to_owned(),
                    count: 41,
                    example: "the answer broke off".to_owned(),
                    name: "dummy-1a2b3c-6-5".to_owned(),
                },
            ],
            first_failure: Some(FirstFailure {
                name: "dummy-1a2b3c-7-3".to_owned(),
                error: "cut".to_owned(),
            }),
            rules: vec![
                Judged { rule: "p99>2s".to_owned(), value: Some(3.3), broken: false },
                Judged { rule: "errors>1%".to_owned(), value: Some(13.0), broken: true },
                Judged { rule: "mean>1s".to_owned(), value: None, broken: true },
            ],
            reconciliation: reconciliation(),
            sagas: Some(SagaOutcomes {
                succeeded: 881,
                failed: 82,
                stuck: 3,
                abandoned: 5,
                unfinished: 7,
                missing: 6,
            }),
            recovery: Some(sightings::Seen { restarts: 2, passes: 12, recovered: 61, recovery_errors: 4 }),
            nothing_left: false,
        }
    }

    fn reconciliation() -> Reconciliation {
        Reconciliation {
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
            ..Reconciliation::not_checked("")
        }
    }

    fn shown(render: impl FnOnce(&mut dyn Write, &Look) -> io::Result<()>) -> String {
        let mut text = Vec::new();
        render(&mut text, &Look::plain(crate::wire::time::now())).expect("written");
        String::from_utf8(text).expect("text")
    }

    #[test]
    fn a_report_says_every_number_once() {
        insta::assert_snapshot!(shown(|out, look| render_report(out, look, &report())), @r"
        blast: run 1a2b3c, project-create, open loop, 80/s, corrected, at most 64 in flight
          started:       1000
          done:           870  (acknowledged)
          failed:          90  (told no, or never left)
          in doubt:        40  (sent, no answer)
          69.6 done per second over 12s 500ms, without a warm-up of 2s 250ms
          79.9 started per second, of 80 intended
          latency of those done: p50 1.1ms, p90 2.2ms, p99 3.3ms, p99.9 4.4ms, max 5.5ms, mean 1.7ms
          first failure: cut for dummy-1a2b3c-7-3
          ERROR    COUNT  FIRST             EXAMPLE
          refused     91  dummy-1a2b3c-7-3  connecting\x1b[31m
          cut         41  dummy-1a2b3c-6-5  the answer broke off
          fail if p99>2s: kept (3.3)
          fail if errors>1%: BROKEN (13.0)
          fail if mean>1s: BROKEN (?)
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
          their sagas: 881 succeeded, 82 failed, 3 stuck, 5 abandoned, 7 unfinished, 6 missing
          the coordinator meanwhile: 2 restarts, 12 recovery passes, 61 sagas recovered, 4 recovery errors
        ");
    }

    #[test]
    fn a_record_without_an_end_says_so() {
        let reconciled = Reconciled {
            run_id: "1a2b3c".to_owned(),
            workload: "project-cycle".to_owned(),
            url: "http://127.0.0.1:12220".to_owned(),
            time_started: "2026-11-02T09:20:00Z".parse().expect("a time"),
            is_whole: false,
            started: 1000,
            done: 900,
            failed: 60,
            in_doubt: 40,
            without_line: 17,
            reconciliation: Reconciliation {
                deleted_absent: Some(31),
                deleted_recorded: Some(4),
                deleted_recorded_names: vec!["dummy-1a2b3c-3-1".to_owned()],
                in_doubt_unknown: Some(8),
                unexplained: Some(9),
                unexplained_names: vec!["dummy-1a2b3c-9-9".to_owned()],
                ..reconciliation()
            },
            sagas: None,
        };
        insta::assert_snapshot!(shown(|out, look| render_reconciled(out, look, &reconciled)), @r"
        record of run 1a2b3c: project-cycle at http://127.0.0.1:12220, begun 2026-11-02T09:20:00.000Z
          1000 requests: 900 done, 60 failed, 40 in doubt
          the record has no end, so the generator was killed; 17 more requests are on record, in doubt
        reconciliation with the records: INCONSISTENT
          acknowledged and recorded:             868
          acknowledged but missing (lost):         2
          failed and absent:                      89
          failed yet recorded:                     1
          in doubt, absent:                       15
          in doubt, recorded:                     25
          in doubt, and cannot be found:           8
          deleted and gone:                       31
          deleted yet recorded:                    4
          recorded twice (duplicates):             0
          recorded, never requested:               9
          lost: dummy-1a2b3c-0-1
          lost: dummy-1a2b3c-0-2
          deleted yet recorded: dummy-1a2b3c-3-1
          never requested: dummy-1a2b3c-9-9
        ");
    }

    #[test]
    fn the_progress_line_says_nothing_it_does_not_know() {
        let totals = Totals { started: 10, done: 0, failed: 3, in_doubt: 2, in_flight: 5 };
        let progress = Progress {
            elapsed: Duration::from_secs(4),
            totals,
            rate_per_sec: 0.0,
            rate_now: 0.0,
            latency_ms: None,
        };
        assert_eq!(
            progress_line(&progress),
            "4s: 10 started, 0 done, 3 failed, 2 in doubt, 5 in flight, 0/s (now 0/s), p50 - p99 -"
        );
    }
}

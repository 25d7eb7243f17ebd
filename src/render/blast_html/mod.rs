//! `blast --html-report`: a run on one page that needs nothing but itself. No scripts, no fonts, nothing from elsewhere; it
//! can be mailed, opened offline and printed.
//!
//! The page shows the same [`Full`] report that `--json-report` writes. Everything in it that came from a server is
//! escaped twice over: control characters as in tables, markup as in HTML.

mod chart;

use super::escape::escape;
use super::time;
use crate::blast::records::SagaOutcomes;
use crate::blast::report::{Full, Report};
use crate::blast::series::Moment;
use crate::blast::sightings::{PassSeen, Restart, Seen};
use crate::blast::stats::LatencyMs;
use crate::reconcile::{Reconciliation, Verdict};
use crate::wire::time::Time;
use chart::{Line, Mark, Scale, TimeChart, distribution_svg, short};
use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

const STYLE: &str = include_str!("style.css");

/// Names of a bad kind that are listed on the page.
const NAMES_SHOWN: usize = 50;

/// Restarts and passes that recovered something, as rows of a table.
const EVENTS_SHOWN: usize = 50;

/// Writes the page.
pub fn render_page(out: &mut dyn Write, full: &Full) -> io::Result<()> {
    let Full { report, course, restarts, passes } = full;
    let run = escape_html(&report.run_id);
    write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>blast {run}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
    )?;
    head(out, report)?;
    tiles(out, report)?;
    let marks = marks(report, restarts, passes);
    charts(out, report, &course.series, &marks)?;
    if !course.latency_distribution.is_empty() {
        let bands: Vec<_> =
            course.latency_distribution.iter().map(|band| (band.up_to_ms, band.count)).collect();
        writeln!(
            out,
            "<figure><h3>Requests by latency</h3>{}<figcaption>how many requests took how long</figcaption></figure>\n</div>",
            distribution_svg("How many requests took how long", in_ms, &bands)
        )?;
    } else {
        writeln!(out, "</div>")?;
    }
    reconciliation(out, report)?;
    errors(out, report)?;
    rules(out, report)?;
    events(out, report, restarts, passes)?;
    writeln!(
        out,
        "<footer>sagactl {} · run {run} · begun {}</footer>\n</body>\n</html>",
        env!("CARGO_PKG_VERSION"),
        time::rfc3339_millis(report.time_started)
    )
}

/// Text that means itself in HTML, also inside quotes.
pub(super) fn escape_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in escape(text).chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn head(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let Report { run_id, workload, model, url, duration_secs, warm_up_secs, .. } = report;
    writeln!(out, "<header><h1>blast {}</h1>", escape_html(run_id))?;
    writeln!(out, "<p>{} at {}, {}</p>", escape_html(workload), escape_html(url), escape_html(model))?;
    let took = time::measured(Duration::from_secs_f64(*duration_secs));
    write!(out, "<p class=\"faint\">begun {}, took {took}", time::rfc3339_millis(report.time_started))?;
    if *warm_up_secs > 0.0 {
        let warm_up = time::measured(Duration::from_secs_f64(*warm_up_secs));
        write!(out, ", of which the first {warm_up} are in no rate and no latency")?;
    }
    let (class, words) = verdict(report);
    writeln!(out, "</p>\n<p class=\"verdict {class}\">{words}</p></header>")
}

/// The verdict in words; colour is an addition.
fn verdict(report: &Report) -> (&'static str, &'static str) {
    let broken = report.rules.iter().any(|judged| judged.broken);
    match report.reconciliation.verdict {
        Verdict::Inconsistent => ("bad", "INCONSISTENT with the records"),
        _ if report.done == 0 => ("bad", "Nothing worked"),
        _ if broken => ("bad", "A rule is broken"),
        Verdict::Consistent => ("good", "Consistent with the records"),
        Verdict::NotChecked => ("unsure", "Not held against records"),
    }
}

fn tiles(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let count = |count: Option<u64>| count.map_or_else(|| "?".to_owned(), |count| count.to_string());
    let Report { started, done, failed, in_doubt, rate_per_sec, latency_ms, reconciliation, .. } = report;
    let ms = |pick: fn(&LatencyMs) -> f64| {
        latency_ms.as_ref().map_or_else(|| "-".to_owned(), |latency| format!("{:.1} ms", pick(latency)))
    };
    let tiles = [
        ("started", started.to_string()),
        ("done", done.to_string()),
        ("failed", failed.to_string()),
        ("in doubt", in_doubt.to_string()),
        ("done per second", format!("{rate_per_sec:.1}")),
        ("p50", ms(|latency| latency.p50)),
        ("p99", ms(|latency| latency.p99)),
        ("slowest", ms(|latency| latency.max)),
        ("lost", count(reconciliation.lost)),
        ("duplicates", count(reconciliation.duplicates)),
    ];
    writeln!(out, "<dl class=\"tiles\">")?;
    for (name, value) in tiles {
        writeln!(out, "<div><dt>{name}</dt><dd>{value}</dd></div>")?;
    }
    writeln!(out, "</dl>")
}

/// What happened, on the time axis of the charts. Clocks of coordinator and generator may differ a little.
fn marks(report: &Report, restarts: &[Restart], passes: &[PassSeen]) -> Vec<Mark> {
    let mut marks = Vec::new();
    for PassSeen { time, duration_ms, iteration, recovered, failed, .. } in passes {
        let Some(at) = since_start(report, *time) else { continue };
        let recovers = recovered.unwrap_or(0) + failed.unwrap_or(0) > 0;
        let number = |count: &Option<u64>| count.map_or_else(|| "?".to_owned(), |count| count.to_string());
        marks.push(Mark {
            class: if recovers { "recovering" } else { "pass" },
            at,
            title: format!(
                "recovery pass {iteration} at {at:.1}s: {} recovered, {} failed, {duration_ms:.0} ms",
                number(recovered),
                number(failed)
            ),
        });
    }
    for Restart { time, pid } in restarts {
        let Some(at) = since_start(report, *time) else { continue };
        let title = format!("coordinator restarted at {at:.1}s, pid {pid}");
        marks.push(Mark { class: "restart", at, title });
    }
    marks
}

/// Seconds from the beginning of the run; absent if it was before that or after its end.
fn since_start(report: &Report, time: Time) -> Option<f64> {
    let at = (time - report.time_started).num_milliseconds() as f64 / 1000.0;
    (0.0..=report.duration_secs).contains(&at).then_some(at)
}

fn charts(out: &mut dyn Write, report: &Report, series: &[Moment], marks: &[Mark]) -> io::Result<()> {
    let middle = |moment: &Moment| moment.at_secs + moment.secs / 2.0;
    // The last slice is as long as the run has been in it.
    let per_second = |moment: &Moment, count: u64| {
        let length = moment.secs.min(report.duration_secs - moment.at_secs).max(moment.secs / 2.0);
        count as f64 / length
    };
    let rates = |pick: fn(&Moment) -> u64| -> Vec<(f64, Option<f64>)> {
        series.iter().map(|moment| (middle(moment), Some(per_second(moment, pick(moment))))).collect()
    };
    let latencies = |pick: fn(&Moment) -> Option<f64>| -> Vec<(f64, Option<f64>)> {
        series.iter().map(|moment| (middle(moment), pick(moment))).collect()
    };
    let (done, failed, doubt) =
        (rates(|moment| moment.done), rates(|moment| moment.failed), rates(|moment| moment.in_doubt));
    let throughput = [
        Line { class: "done", name: "done", points: &done },
        Line { class: "failed", name: "failed", points: &failed },
        Line { class: "doubt", name: "in doubt", points: &doubt },
    ];
    let (p50, p90, p99) = (
        latencies(|moment| moment.p50_ms),
        latencies(|moment| moment.p90_ms),
        latencies(|moment| moment.p99_ms),
    );
    let latency = [
        Line { class: "p50", name: "p50", points: &p50 },
        Line { class: "p90", name: "p90", points: &p90 },
        Line { class: "p99", name: "p99", points: &p99 },
    ];
    writeln!(out, "<h2>Over time</h2>\n<div class=\"charts\">")?;
    let chart = |title, label, scale, lines| {
        let chart = TimeChart { title, label, scale, until: report.duration_secs, lines, marks };
        format!(
            "<figure><h3>{title}</h3>{}<figcaption>{}</figcaption></figure>",
            chart.svg(),
            legend(lines, marks)
        )
    };
    writeln!(out, "{}", chart("Requests per second", per_sec, Scale::Linear, &throughput))?;
    writeln!(out, "{}", chart("Latency of what was done", in_ms, Scale::Logarithmic, &latency))?;
    Ok(())
}

fn per_sec(rate: f64) -> String {
    format!("{}/s", short(rate))
}

fn in_ms(latency: f64) -> String {
    if latency >= 1000.0 { format!("{}s", short(latency / 1000.0)) } else { format!("{}ms", short(latency)) }
}

fn legend(lines: &[Line<'_>], marks: &[Mark]) -> String {
    let mut legend = String::new();
    let mut add = |class: &str, name: &str| {
        write!(legend, "<span class=\"entry\"><span class=\"key {class}\"></span>{name}</span> ")
            .expect("writing to a string cannot fail");
    };
    for line in lines {
        add(line.class, line.name);
    }
    for (class, name) in [("restart", "coordinator restarted"), ("recovering", "recovery pass")] {
        if marks.iter().any(|mark| mark.class == class) {
            add(class, name);
        }
    }
    legend
}

fn reconciliation(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let found: &Reconciliation = &report.reconciliation;
    writeln!(out, "<h2>Held against the records</h2>")?;
    if let Some(reason) = &found.reason {
        return writeln!(out, "<p>Not checked: {}</p>", escape_html(reason));
    }
    let rows = super::blast::reconciliation_rows(found);
    writeln!(out, "<div class=\"scroll\"><table><tbody>")?;
    for (label, count) in rows {
        let count = count.map_or_else(|| "?".to_owned(), |count| count.to_string());
        writeln!(out, "<tr><td>{}</td><td class=\"number\">{count}</td></tr>", label.trim_end_matches(':'))?;
    }
    writeln!(out, "</tbody></table></div>")?;
    for (what, names) in super::blast::bad_names(found) {
        if !names.is_empty() {
            let shown: Vec<_> = names.iter().take(NAMES_SHOWN).map(|name| escape_html(name)).collect();
            let more = names.len().saturating_sub(NAMES_SHOWN);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            writeln!(out, "<p class=\"bad\">{what}: {}{more}</p>", shown.join(", "))?;
        }
    }
    if let Some(SagaOutcomes { succeeded, failed, stuck, abandoned, unfinished, missing }) = report.sagas {
        writeln!(
            out,
            "<p>Their sagas: {succeeded} succeeded, {failed} failed, {stuck} stuck, {abandoned} abandoned, \
             {unfinished} unfinished, {missing} missing.</p>"
        )?;
    }
    Ok(())
}

fn errors(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    if report.errors.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "<h2>Errors</h2>\n<div class=\"scroll\"><table><thead><tr><th>class</th><th class=\"number\">count</th>\
         <th>first</th><th>example</th></tr></thead><tbody>"
    )?;
    for error in &report.errors {
        writeln!(
            out,
            "<tr><td>{}</td><td class=\"number\">{}</td><td class=\"name\">{}</td><td class=\"words\">{}</td></tr>",
            escape_html(&error.class),
            error.count,
            escape_html(&error.name),
            escape_html(&error.example)
        )?;
    }
    writeln!(out, "</tbody></table></div>")
}

fn rules(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    if report.rules.is_empty() {
        return Ok(());
    }
    writeln!(out, "<h2>Rules</h2>\n<div class=\"scroll\"><table><tbody>")?;
    for judged in &report.rules {
        let (class, word) = if judged.broken { ("bad", "broken") } else { ("good", "kept") };
        writeln!(
            out,
            "<tr><td>fail if {}</td><td class=\"number\">{}</td><td class=\"{class}\">{word}</td></tr>",
            escape_html(&judged.rule),
            judged.value.map_or_else(|| "?".to_owned(), short)
        )?;
    }
    writeln!(out, "</tbody></table></div>")
}

/// Restarts, and the passes that had something to do.
fn events(out: &mut dyn Write, report: &Report, restarts: &[Restart], passes: &[PassSeen]) -> io::Result<()> {
    let Some(Seen { restarts: restarted, passes: seen, recovered, recovery_errors }) = report.recovery else {
        return Ok(());
    };
    writeln!(
        out,
        "<h2>The coordinator meanwhile</h2>\n<p>{restarted} restarts, {seen} recovery passes, {recovered} sagas \
         recovered, {recovery_errors} recovery errors.</p>"
    )?;
    let mut events: Vec<(Time, String)> = restarts
        .iter()
        .map(|restart| (restart.time, format!("process {} started", restart.pid)))
        .chain(passes.iter().filter_map(|pass| {
            let (recovered, failed) = (pass.recovered?, pass.failed?);
            (recovered + failed > 0).then(|| {
                let PassSeen { iteration, duration_ms, time, .. } = pass;
                (
                    *time,
                    format!("pass {iteration}: {recovered} recovered, {failed} failed, {duration_ms:.0} ms"),
                )
            })
        }))
        .collect();
    if events.is_empty() {
        return Ok(());
    }
    events.sort_by_key(|(time, _)| *time);
    writeln!(out, "<div class=\"scroll\"><table><tbody>")?;
    for (time, words) in events.iter().take(EVENTS_SHOWN) {
        writeln!(out, "<tr><td>{}</td><td>{words}</td></tr>", time::rfc3339_millis(*time))?;
    }
    writeln!(out, "</tbody></table></div>")
}

#[cfg(test)]
mod tests {
    use super::super::blast::tests::report;
    use super::*;
    use crate::blast::report::Course;
    use crate::blast::stats::Band;
    use crate::observe::recovery::PassResult;
    use crate::wire::bgtasks::ActivationReason;

    fn full() -> Full {
        let report = report();
        let at = |secs: i64| report.time_started + chrono::TimeDelta::seconds(secs);
        let moment = |at_secs: f64, done, p99_ms| Moment {
            at_secs,
            secs: 5.0,
            done,
            failed: 3,
            in_doubt: 1,
            p50_ms: p99_ms,
            p90_ms: p99_ms,
            p99_ms,
            max_ms: p99_ms,
        };
        let pass = |iteration, secs, recovered| PassSeen {
            time: at(secs),
            duration_ms: 8.0,
            iteration,
            reason: ActivationReason::Timeout,
            result: PassResult::Completed,
            recovered: Some(recovered),
            failed: Some(0),
        };
        Full {
            course: Course {
                series: vec![
                    moment(0.0, 500, Some(9.0)),
                    moment(5.0, 0, None),
                    moment(10.0, 370, Some(220.0)),
                ],
                latency_distribution: vec![
                    Band { up_to_ms: 8.0, count: 800 },
                    Band { up_to_ms: 250.0, count: 70 },
                ],
            },
            restarts: vec![Restart { time: at(6), pid: 4711 }],
            passes: vec![pass(3, 1, 0), pass(1, 6, 61), pass(9, 4000, 7)],
            report,
        }
    }

    fn page(full: &Full) -> String {
        let mut page = Vec::new();
        render_page(&mut page, full).expect("written");
        String::from_utf8(page).expect("text")
    }

    #[test]
    fn the_page_has_everything_and_needs_nothing() {
        let page = page(&full());
        for part in [
            "<!DOCTYPE html>",
            "name=\"viewport\"",
            "prefers-color-scheme:dark",
            "@media print",
            "INCONSISTENT with the records",
            "<dt>started</dt><dd>1000</dd>",
            "lost: dummy-1a2b3c-0-1, dummy-1a2b3c-0-2",
            "Their sagas: 881 succeeded",
            "coordinator restarted at 6.0s, pid 4711",
            "pass 1: 61 recovered, 0 failed, 8 ms",
            "fail if errors&gt;1%",
            "<title>How many requests took how long</title>",
        ] {
            assert!(page.contains(part), "{part} is not in {page}");
        }
        assert_eq!(page.matches("<svg ").count(), 3);
        assert_eq!(page.matches("class=\"mark restart\"").count(), 2, "in both charts over time");
        assert!(!page.contains("recovery pass 9 at"), "what was after the run is on no axis of it");
        for elsewhere in ["<script", "<link", "<img", "src=", "@import", "url("] {
            assert!(!page.contains(elsewhere), "{elsewhere} would need something else");
        }
    }

    #[test]
    fn every_element_that_begins_ends() {
        let page = page(&full());
        for element in
            ["div", "figure", "table", "tbody", "tr", "td", "svg", "p", "dl", "header", "span", "title"]
        {
            let begins =
                page.matches(&format!("<{element}>")).count() + page.matches(&format!("<{element} ")).count();
            assert_eq!(begins, page.matches(&format!("</{element}>")).count(), "{element}");
        }
    }

    #[test]
    fn what_a_server_said_is_no_markup_and_no_control() {
        let mut full = full();
        full.report.errors[0].example = "<script>alert(1)</script>\u{1b}[2J".to_owned();
        let page = page(&full);
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[2J"), "{page}");
    }

    #[test]
    fn a_run_without_anything_has_a_page_all_the_same() {
        let mut full = full();
        full.course = Course { series: Vec::new(), latency_distribution: Vec::new() };
        full.report.done = 0;
        full.report.latency_ms = None;
        full.report.reconciliation = Reconciliation::not_checked("nobody answers");
        let page = page(&full);
        assert!(page.contains("Nothing worked") && page.contains("Not checked: nobody answers"));
        assert_eq!(page.matches("<div").count(), page.matches("</div>").count());
    }
}

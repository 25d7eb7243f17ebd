//! The report of `drill crash-points`: one line per kind of saga, then every point that failed.

use crate::drill::crash_points::points::Point;
use crate::drill::crash_points::{KindResult, PointResult, PointVerdict, Report, Totals};
use crate::render::Look;
use crate::render::escape::escape;
use crate::render::style::Style;
use crate::render::table::{Cell, Column, Table};
use crate::render::time;
use std::io::{self, Write};
use std::time::Duration;

const COLUMNS: [Column; 6] = [
    Column::text("SAGA"),
    Column::number("NODES"),
    Column::number("CRASHES"),
    Column::number("NO_DIFFERENCE"),
    Column::number("FAILED"),
    Column::number("NOT_REACHED"),
];

/// Points that failed and are told in full; the JSON has them all.
const SHOWN_FAILURES: usize = 20;

/// The whole report.
pub fn render_report(out: &mut dyn Write, look: &Look, report: &Report) -> io::Result<()> {
    let Report { verdict, mode: _, duration_secs, totals, sagas, points, kept, kept_schemas } = report;
    let mut table = Table::new(&COLUMNS);
    for KindResult { saga, nodes, totals, problems: _ } in sagas {
        table.push(row(saga, Some(*nodes), *totals));
    }
    table.push(row("all", None, *totals));
    table.render(look, out)?;
    for KindResult { saga, problems, .. } in sagas {
        for problem in problems {
            writeln!(out, "{}: {}", escape(saga), escape(problem))?;
        }
    }
    let failures: Vec<_> = points.iter().filter(|point| point.verdict != PointVerdict::Ok).collect();
    for result in failures.iter().take(SHOWN_FAILURES) {
        render_failure(out, look, result)?;
    }
    if failures.len() > SHOWN_FAILURES {
        writeln!(out, "... and {} more; -o json has them all", failures.len() - SHOWN_FAILURES)?;
    }
    if let Some(kept) = kept {
        writeln!(out, "the scratch directory is {}", kept.display())?;
    }
    for schema in kept_schemas {
        writeln!(out, "a schema that runs started from is {schema}")?;
    }
    let took = time::measured(Duration::from_secs_f64(*duration_secs));
    let (style, text) = match verdict {
        PointVerdict::Ok => (Style::Good, "no crash made a difference"),
        PointVerdict::Fail | PointVerdict::NotReached => (Style::Failed, "FAILED"),
    };
    writeln!(out, "{}: {} crashes in {took}", look.paint.apply(style, text), totals.crashes)
}

fn row(name: &str, nodes: Option<usize>, totals: Totals) -> Vec<Cell> {
    let Totals { points: _, crashes, ok, failed, not_reached, lost: _, duplicated: _, illegal: _ } = totals;
    vec![
        Cell::new(name),
        Cell::or_absent(nodes),
        Cell::new(crashes),
        Cell::new(ok),
        Cell::new(failed).styled_if(failed > 0, Style::Failed),
        Cell::new(not_reached).styled_if(not_reached > 0, Style::Failed),
    ]
}

fn render_failure(out: &mut dyn Write, look: &Look, result: &PointResult) -> io::Result<()> {
    let PointResult { point, strict, verdict, problems, rows, recovered_in_ms: _ } = result;
    let Point { saga, node_id, node, direction, moment, failing: _, failing_node } = point;
    let word = match verdict {
        PointVerdict::NotReached => "not reached",
        PointVerdict::Ok | PointVerdict::Fail => "FAILED",
    };
    write!(
        out,
        "\n{}: {}, node {node_id} {}, {direction}, {moment}",
        look.paint.apply(Style::Failed, word),
        escape(saga),
        escape(node)
    )?;
    if let Some(failing) = failing_node {
        write!(out, ", unwinding from {}", escape(failing))?;
    }
    writeln!(out, "{}", if *strict { ", run strictly" } else { "" })?;
    for problem in problems {
        writeln!(out, "    {}", escape(problem))?;
    }
    for rows in rows {
        writeln!(out, "    {}", escape(&rows.to_string()))?;
    }
    Ok(())
}

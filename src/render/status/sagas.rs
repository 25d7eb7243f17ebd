//! The part of `status` that the database tells: which sagas failed, and how many there are of which kind.

use super::super::escape::excerpt;
use super::super::sagas::{count_table, field, outcome_cell};
use super::super::style::Style;
use super::super::table::{Cell, Column, Table};
use super::super::{Limit, Look, time};
use super::escape;
use crate::observe::database::{Counted, SagaCounts};
use crate::observe::sagas::count::Key;
use crate::observe::status::{SeenBy, SeenDatabase};
use crate::wire::overview::{FailedNode, ListedSaga};
use std::io::{self, Write};

/// Errors are cut to so many characters even where there is room.
const LONGEST_ERROR: usize = 400;

/// How far tables stand to the right, like those of the task above.
const HEADING_INDENT: &str = "    ";
const TABLE_INDENT: usize = 6;

const FAILED_COLUMNS: [Column; 7] = [
    Column::text("TIME"),
    Column::text("SAGA_ID"),
    Column::message("NAME", 8),
    Column::text("OUTCOME"),
    Column::message("FAILED_NODE", 11),
    Column::message("ERROR", 12),
    Column::message("UNDO_ERROR", 10),
];

/// Writes which database it is and who looked at it.
pub(super) fn render_heading(
    out: &mut dyn Write,
    look: &Look,
    database: Option<&SeenDatabase>,
) -> io::Result<()> {
    let source = database.map_or_else(String::new, |database| format!(" {}", escape(&database.source)));
    let heading = format!("database:{source}");
    let seen_by = "as the coordinator sees it";
    let fits = look.width.is_none_or(|width| heading.chars().count() + 2 + seen_by.len() <= width);
    write!(out, "\n{}", look.paint.apply(Style::Heading, &heading))?;
    match database.map(|database| database.seen_by) {
        Some(SeenBy::Coordinator) if fits => writeln!(out, ", {seen_by}"),
        Some(SeenBy::Coordinator) => writeln!(out, "\n{HEADING_INDENT}{seen_by}"),
        Some(SeenBy::Sagactl) | None => writeln!(out),
    }
}

/// Writes both parts, as far as there are any.
pub(super) fn render_database(
    out: &mut dyn Write,
    look: &Look,
    failed: Option<&[ListedSaga]>,
    sagas: Option<&SagaCounts>,
    limit: Limit,
) -> io::Result<()> {
    if let Some(failed) = failed {
        render_failed(out, look, failed, limit)?;
    }
    if let Some(SagaCounts { source: _, unfinished, newest }) = sagas {
        let extent = if unfinished.complete { "" } else { "at least " };
        let heading = format!("unfinished sagas ({extent}{})", unfinished.counted);
        render_groups(
            out,
            look,
            &heading,
            "no unfinished sagas",
            &[Key::Name, Key::State],
            unfinished,
            limit,
        )?;
        let heading = match newest.complete {
            true => format!("all sagas ({})", newest.counted),
            false => format!("newest {} sagas", newest.counted),
        };
        let keys = [Key::Name, Key::State, Key::Outcome];
        render_groups(out, look, &heading, "no sagas", &keys, newest, limit)?;
    }
    Ok(())
}

fn render_failed(out: &mut dyn Write, look: &Look, failed: &[ListedSaga], limit: Limit) -> io::Result<()> {
    if failed.is_empty() {
        return writeln!(out, "{HEADING_INDENT}no failed sagas");
    }
    let shown = limit.of(failed.len());
    let count = match shown < failed.len() {
        true => format!("newest {shown} of {}; --limit shows more", failed.len()),
        false => failed.len().to_string(),
    };
    heading(out, look, &format!("recently failed sagas ({count})"))?;
    let mut table = Table::new(&FAILED_COLUMNS).indented(TABLE_INDENT);
    for saga in &failed[..shown] {
        table.push(failed_row(look, saga));
    }
    // Most failures were unwound, and then room is worth more than a column that says so.
    if failed[..shown].iter().all(|saga| saga.undo_failed.is_none()) {
        let titles: Vec<String> = table.titles().into_iter().filter(|title| title != "UNDO_ERROR").collect();
        table = table.select(&titles).expect("its own columns");
    }
    // On a narrow terminal what went wrong is worth more than when it did.
    table.fit(look, &["TIME", "NAME"]).0.render(look, out)
}

fn failed_row(look: &Look, saga: &ListedSaga) -> Vec<Cell> {
    let ListedSaga {
        saga_id,
        name,
        state: _,
        outcome,
        current_sec: _,
        created: _,
        last_event,
        nodes_done: _,
        nodes_total: _,
        failed,
        undo_failed,
    } = saga;
    let error = |failed: &Option<FailedNode>| match failed {
        None => Cell::absent(),
        Some(FailedNode { error: None, .. }) => Cell::new("(not recorded)"),
        Some(FailedNode { error: Some(error), .. }) => Cell::new(excerpt(error, LONGEST_ERROR)),
    };
    vec![
        field(last_event, |last_event| time::when(look, *last_event)),
        Cell::new(saga_id),
        field(name, |name| excerpt(name, 128)),
        outcome_cell(*outcome),
        Cell::or_unknown(failed.as_ref().map(|failed| &failed.node)),
        error(failed),
        error(undo_failed),
    ]
}

fn render_groups(
    out: &mut dyn Write,
    look: &Look,
    title: &str,
    none: &str,
    keys: &[Key],
    counted: &Counted,
    limit: Limit,
) -> io::Result<()> {
    if counted.groups.is_empty() {
        return writeln!(out, "{HEADING_INDENT}{none}");
    }
    let shown = limit.of(counted.groups.len());
    let all = counted.groups.len();
    let cut =
        if shown < all { format!(", {shown} of {all} kinds; --limit shows more") } else { String::new() };
    heading(out, look, &format!("{title}{cut}"))?;
    count_table(keys, &counted.groups[..shown]).indented(TABLE_INDENT).render(look, out)
}

fn heading(out: &mut dyn Write, look: &Look, title: &str) -> io::Result<()> {
    writeln!(out, "{HEADING_INDENT}{}", look.paint.apply(Style::Heading, format!("{title}:")))
}

//! `sagas list`, `count`, `find` and `slow`: their tables.

use super::escape::excerpt;
use super::style::Style;
use super::table::{Cell, Column, Table};
use super::{Look, time};
use crate::observe::sagas::count::{EventCounts, Group, Key};
use crate::observe::sagas::find::Hit;
use crate::observe::sagas::slow;
use crate::saga_log::summary::{Identity, NodeShape};
use crate::wire::field::Field;
use crate::wire::overview::{FailedNode, ListedSaga, Shared};
use crate::wire::sagas::Outcome;
use std::io::{self, Write};

/// Names and errors are cut to so many characters even where there is room: a database may hold anything.
const LONGEST_NAME: usize = 128;
const LONGEST_ERROR: usize = 400;

const COLUMNS: [Column; 11] = [
    Column::text("CREATED"),
    Column::text("SAGA_ID"),
    Column::message("NAME", 12),
    Column::text("STATE"),
    Column::text("OUTCOME"),
    Column::text("OWNER"),
    Column::number("PROGRESS"),
    Column::text("LAST_EVENT"),
    Column::message("FAILED_NODE", 11),
    Column::message("ERROR", 20),
    Column::message("UNDO_ERROR", 20),
];

/// Columns that are shown unless others are asked for.
pub const USUAL: [&str; 8] =
    ["created", "saga_id", "name", "state", "outcome", "owner", "progress", "last_event"];

/// The same when it is failures that one looks for.
pub const USUAL_FAILING: [&str; 8] =
    ["created", "saga_id", "name", "state", "outcome", "failed_node", "error", "undo_error"];

/// What makes room on a narrow terminal, in this order. What is left says which saga and how it is doing.
pub const LEAST_IMPORTANT: [&str; 5] = ["OWNER", "CREATED", "UNDO_ERROR", "LAST_EVENT", "PROGRESS"];

/// A table of sagas with every column there is.
pub fn saga_table<'s>(look: &Look, sagas: impl IntoIterator<Item = &'s ListedSaga>) -> Table {
    let mut table = Table::new(&COLUMNS);
    for saga in sagas {
        table.push(row(look, saga));
    }
    table
}

fn row(look: &Look, saga: &ListedSaga) -> Vec<Cell> {
    let ListedSaga {
        saga_id,
        name,
        state,
        outcome,
        current_sec,
        created,
        last_event,
        nodes_done,
        nodes_total,
        failed,
        undo_failed,
    } = saga;
    vec![
        field(created, |created| time::when(look, *created)),
        Cell::new(saga_id),
        field(name, |name| excerpt(name, LONGEST_NAME)),
        field(state, Clone::clone)
            .styled_if(state.value().is_some_and(|state| state == "abandoned"), Style::Warning),
        outcome_cell(*outcome),
        field(current_sec, ToString::to_string),
        progress(*nodes_done, *nodes_total),
        field(last_event, |last_event| time::when(look, *last_event)),
        Cell::or_absent(failed.as_ref().map(|failed| &failed.node)),
        error(failed.as_ref()),
        error(undo_failed.as_ref()),
    ]
}

/// A table of groups, with a column for each key.
pub fn count_table(keys: &[Key], groups: &[Group]) -> Table {
    let mut columns: Vec<Column> = keys
        .iter()
        .map(|key| match key {
            Key::Name => Column::message("NAME", 12),
            Key::State => Column::text("STATE"),
            Key::Outcome => Column::text("OUTCOME"),
            Key::Node => Column::message("NODE", 12),
            Key::Error => Column::message("ERROR", 20),
            Key::Sec => Column::text("SEC"),
            Key::Reason => Column::text("REASON"),
        })
        .collect();
    columns.push(Column::number("COUNT"));
    let mut table = Table::new(&columns);
    for Group { shared, count } in groups {
        let mut row: Vec<Cell> = shared
            .iter()
            .map(|(key, shared)| match shared {
                Shared::Known(text) if *key == Key::Error => Cell::new(excerpt(text, LONGEST_ERROR)),
                Shared::Known(text) => Cell::new(excerpt(text, LONGEST_NAME)),
                Shared::Absent => Cell::absent(),
                Shared::Unknown => Cell::unknown(),
                Shared::Other => Cell::new("(other)"),
            })
            .collect();
        row.push(Cell::new(count));
        table.push(row);
    }
    table
}

/// Writes how many events there are of each type, and whether they add up.
pub fn render_events(out: &mut dyn Write, look: &Look, counts: &EventCounts) -> io::Result<()> {
    let EventCounts { events, identities } = counts;
    let mut table = Table::new(&[Column::text("EVENT"), Column::number("COUNT")]);
    // In the order in which a node has them; what we do not know comes last.
    let known = NodeShape::EVENT_TYPES.iter().filter_map(|&known| events.get_key_value(known));
    let unknown = events.iter().filter(|(event, _)| !NodeShape::EVENT_TYPES.contains(&event.as_str()));
    for (event, count) in known.chain(unknown) {
        table.push(vec![Cell::new(excerpt(event, LONGEST_NAME)), Cell::new(count)]);
    }
    table.render(look, out)?;
    writeln!(out)?;
    for Identity { begun, begun_count, ended, holds } in identities {
        let ends: Vec<String> = ended.iter().map(|(end, count)| format!("{count} {end}")).collect();
        let (style, verdict) = match holds {
            true => (Style::Good, "adds up".to_owned()),
            false => {
                let all: u64 = ended.iter().map(|(_, count)| count).sum();
                (Style::Failed, format!("does NOT add up: {begun_count} against {all}"))
            }
        };
        writeln!(out, "{begun_count} {begun} = {}: {}", ends.join(" + "), look.paint.apply(style, verdict))?;
    }
    Ok(())
}

/// A table of places where something was found.
pub fn hit_table<'h>(look: &Look, hits: impl IntoIterator<Item = &'h Hit>) -> Table {
    let mut table = Table::new(&[
        Column::text("CREATED"),
        Column::text("SAGA_ID"),
        Column::message("NAME", 8),
        Column::text("STATE"),
        Column::text("WHERE"),
        Column::message("NODE", 8),
        Column::message("EXCERPT", 20),
    ]);
    for Hit { saga_id, name, state, created, place, node, time: _, excerpt: around } in hits {
        table.push(vec![
            field(created, |created| time::when(look, *created)),
            Cell::new(saga_id),
            field(name, |name| excerpt(name, LONGEST_NAME)),
            field(state, Clone::clone),
            Cell::new(place.as_str()),
            Cell::or_absent(node.as_ref()),
            Cell::or_absent(around.as_ref()),
        ]);
    }
    table
}

/// Writes what is slow: a table per question.
pub fn render_slow(out: &mut dyn Write, look: &Look, report: &slow::Report) -> io::Result<()> {
    let slow::Report { sagas, unreadable: _, is_cut: _, nodes, slowest, gaps } = report;
    let heading =
        |out: &mut dyn Write, text: String| writeln!(out, "{}", look.paint.apply(Style::Heading, text));
    if nodes.is_empty() && slowest.is_empty() {
        return writeln!(out, "nothing ran in {sagas} sagas");
    }
    heading(out, format!("nodes of {sagas} sagas, by p90:"))?;
    let mut table = Table::new(&[
        Column::message("NAME", 12),
        Column::message("NODE", 12),
        Column::text("ACTION"),
        Column::number("COUNT"),
        Column::number("P50"),
        Column::number("P90"),
        Column::number("P99"),
        Column::number("MAX"),
    ]);
    for slow::NodeTimes { name, node, undo, count, p50_ms, p90_ms, p99_ms, max_ms } in nodes {
        table.push(vec![
            Cell::new(excerpt(name, LONGEST_NAME)),
            Cell::new(excerpt(node, LONGEST_NAME)),
            Cell::new(action(*undo)),
            Cell::new(count),
            took(*p50_ms),
            took(*p90_ms),
            took(*p99_ms),
            took(*max_ms),
        ]);
    }
    table.indented(2).render(look, out)?;
    if !slowest.is_empty() {
        heading(out, "slowest runs:".to_owned())?;
        let mut table = Table::new(&[
            Column::number("TOOK"),
            Column::message("NODE", 12),
            Column::text("ACTION"),
            Column::text("SAGA_ID"),
            Column::message("NAME", 8),
            Column::text("STARTED"),
        ]);
        for slow::SlowNode { took_ms, ended, saga_id, name, node, undo, started } in slowest {
            let took = match ended {
                true => took(*took_ms),
                false => Cell::new(format!("{} and on", in_words(*took_ms))).styled(Style::Warning),
            };
            table.push(vec![
                took,
                Cell::new(excerpt(node, LONGEST_NAME)),
                Cell::new(action(*undo)),
                Cell::new(saga_id),
                Cell::new(excerpt(name, LONGEST_NAME)),
                Cell::new(time::when(look, *started)),
            ]);
        }
        table.indented(2).render(look, out)?;
    }
    if !gaps.is_empty() {
        heading(out, "longest gaps:".to_owned())?;
        let mut table = Table::new(&[
            Column::number("TOOK"),
            Column::message("AFTER", 8),
            Column::message("BEFORE", 8),
            Column::text("SAGA_ID"),
            Column::message("NAME", 8),
            Column::text("FROM"),
        ]);
        for slow::LongGap { took_ms, saga_id, name, after, before, from } in gaps {
            table.push(vec![
                took(*took_ms),
                Cell::new(excerpt(after, LONGEST_NAME)),
                Cell::new(excerpt(before, LONGEST_NAME)),
                Cell::new(saga_id),
                Cell::new(excerpt(name, LONGEST_NAME)),
                Cell::new(time::when(look, *from)),
            ]);
        }
        table.indented(2).render(look, out)?;
    }
    Ok(())
}

fn action(is_undo: bool) -> &'static str {
    if is_undo { "undo" } else { "do" }
}

fn took(millis: f64) -> Cell {
    Cell::new(in_words(millis))
}

fn in_words(millis: f64) -> String {
    let duration = std::time::Duration::try_from_secs_f64(millis / 1000.0).unwrap_or_default();
    time::measured(duration)
}

/// How a saga ended, or `-` if it has not.
pub fn outcome_cell(outcome: Option<Outcome>) -> Cell {
    match outcome {
        None => Cell::absent(),
        Some(outcome @ Outcome::Unknown) => Cell::new(outcome),
        Some(outcome @ Outcome::Succeeded) => Cell::new(outcome).styled(Style::Good),
        Some(outcome @ Outcome::Failed) => Cell::new(outcome).styled(Style::Warning),
        Some(outcome @ Outcome::Stuck) => Cell::new(outcome).styled(Style::Failed),
    }
}

fn progress(done: Option<u64>, total: Option<u64>) -> Cell {
    match (done, total) {
        (None, None) => Cell::unknown(),
        (done, total) => {
            let number =
                |number: Option<u64>| number.map_or_else(|| "?".to_owned(), |number| number.to_string());
            Cell::new(format!("{}/{}", number(done), number(total)))
        }
    }
}

fn error(failed: Option<&FailedNode>) -> Cell {
    match failed {
        None => Cell::absent(),
        // Something failed, and why was not written down.
        Some(FailedNode { error: None, .. }) => Cell::unknown(),
        Some(FailedNode { error: Some(error), .. }) => Cell::new(excerpt(error, LONGEST_ERROR)),
    }
}

/// A stored value: `-` for NULL, `?` for a column that is not there, and what cannot be read as it is, marked.
pub fn field<T>(field: &Field<T>, show: impl FnOnce(&T) -> String) -> Cell {
    match field {
        Field::Value(value) => Cell::new(show(value)),
        Field::Null => Cell::absent(),
        Field::NoColumn => Cell::unknown(),
        Field::Unreadable { raw, reason: _ } => {
            Cell::new(format!("?{}", excerpt(raw, 40))).styled(Style::Failed)
        }
    }
}

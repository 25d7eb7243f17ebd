//! `sagas list`, one saga a line, and `sagas count`, one group a line.

use super::escape::excerpt;
use super::style::Style;
use super::table::{Cell, Column, Table};
use super::{Look, time};
use crate::observe::sagas::count::{EventCounts, Group, Key, Shared};
use crate::observe::sagas::{FailedNode, ListedSaga};
use crate::saga_log::record::Field;
use crate::saga_log::summary::{Identity, NodeShape, Outcome};
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
            .map(|(_, shared)| match shared {
                Shared::Known(text) => Cell::new(excerpt(text, LONGEST_ERROR)),
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

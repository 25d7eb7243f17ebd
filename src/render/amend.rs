//! What an operator's change to sagas will do, and what became of it.

use super::escape::{escape, excerpt};
use super::table::{Cell, Column, Table};
use super::text::write_wrapped;
use super::{Look, time};
use crate::amend::reassign::{self, Moved};
use crate::amend::{Plan, Writes};
use crate::observe::why::{Liveness, Owner};
use crate::saga_log::legality::NodeRef;
use std::io::{self, Write};

/// Columns of the words before each line, with a blank after the longest.
const LEAD: usize = 15;

/// Characters of a name that are shown; a database may hold anything.
const LONGEST_NAME: usize = 128;

/// Sagas of a reassignment that are listed one by one.
const MOST_LISTED: usize = 20;

const FATES: [Column; 4] =
    [Column::text("SAGA_ID"), Column::text("NAME"), Column::text("OUTCOME"), Column::message("MESSAGE", 12)];

/// Writes what will be done to one saga.
pub fn render_plan(out: &mut dyn Write, look: &Look, plan: &Plan) -> io::Result<()> {
    let Plan { saga_id, name, seen, owner, last_event, writes, not_undone, cut_off, warnings } = plan;
    let verb = match writes {
        Writes::Abandon { .. } => "abandon",
        Writes::InjectError { .. } => "inject an error into",
    };
    writeln!(out, "plan: {verb} saga {saga_id} {}", shown_name(name.as_deref()))?;
    let last =
        last_event.map_or("no event yet".to_owned(), |at| format!("last event {}", time::when(look, at)));
    line(out, look, "it is:", &format!("{}, {last}", seen.state))?;
    line(out, look, "its owner:", &format!("{}, generation {}", owner_words(owner), seen.adopt_generation))?;
    match writes {
        Writes::Abandon { reason, comment, .. } => {
            let mut text = "state abandoned".to_owned();
            if let Some(reason) = reason {
                text.push_str(&format!(", reason {reason}"));
            }
            if let Some(comment) = comment {
                text.push_str(&format!(", comment: {comment}"));
            }
            line(out, look, "writes:", &text)?;
            line(out, look, "not undone:", &listed(not_undone))?;
            line(out, look, "cut off:", &listed(cut_off))?;
        }
        Writes::InjectError { nodes, message, .. } => {
            let text = format!("event failed of {}: {message}", listed(nodes));
            line(out, look, "writes:", &text)?;
        }
    }
    warnings.iter().try_for_each(|warning| line(out, look, "mind:", warning))
}

/// Writes which sagas will change hands.
pub fn render_reassignment(out: &mut dyn Write, look: &Look, plan: &reassign::Plan) -> io::Result<()> {
    let reassign::Plan { to, time: _, moves, others, owners, warnings } = plan;
    writeln!(out, "plan: reassign {} to SEC {to}", sagas(moves.len()))?;
    for owner in owners {
        let count = moves.iter().filter(|planned| planned.from == owner.sec_id).count();
        line(out, look, "from:", &format!("{}: {}", owner_words(owner), sagas(count)))?;
    }
    for planned in moves.iter().take(MOST_LISTED) {
        let name = shown_name(planned.name.as_deref());
        let generation = planned.adopt_generation;
        let text = format!(
            "{} {name}, {}, generation {generation} becomes {}",
            planned.saga_id,
            planned.state,
            generation.saturating_add(1)
        );
        line(out, look, "moves:", &text)?;
    }
    if moves.len() > MOST_LISTED {
        line(out, look, "", &format!("and {} more, which --output json lists", moves.len() - MOST_LISTED))?;
    }
    if !others.is_empty() {
        line(out, look, "leaves alone:", &sagas(others.len()))?;
    }
    if !moves.is_empty() {
        line(out, look, "then:", "the new owner's next recovery pass takes them up")?;
    }
    warnings.iter().try_for_each(|warning| line(out, look, "mind:", warning))
}

/// What became of sagas, as a table.
pub fn fate_table<'m>(moved: impl Iterator<Item = (&'m Moved, &'m str)>) -> Table {
    let mut table = Table::new(&FATES);
    for (moved, outcome) in moved {
        let Moved { saga_id, name, fate: _, message } = moved;
        table.push(vec![
            Cell::new(saga_id),
            Cell::or_unknown(name.as_ref()),
            Cell::new(outcome),
            Cell::or_absent(message.as_ref()),
        ]);
    }
    table
}

/// So many sagas, in words.
pub fn sagas(count: usize) -> String {
    format!("{count} saga{}", if count == 1 { "" } else { "s" })
}

/// A saga's name, made harmless.
pub fn shown_name(name: Option<&str>) -> String {
    name.map_or("?".to_owned(), |name| excerpt(name, LONGEST_NAME))
}

fn owner_words(owner: &Owner) -> String {
    let who = owner.sec_id.map_or("nobody".to_owned(), |sec| format!("SEC {sec}"));
    let how = match owner.liveness {
        Liveness::Alive => "alive",
        Liveness::Dead => "does not answer",
        Liveness::Gone if owner.sec_id.is_none() => return who,
        Liveness::Gone => "gone for good",
        Liveness::Unknown => "nobody knows whether it is down",
        Liveness::NotAsked => "not asked",
    };
    format!("{who} ({how})")
}

fn listed(nodes: &[NodeRef]) -> String {
    match nodes {
        [] => "nothing".to_owned(),
        nodes => nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

fn line(out: &mut dyn Write, look: &Look, head: &str, text: &str) -> io::Result<()> {
    let head = format!("  {:<width$}", escape(head), width = LEAD - 2);
    write_wrapped(out, look, &head, LEAD, text)
}

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
        Writes::InjectError { .. } | Writes::TellOwner { .. } => "inject an error into",
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
        Writes::TellOwner { nodes, at } => {
            line(
                out,
                look,
                "tells:",
                &format!("its owner at {at}, which runs it, to fail {}", listed(nodes)),
            )?;
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
        line(out, look, "left alone:", &sagas(others.len()))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amend::reassign::{Fate, Move};
    use crate::store::amend::Seen;
    use crate::wire::ids::{SagaId, SecId};
    use crate::wire::time::Time;

    fn at(secs: i64) -> Time {
        Time::from_timestamp(1_800_000_000 + secs, 0).expect("a time")
    }

    fn sec(number: u128) -> SecId {
        SecId::from_uuid(uuid::Uuid::from_u128(number))
    }

    fn saga(number: u128) -> SagaId {
        SagaId::from_uuid(uuid::Uuid::from_u128(number))
    }

    fn owner() -> Owner {
        Owner {
            sec_id: Some(sec(1)),
            liveness: Liveness::Dead,
            address: None,
            heartbeat: None,
            generation: Some(3),
        }
    }

    fn node(number: i64, name: &str) -> NodeRef {
        NodeRef { node_id: number, name: name.to_owned() }
    }

    fn text(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).expect("memory takes it all");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_plan_says_what_is_written_and_what_stays() {
        let plan = Plan {
            saga_id: saga(7),
            name: Some("de\u{1b}mo".to_owned()),
            seen: Seen {
                id: saga(7),
                state: "running".to_owned(),
                current_sec: Some(sec(1)),
                adopt_generation: 3,
                events: 5,
            },
            owner: owner(),
            last_event: Some(at(-60)),
            writes: Writes::Abandon {
                time: at(0),
                reason: Some("omdb"),
                comment: Some("ticket 9".to_owned()),
            },
            not_undone: vec![node(0, "a"), node(1, "sub/b")],
            cut_off: vec![node(2, "c")],
            warnings: vec!["beware".to_owned()],
        };
        let look = Look::plain(at(0));
        assert_eq!(
            text(|out| render_plan(out, &look, &plan)),
            "plan: abandon saga 00000000-0000-0000-0000-000000000007 de\\x1bmo\n\
             \x20 it is:       running, last event 2027-01-15T07:59:00.000Z\n\
             \x20 its owner:   SEC 00000000-0000-0000-0000-000000000001 (does not answer), generation 3\n\
             \x20 writes:      state abandoned, reason omdb, comment: ticket 9\n\
             \x20 not undone:  node 0 a, node 1 sub/b\n\
             \x20 cut off:     node 2 c\n\
             \x20 mind:        beware\n"
        );
        let writes =
            Writes::InjectError { nodes: vec![node(2, "c")], message: "stop".to_owned(), time: at(0) };
        let inject = text(|out| render_plan(out, &look, &Plan { writes, ..plan.clone() }));
        assert!(inject.starts_with("plan: inject an error into saga 0"), "{inject}");
        assert!(inject.contains("\n  writes:      event failed of node 2 c: stop\n"), "{inject}");
        let writes = Writes::TellOwner { nodes: vec![node(2, "c")], at: "http://h:1".to_owned() };
        let tell = text(|out| render_plan(out, &look, &Plan { writes, ..plan.clone() }));
        let told = "\n  tells:       its owner at http://h:1, which runs it, to fail node 2 c\n";
        assert!(tell.starts_with("plan: inject an error into saga 0") && tell.contains(told), "{tell}");
    }

    #[test]
    fn a_reassignment_lists_some_and_counts_all() {
        let planned = |number| Move {
            saga_id: saga(number),
            name: Some("demo".to_owned()),
            state: "running".to_owned(),
            from: Some(sec(1)),
            adopt_generation: 4,
        };
        let other = Moved { saga_id: saga(99), name: None, fate: Fate::AtRest, message: None };
        let plan = reassign::Plan {
            to: sec(2),
            time: at(0),
            moves: (0..23).map(planned).collect(),
            others: vec![other.clone()],
            owners: vec![owner()],
            warnings: Vec::new(),
        };
        let look = Look::plain(at(0));
        let shown = text(|out| render_reassignment(out, &look, &plan));
        assert!(
            shown.starts_with("plan: reassign 23 sagas to SEC 00000000-0000-0000-0000-000000000002\n"),
            "{shown}"
        );
        for line in [
            "  from:        SEC 00000000-0000-0000-0000-000000000001 (does not answer): 23 sagas\n",
            "  moves:       00000000-0000-0000-0000-000000000013 demo, running, generation 4 becomes 5\n",
            "               and 3 more, which --output json lists\n",
            "  left alone:  1 saga\n",
        ] {
            assert!(shown.contains(line), "{line}{shown}");
        }
        let table = text(|out| fate_table([(&other, "at rest")].into_iter()).render(&look, out));
        assert!(table.contains("00000000-0000-0000-0000-000000000063  ?     at rest  -"), "{table}");
    }
}

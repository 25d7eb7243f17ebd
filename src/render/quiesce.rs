//! Who is draining, and what keeps them.

use super::escape::{escape, excerpt};
use super::style::Style;
use super::table::{Cell, Column, Table};
use super::text::write_wrapped;
use super::{Look, time};
use crate::observe::quiesce::{Blocker, Quiescence, SecQuiescence, State, Total};
use crate::wire::quiesce::{Refused, SagasAllowed};
use crate::wire::time::Time;
use std::io::{self, Write};

const COLUMNS: [Column; 9] = [
    Column::text("SEC"),
    Column::text("STATE"),
    Column::text("NEW_SAGAS"),
    Column::number("PENDING"),
    Column::text("OLDEST"),
    Column::text("REQUESTED"),
    Column::text("QUIESCED"),
    Column::number("REFUSED"),
    Column::message("URL", 12),
];

/// Characters of a text of a coordinator's that are shown in a line.
const LONGEST: usize = 200;

/// Coordinators as a table, for whoever writes it to choose columns from.
pub fn quiesce_table(look: &Look, quiescence: &Quiescence) -> Table {
    let mut table = Table::new(&COLUMNS);
    for sec in &quiescence.secs {
        let SecQuiescence {
            sec_id,
            url,
            state,
            time_requested,
            time_quiesced,
            new_sagas_allowed,
            sagas_pending,
            oldest_pending,
            refused,
            error: _,   // told below the table
            details: _, // JSON only
            status: _,  // what all of this is from
        } = sec;
        let is_known = !matches!(state, State::NotOffered | State::NoAnswer);
        let or_nothing = |text: Option<String>| match is_known {
            true => Cell::or_absent(text),
            false => Cell::or_unknown(text),
        };
        let when = |at: Option<Time>| or_nothing(at.map(|at| time::when(look, at)));
        let style = match state {
            State::Running | State::Quiesced => Style::Good,
            State::Undetermined | State::DrainingSagas | State::DrainingDb | State::RecordingQuiesce => {
                Style::Warning
            }
            State::NotOffered | State::NoAnswer => Style::Failed,
        };
        table.push(vec![
            Cell::or_unknown(*sec_id),
            Cell::new(state).styled(style),
            Cell::or_unknown(new_sagas_allowed.map(|allowed| match allowed {
                SagasAllowed::Allowed => "taken",
                SagasAllowed::DisallowedQuiesce | SagasAllowed::DisallowedUnknown => "refused",
            })),
            Cell::or_unknown(*sagas_pending),
            when(*oldest_pending),
            when(*time_requested),
            when(*time_quiesced),
            or_nothing(refused.map(|Refused { count, .. }| count.to_string())),
            Cell::new(url),
        ]);
    }
    table
}

/// The sums in a line.
pub fn render_total(out: &mut dyn Write, total: &Total) -> io::Result<()> {
    let Total { secs, running, draining, quiesced, unknown, sagas_pending } = total;
    let unknown = if *unknown == 0 { String::new() } else { format!(", {unknown} of whom nobody knows") };
    writeln!(
        out,
        "in all: {secs} SEC{}: {running} running, {draining} draining, {quiesced} quiesced{unknown}; {sagas_pending} sagas pending",
        if *secs == 1 { "" } else { "s" }
    )
}

/// Writes what keeps a coordinator from having quiesced.
pub fn render_blockers(
    out: &mut dyn Write,
    look: &Look,
    sec: &SecQuiescence,
    blockers: &[Blocker],
) -> io::Result<()> {
    let who = sec.sec_id.map_or("SEC ?".to_owned(), |sec_id| format!("SEC {sec_id}"));
    let head = format!("{who} at {}: {}", escape(&sec.url), sec.state);
    writeln!(out, "{}", look.paint.apply(Style::Heading, head))?;
    if blockers.is_empty() {
        return writeln!(out, "  nothing: it has quiesced");
    }
    let sagas = blockers.iter().filter(|blocker| matches!(blocker, Blocker::Saga { .. })).count();
    let is_told = sec.status.is_some();
    if is_told && sagas == 0 {
        // The first thing that everybody looks for.
        writeln!(out, "  not sagas: none is pending")?;
    }
    blockers.iter().try_for_each(|blocker| write_wrapped(out, look, "  - ", 4, &in_words(look, blocker)))
}

fn in_words(look: &Look, blocker: &Blocker) -> String {
    match blocker {
        Blocker::NotRequested => "nobody has asked it to; `sagactl quiesce start` does".to_owned(),
        Blocker::Undetermined => "it does not know yet whether it is to take sagas".to_owned(),
        Blocker::Saga { saga_id, name, since, age_secs: _, recovered, node, verdict } => {
            let name = excerpt(name, LONGEST);
            let how = if *recovered { "recovered" } else { "created" };
            let at =
                node.as_ref().map_or(String::new(), |node| format!(", at node {}", excerpt(node, LONGEST)));
            let verdict = verdict.as_ref().map_or(String::new(), |verdict| format!(": {verdict}"));
            format!("saga {saga_id} {name}, {how} here {}{at}{verdict}", time::when(look, *since))
        }
        Blocker::FirstRecovery => {
            "no recovery pass has succeeded since it started, so there may be sagas that it does not know of"
                .to_owned()
        }
        Blocker::Reassignment => "it is just being given sagas of another SEC".to_owned(),
        Blocker::RecoveryOfReassigned => {
            "it was given sagas of another SEC, and no recovery pass that began after that has succeeded"
                .to_owned()
        }
        Blocker::DbClaim { id, since, age_secs: _, debug } => format!(
            "database claim {id}, held since {}: {}",
            time::when(look, *since),
            excerpt(debug.lines().next().unwrap_or_default(), LONGEST)
        ),
        Blocker::NoAnswer { error } => format!("it does not answer: {}", excerpt(error, LONGEST)),
        Blocker::NotOffered => "it cannot be asked to quiesce: it has no /quiesce".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ids::{SagaId, SecId};
    use crate::wire::time::Time;
    use serde_json::Value;

    fn at(secs: i64) -> Time {
        Time::from_timestamp(1_800_000_000 + secs, 0).expect("a time")
    }

    fn draining() -> SecQuiescence {
        SecQuiescence {
            time_requested: Some(at(-30)),
            time_quiesced: Some(at(-1)),
            new_sagas_allowed: Some(SagasAllowed::DisallowedQuiesce),
            sagas_pending: Some(2),
            oldest_pending: Some(at(-500)),
            refused: Some(Refused { count: 7, first: at(-29), last: at(-3) }),
            details: Value::Null,
            ..SecQuiescence::without(
                Some(SecId::from_uuid(uuid::Uuid::from_u128(1))),
                "http://127.0.0.1:1".to_owned(),
                State::DrainingSagas,
                None,
            )
        }
    }

    fn text(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).expect("memory takes it all");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn one_row_each_and_a_line_of_sums() {
        let silent = SecQuiescence::without(
            None,
            "http://h\u{1b}:2".to_owned(),
            State::NoAnswer,
            Some("refused".to_owned()),
        );
        let quiescence = Quiescence::of(vec![draining(), silent]);
        let look = Look::plain(at(0));
        insta::assert_snapshot!(
            text(|out| {
                quiesce_table(&look, &quiescence).render(&look, out)?;
                render_total(out, &quiescence.total)
            }),
            @r"
            SEC                                   STATE           NEW_SAGAS  PENDING  OLDEST                    REQUESTED                 QUIESCED                  REFUSED  URL
            00000000-0000-0000-0000-000000000001  draining sagas  refused          2  2027-01-15T07:51:40.000Z  2027-01-15T07:59:30.000Z  2027-01-15T07:59:59.000Z        7  http://127.0.0.1:1
            ?                                     no answer       ?                ?  ?                         ?                         ?                               ?  http://h\x1b:2
            in all: 2 SECs: 0 running, 1 draining, 0 quiesced, 1 of whom nobody knows; 2 sagas pending
            "
        );
    }

    #[test]
    fn each_blocker_in_words() {
        let saga = |number, recovered, node: Option<&str>| Blocker::Saga {
            saga_id: SagaId::from_uuid(uuid::Uuid::from_u128(number)),
            name: "demo".to_owned(),
            since: at(-40),
            age_secs: 40,
            recovered,
            node: node.map(str::to_owned),
            verdict: node.map(|_| "running".to_owned()),
        };
        let blockers = [
            saga(1, true, Some("demo_wait")),
            saga(2, false, None),
            Blocker::FirstRecovery,
            Blocker::Reassignment,
            Blocker::RecoveryOfReassigned,
            Blocker::DbClaim { id: 583, since: at(-9), age_secs: 9, debug: "a\nb".to_owned() },
        ];
        let look = Look::plain(at(0));
        insta::assert_snapshot!(text(|out| render_blockers(out, &look, &draining(), &blockers)), @r"
        SEC 00000000-0000-0000-0000-000000000001 at http://127.0.0.1:1: draining sagas
          - saga 00000000-0000-0000-0000-000000000001 demo, recovered here 2027-01-15T07:59:20.000Z, at node demo_wait: running
          - saga 00000000-0000-0000-0000-000000000002 demo, created here 2027-01-15T07:59:20.000Z
          - no recovery pass has succeeded since it started, so there may be sagas that it does not know of
          - it is just being given sagas of another SEC
          - it was given sagas of another SEC, and no recovery pass that began after that has succeeded
          - database claim 583, held since 2027-01-15T07:59:51.000Z: a
        ");
    }
}

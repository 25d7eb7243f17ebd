//! SECs, and what expunging one means.

use super::Look;
use super::escape::escape;
use super::style::Style;
use super::table::{Cell, Column, Table};
use super::time;
use crate::observe::secs::{Sec, SecStatus, Secs, Unfinished};
use crate::wire::ids::SecId;
use std::io::{self, Write};

const COLUMNS: [Column; 8] = [
    Column::text("SEC"),
    Column::text("STATUS"),
    Column::text("HEARTBEAT"),
    Column::text("STARTED"),
    Column::number("IN_FLIGHT"),
    Column::number("UNFINISHED"),
    Column::text("OLDEST"),
    Column::message("ADDRESS", 12),
];

/// SECs as a table, for whoever writes it to choose columns from.
pub fn sec_table(look: &Look, secs: &Secs) -> Table {
    let mut table = Table::new(&COLUMNS);
    for sec in &secs.secs {
        let Sec {
            sec_id,
            status,
            internal_address,
            time_started,
            time_heartbeat,
            heartbeat_age_secs: _, // in the times
            unfinished,
            ping,
        } = sec;
        let in_flight = match ping {
            Some(ping) if ping.answered => Cell::or_unknown(ping.sagas_in_flight),
            _ => Cell::unknown(),
        };
        table.push(vec![
            Cell::or_absent(*sec_id),
            Cell::new(status_words(look, sec)).styled(style(*status)),
            Cell::or_absent(time_heartbeat.map(|at| time::when(look, at))),
            Cell::or_absent(time_started.map(|at| time::when(look, at))),
            in_flight,
            Cell::new(unfinished.total()),
            Cell::or_absent(unfinished.oldest.map(|at| time::when(look, at))),
            Cell::or_absent(internal_address.as_ref()),
        ]);
    }
    table
}

/// What an expunge will do, or would.
pub struct ExpungePlan<'p> {
    /// To whom.
    pub sec: &'p Sec,
    /// Who will adopt its sagas.
    pub heirs: &'p [SecId],
}

/// Writes what an expunge will do.
pub fn render_plan(out: &mut dyn Write, look: &Look, plan: &ExpungePlan<'_>) -> io::Result<()> {
    let ExpungePlan { sec, heirs } = plan;
    let Unfinished { running, unwinding, oldest } = sec.unfinished;
    let id = sec.sec_id.map(|id| id.to_string()).unwrap_or_default();
    writeln!(out, "plan: expunge SEC {id}")?;
    writeln!(out, "  it is:       {}", escape(&status_words(look, sec)))?;
    let oldest =
        oldest.map(|at| format!(", the oldest made {}", time::age(look.now, at))).unwrap_or_default();
    writeln!(
        out,
        "  unfinished:  {} sagas ({running} running, {unwinding} unwinding){oldest}",
        running + unwinding
    )?;
    match heirs {
        [] => writeln!(out, "  adopted by:  nobody for now: no other SEC is alive; they wait until one is")?,
        heirs => {
            let heirs: Vec<_> = heirs.iter().map(ToString::to_string).collect();
            writeln!(out, "  adopted by:  {}", heirs.join(", "))?;
        }
    }
    writeln!(out, "  its process: ends at its next write, if it is still there")?;
    writeln!(out, "  for ever:    it cannot run sagas under this id again")
}

fn status_words(look: &Look, sec: &Sec) -> String {
    match sec.status {
        SecStatus::Alive => "alive".to_owned(),
        SecStatus::Silent => match sec.time_heartbeat {
            Some(at) => format!("no answer since {}", time::when(look, at)),
            None => "no answer".to_owned(),
        },
        SecStatus::Expunged => match &sec.ping {
            Some(ping) if ping.answered => "expunged, but still answers".to_owned(),
            _ => "expunged".to_owned(),
        },
        SecStatus::Unregistered => "not registered".to_owned(),
        SecStatus::Unknown => "?".to_owned(),
    }
}

fn style(status: SecStatus) -> Style {
    match status {
        SecStatus::Alive => Style::Good,
        SecStatus::Silent | SecStatus::Unregistered | SecStatus::Unknown => Style::Warning,
        SecStatus::Expunged => Style::Faint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::secs::Ping;
    use crate::wire::time::Time;

    fn at(secs: i64) -> Time {
        Time::from_timestamp(1_800_000_000 + secs, 0).expect("a time in range")
    }

    fn sec(number: u128, status: SecStatus) -> Sec {
        let offset = i64::try_from(number).expect("a small number");
        Sec {
            sec_id: Some(SecId::from_uuid(uuid::Uuid::from_u128(number))),
            status,
            internal_address: Some(format!("http://127.0.0.1:{number}")),
            time_started: Some(at(-1000 * offset)),
            time_heartbeat: Some(at(-60 * offset)),
            heartbeat_age_secs: Some(60 * offset),
            unfinished: Unfinished {
                running: 10 * offset,
                unwinding: offset,
                oldest: Some(at(-70 * offset)),
            },
            ping: None,
        }
    }

    fn rendered(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn each_sec_is_a_row_with_what_is_known_of_it() {
        let answered = Ping { answered: true, took_ms: Some(1.5), sagas_in_flight: Some(7), error: None };
        let secs = vec![
            Sec { ping: Some(answered.clone()), ..sec(1, SecStatus::Alive) },
            sec(2, SecStatus::Silent),
            Sec { ping: Some(answered), ..sec(3, SecStatus::Expunged) },
            Sec {
                internal_address: Some("\u{1b}[31m".to_owned()),
                unfinished: Unfinished::default(),
                ..sec(4, SecStatus::Expunged)
            },
            Sec {
                sec_id: None,
                internal_address: None,
                time_started: None,
                time_heartbeat: None,
                ..sec(5, SecStatus::Unregistered)
            },
        ];
        let look = Look::plain(at(0));
        let secs = Secs { database: "sqlite:x".to_owned(), secs };
        let table = rendered(|out| sec_table(&look, &secs).render(&look, out).expect("written"));
        insta::assert_snapshot!(table, @r#"
        SEC                                   STATUS                                    HEARTBEAT                 STARTED                   IN_FLIGHT  UNFINISHED  OLDEST                    ADDRESS
        00000000-0000-0000-0000-000000000001  alive                                     2027-01-15T07:59:00.000Z  2027-01-15T07:43:20.000Z          7          11  2027-01-15T07:58:50.000Z  http://127.0.0.1:1
        00000000-0000-0000-0000-000000000002  no answer since 2027-01-15T07:58:00.000Z  2027-01-15T07:58:00.000Z  2027-01-15T07:26:40.000Z          ?          22  2027-01-15T07:57:40.000Z  http://127.0.0.1:2
        00000000-0000-0000-0000-000000000003  expunged, but still answers               2027-01-15T07:57:00.000Z  2027-01-15T07:10:00.000Z          7          33  2027-01-15T07:56:30.000Z  http://127.0.0.1:3
        00000000-0000-0000-0000-000000000004  expunged                                  2027-01-15T07:56:00.000Z  2027-01-15T06:53:20.000Z          ?           0  -                         \x1b[31m
        -                                     not registered                            -                         -                                 ?          55  2027-01-15T07:54:10.000Z  -
        "#);
    }

    #[test]
    fn a_plan_says_whose_sagas_go_where() {
        let look = Look::plain(at(0));
        let (gone, heir) = (sec(2, SecStatus::Silent), sec(1, SecStatus::Alive));
        let heirs = [heir.sec_id.expect("an id")];
        let with = rendered(|out| {
            render_plan(out, &look, &ExpungePlan { sec: &gone, heirs: &heirs }).expect("written");
        });
        let without = rendered(|out| {
            render_plan(out, &look, &ExpungePlan { sec: &heir, heirs: &[] }).expect("written");
        });
        insta::assert_snapshot!(format!("{with}{without}"), @r#"
        plan: expunge SEC 00000000-0000-0000-0000-000000000002
          it is:       no answer since 2027-01-15T07:58:00.000Z
          unfinished:  22 sagas (20 running, 2 unwinding), the oldest made 2m 20s ago
          adopted by:  00000000-0000-0000-0000-000000000001
          its process: ends at its next write, if it is still there
          for ever:    it cannot run sagas under this id again
        plan: expunge SEC 00000000-0000-0000-0000-000000000001
          it is:       alive
          unfinished:  11 sagas (10 running, 1 unwinding), the oldest made 1m 10s ago
          adopted by:  nobody for now: no other SEC is alive; they wait until one is
          its process: ends at its next write, if it is still there
          for ever:    it cannot run sagas under this id again
        "#);
    }
}

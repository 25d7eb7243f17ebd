//! `watch`: an event as one line.

use super::Look;
use super::escape::escape;
use super::style::Style;
use super::time;
use crate::watch::event::{Ending, Event, Source, Transition};
use std::fmt::Display;
use std::io::{self, Write};

/// Writes an event as one line: when it was noticed, what it is, and what there is to know of it.
pub fn render_event(out: &mut dyn Write, look: &Look, event: &Event) -> io::Result<()> {
    let Event { seq: _, time, transition } = event;
    let (style, words) = describe(look, transition);
    let what = transition.word().replace('_', " ");
    // Ages make no sense in lines that stay.
    let time = time::rfc3339_millis(*time);
    let what = look.paint.apply_some(style, format!("{what:<19}"));
    writeln!(out, "{time}  {what}  {}", escape(&words))
}

fn describe(look: &Look, transition: &Transition) -> (Option<Style>, String) {
    let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "?".to_owned());
    match transition {
        Transition::SagaStarted { saga_id, name: kind, current_sec, created: _ } => {
            (None, format!("{saga_id}  {}, SEC {}", name(kind), or(current_sec.as_ref(), "-")))
        }
        Transition::SagaFinished { saga_id, name: kind, outcome, current_sec: _, last_event: _ } => {
            let style = match outcome {
                Ending::Succeeded => Style::Good,
                Ending::Failed | Ending::Abandoned | Ending::Unknown => Style::Warning,
                Ending::Stuck | Ending::Vanished => Style::Failed,
            };
            (Some(style), format!("{saga_id}  {}, {}", name(kind), outcome.as_str()))
        }
        Transition::SagaReassigned { saga_id, name: kind, from_sec, to_sec } => (
            Some(Style::Warning),
            format!(
                "{saga_id}  {}, SEC {} -> {}",
                name(kind),
                or(from_sec.as_ref(), "-"),
                or(to_sec.as_ref(), "-")
            ),
        ),
        Transition::SagaRecovered { saga_id, name: kind, sec_id: _, recovered } => {
            (Some(Style::Good), format!("{saga_id}  {}, at {}", name(kind), time::rfc3339_millis(*recovered)))
        }
        Transition::RecoveryFailed { saga_id, sec_id: _, kind, message, failed: _ } => {
            let kind = kind.map_or("?", crate::observe::recovery::kind_in_words);
            (Some(Style::Failed), format!("{saga_id}  {kind}: {message}"))
        }
        Transition::PassCompleted {
            sec_id: _,
            iteration,
            reason: _,
            time_started: _,
            completed,
            found,
            recovered,
            failed,
            message,
            unlisted_recoveries,
        } => {
            let unlisted = match unlisted_recoveries {
                0 => String::new(),
                count => format!(", {count} recovered sagas not listed"),
            };
            let count = |number: &Option<u64>| or(number.as_ref(), "?");
            let words = match completed {
                true => format!(
                    "iter {iteration}: found {}, recovered {}, failed {}{unlisted}",
                    count(found),
                    count(recovered),
                    count(failed)
                ),
                false => format!("iter {iteration} failed: {}{unlisted}", or(message.as_ref(), "?")),
            };
            let is_good = *completed && failed.is_none_or(|failed| failed == 0);
            ((!is_good).then_some(Style::Failed), words)
        }
        Transition::SecStarted { sec_id, time_started } => {
            (None, format!("{sec_id}  at {}", time_started.map_or("?".to_owned(), time::rfc3339_millis)))
        }
        Transition::SecGone { sec_id, reason, time_heartbeat } => {
            let last = time_heartbeat.map_or("?".to_owned(), time::rfc3339_millis);
            (Some(Style::Failed), format!("{sec_id}  {reason}, last heard of at {last}"))
        }
        Transition::SecBack { sec_id } => (Some(Style::Good), sec_id.to_string()),
        Transition::ConnectionLost { source, url, reason } => {
            (Some(Style::Failed), format!("{} {url}: {reason}", place(*source)))
        }
        Transition::ConnectionRegained { source, url, lost } => {
            let away = look.now.signed_duration_since(*lost).to_std().unwrap_or_default();
            (Some(Style::Good), format!("{} {url}, after {}", place(*source), time::coarse(away)))
        }
    }
}

fn or(value: Option<&impl Display>, missing: &str) -> String {
    value.map_or_else(|| missing.to_owned(), ToString::to_string)
}

fn place(source: Source) -> &'static str {
    match source {
        Source::Api => "API",
        Source::Database => "database",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::event::Absence;
    use crate::wire::bgtasks::ActivationReason;
    use crate::wire::ids::{SagaId, SecId};
    use crate::wire::time::Time;

    fn at(secs: i64) -> Time {
        Time::from_timestamp(1_800_000_000 + secs, 0).expect("a time in range")
    }

    #[test]
    fn each_kind_of_event_is_one_harmless_line() {
        let saga = SagaId::from_uuid(uuid::Uuid::from_u128(1));
        let sec = |number| SecId::from_uuid(uuid::Uuid::from_u128(number));
        let kind = Some("demo\u{1b}[31m".to_owned());
        let transitions = [
            Transition::SagaStarted {
                saga_id: saga,
                name: kind.clone(),
                current_sec: Some(sec(2)),
                created: None,
            },
            Transition::SagaReassigned {
                saga_id: saga,
                name: None,
                from_sec: Some(sec(2)),
                to_sec: Some(sec(3)),
            },
            Transition::SagaFinished {
                saga_id: saga,
                name: kind,
                current_sec: None,
                outcome: Ending::Stuck,
                last_event: None,
            },
            Transition::PassCompleted {
                sec_id: None,
                iteration: 4,
                reason: ActivationReason::Timeout,
                time_started: at(1),
                completed: true,
                found: Some(5),
                recovered: Some(6),
                failed: None,
                message: None,
                unlisted_recoveries: 7,
            },
            Transition::SecGone { sec_id: sec(2), reason: Absence::Silent, time_heartbeat: Some(at(-20)) },
            Transition::ConnectionRegained {
                source: Source::Database,
                url: "sqlite:x".to_owned(),
                lost: at(-90),
            },
        ];
        let look = Look::plain(at(0));
        let mut out = Vec::new();
        for (seq, transition) in (1..).zip(transitions) {
            render_event(&mut out, &look, &Event { seq, time: at(0), transition }).expect("memory");
        }
        let text = String::from_utf8(out).expect("text");
        insta::assert_snapshot!(text, @r"
        2027-01-15T08:00:00.000Z  saga started         00000000-0000-0000-0000-000000000001  demo\x1b[31m, SEC 00000000-0000-0000-0000-000000000002
        2027-01-15T08:00:00.000Z  saga reassigned      00000000-0000-0000-0000-000000000001  ?, SEC 00000000-0000-0000-0000-000000000002 -> 00000000-0000-0000-0000-000000000003
        2027-01-15T08:00:00.000Z  saga finished        00000000-0000-0000-0000-000000000001  demo\x1b[31m, stuck
        2027-01-15T08:00:00.000Z  pass completed       iter 4: found 5, recovered 6, failed ?, 7 recovered sagas not listed
        2027-01-15T08:00:00.000Z  sec gone             00000000-0000-0000-0000-000000000002  silent, last heard of at 2027-01-15T07:59:40.000Z
        2027-01-15T08:00:00.000Z  connection regained  database sqlite:x, after 1m 30s
        ");
    }
}

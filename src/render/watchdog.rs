//! `watchdog`: each step as one line, and at the end of `--once` the verdict.

use super::Look;
use super::escape::escape;
use super::style::Style;
use super::time;
use crate::watchdog::health::{Finding, Suspect};
use crate::watchdog::policy::{Escalation, Event, Flag, Remedy, Step};
use std::io::{self, Write};

/// Writes a step as one line; an escalation names the sagas to blame on lines of their own.
pub fn render_event(out: &mut dyn Write, look: &Look, event: &Event) -> io::Result<()> {
    let Event { time, step } = event;
    let (style, what, words) = match step {
        Step::Flagged { problem } => (Some(Style::Failed), "flagged", problem_in_words(problem)),
        Step::Cleared { problem, since } => {
            let lasted = time.signed_duration_since(*since).to_std().unwrap_or_default();
            let words = format!("{}, after {}", problem_in_words(problem), time::coarse(lasted));
            (Some(Style::Good), "cleared", words)
        }
        Step::Remedied { remedy, attempt, error } => {
            let error = error.as_ref().map_or(String::new(), |error| format!(" failed: {error}"));
            (Some(Style::Warning), "remedied", format!("{}, attempt {attempt}{error}", in_words(*remedy)))
        }
        Step::Verified { remedy } => (Some(Style::Good), "verified", format!("{} worked", in_words(*remedy))),
        Step::NotVerified { remedy, progress } => {
            let progress = if *progress { "but something changed" } else { "and nothing changed" };
            (Some(Style::Failed), "not verified", format!("{} did not work, {progress}", in_words(*remedy)))
        }
        Step::Escalated { reason, attempts, problems, poison: _ } => {
            let reason = match reason {
                Escalation::NoProgress => format!("{attempts} remedies brought no progress"),
                Escalation::TooManyPerHour => "too many remedies in an hour".to_owned(),
                Escalation::NoRemedy => "there is no remedy left".to_owned(),
            };
            let problems: Vec<String> = problems.iter().map(problem_in_words).collect();
            let words = format!("{reason}; it is a person's turn: {}", problems.join("; "));
            (Some(Style::Failed), "escalated", words)
        }
    };
    let time = time::rfc3339_millis(*time);
    let what = look.paint.apply_some(style, format!("{what:<12}"));
    writeln!(out, "{time}  {what}  {}", escape(&words))?;
    if let Step::Escalated { poison, .. } = step {
        for saga in poison {
            let words = saga_in_words(saga);
            writeln!(out, "  to blame, it seems: {}; see `sagactl why {}`", escape(&words), saga.saga_id)?;
        }
    }
    Ok(())
}

/// Writes what is wrong, or that nothing is.
pub fn render_verdict(out: &mut dyn Write, look: &Look, problems: &[Flag]) -> io::Result<()> {
    if problems.is_empty() {
        return writeln!(out, "{}", look.paint.apply(Style::Good, "healthy"));
    }
    writeln!(out, "{}", look.paint.apply(Style::Failed, "not healthy"))?;
    for Flag { finding, since } in problems {
        writeln!(out, "  since {}: {}", time::when(look, *since), escape(&problem_in_words(finding)))?;
    }
    Ok(())
}

fn problem_in_words(problem: &Finding) -> String {
    let Finding { kind, detail, sagas } = problem;
    match sagas.first().filter(|_| kind.is_of_a_saga()) {
        Some(saga) => format!("{kind}: {}: {detail}", saga_in_words(saga)),
        None => format!("{kind}: {detail}"),
    }
}

fn saga_in_words(saga: &Suspect) -> String {
    let Suspect { saga_id, name, node, last_event: _ } = saga;
    let name = name.as_deref().unwrap_or("?");
    match node {
        Some(node) => format!("saga {saga_id} {name} at node {node}"),
        None => format!("saga {saga_id} {name}"),
    }
}

fn in_words(remedy: Remedy) -> &'static str {
    match remedy {
        Remedy::Activate => "activating recovery",
        Remedy::Restart => "restarting",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watchdog::health::Kind;
    use crate::wire::ids::SagaId;
    use crate::wire::time::Time;

    fn at(secs: i64) -> Time {
        Time::from_timestamp(1_800_000_000 + secs, 0).expect("a time in range")
    }

    #[test]
    fn each_step_is_one_harmless_line_and_blame_has_lines_of_its_own() {
        let saga = Suspect {
            saga_id: SagaId::from_uuid(uuid::Uuid::from_u128(1)),
            name: Some("demo\u{1b}[31m".to_owned()),
            node: Some("wait".to_owned()),
            last_event: None,
        };
        let idle = Finding {
            kind: Kind::SagaIdle,
            detail: "no event for 11m".to_owned(),
            sagas: vec![saga.clone()],
        };
        let silent =
            Finding { kind: Kind::ApiSilent, detail: "refused\n".to_owned(), sagas: vec![saga.clone()] };
        let steps = [
            Step::Flagged { problem: silent.clone() },
            Step::Remedied { remedy: Remedy::Activate, attempt: 2, error: Some("no".to_owned()) },
            Step::NotVerified { remedy: Remedy::Restart, progress: true },
            Step::Cleared { problem: silent.clone(), since: at(-90) },
            Step::Verified { remedy: Remedy::Restart },
            Step::Escalated {
                reason: Escalation::NoProgress,
                attempts: 3,
                problems: vec![silent, idle.clone()],
                poison: vec![saga],
            },
        ];
        let look = Look::plain(at(0));
        let mut out = Vec::new();
        for step in steps {
            render_event(&mut out, &look, &Event { time: at(0), step }).expect("memory");
        }
        render_verdict(&mut out, &look, &[Flag { finding: idle, since: at(-5) }]).expect("memory");
        render_verdict(&mut out, &look, &[]).expect("memory");
        let text = String::from_utf8(out).expect("text");
        insta::assert_snapshot!(text, @r"
        2027-01-15T08:00:00.000Z  flagged       api silent: refused\n
        2027-01-15T08:00:00.000Z  remedied      activating recovery, attempt 2 failed: no
        2027-01-15T08:00:00.000Z  not verified  restarting did not work, but something changed
        2027-01-15T08:00:00.000Z  cleared       api silent: refused\n, after 1m 30s
        2027-01-15T08:00:00.000Z  verified      restarting worked
        2027-01-15T08:00:00.000Z  escalated     3 remedies brought no progress; it is a person's turn: api silent: refused\n; saga idle: saga 00000000-0000-0000-0000-000000000001 demo\x1b[31m at node wait: no event for 11m
          to blame, it seems: saga 00000000-0000-0000-0000-000000000001 demo\x1b[31m at node wait; see `sagactl why 00000000-0000-0000-0000-000000000001`
        not healthy
          since 2027-01-15T07:59:55.000Z: saga idle: saga 00000000-0000-0000-0000-000000000001 demo\x1b[31m at node wait: no event for 11m
        healthy
        ");
    }
}

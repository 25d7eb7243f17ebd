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

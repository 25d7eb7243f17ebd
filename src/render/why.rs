//! `why`: the verdict, what it rests on, what to do.

use super::escape::{escape, excerpt};
use super::style::Style;
use super::text::write_wrapped;
use super::{Look, time};
use crate::observe::why::{About, Evidence, Verdict, Why};
use std::io::{self, Write};

/// Columns of the words that say what a fact is about, with a blank after the longest.
const ABOUT: usize = 11;

/// Characters of a name that are shown; a database may hold anything.
const LONGEST_NAME: usize = 128;

/// Writes the whole answer.
pub fn render_why(out: &mut dyn Write, look: &Look, why: &Why) -> io::Result<()> {
    render_verdict(out, look, why)?;
    let name = why.name.as_deref().map_or("?".to_owned(), |name| excerpt(name, LONGEST_NAME));
    writeln!(out, "saga {} {name}", why.saga_id)?;
    writeln!(out)?;
    render_evidence(out, look, &why.evidence)?;
    if !why.next.is_empty() {
        writeln!(out)?;
        writeln!(out, "{}", look.paint.apply(Style::Heading, "what to do:"))?;
        for line in &why.next {
            write_wrapped(out, look, "  - ", 4, line)?;
        }
    }
    Ok(())
}

/// Writes the verdict as one line that begins with its word.
fn render_verdict(out: &mut dyn Write, look: &Look, why: &Why) -> io::Result<()> {
    let word = look.paint.apply(style(why.verdict), why.verdict.as_str());
    writeln!(out, "{word}{}", escape(&where_and_when(look, why)))
}

/// Since when, and which node, to stand after the verdict. Not made harmless yet.
pub(super) fn where_and_when(look: &Look, why: &Why) -> String {
    let mut text = String::new();
    if let Some(since) = why.since {
        let since = time::when(look, since);
        text.push_str(&if since.ends_with("ago") {
            format!(" ({since})")
        } else {
            format!(" since {since}")
        });
    }
    if let (Some(node), Some(id)) = (&why.node, why.node_id) {
        text.push_str(&match *node == format!("node {id}") {
            true => format!(", {node}"),
            false => format!(", node {id} {node}"),
        });
    }
    if let Some(attempts) = why.attempts {
        text.push_str(&format!(", {attempts} attempts"));
    }
    text
}

/// How good or bad a verdict is.
pub(super) fn style(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Succeeded | Verdict::Running | Verdict::BetweenNodes => Style::Good,
        Verdict::Retrying | Verdict::Unwinding | Verdict::WaitingForRecovery | Verdict::Abandoned => {
            Style::Warning
        }
        Verdict::OwnerDead
        | Verdict::OwnerGone
        | Verdict::Phantom
        | Verdict::Unrecoverable
        | Verdict::Stuck
        | Verdict::Failed => Style::Failed,
    }
}

fn render_evidence(out: &mut dyn Write, look: &Look, evidence: &[Evidence]) -> io::Result<()> {
    let mut last = None;
    for Evidence { about, text, time } in evidence {
        let head = if last == Some(*about) { "" } else { word(*about) };
        last = Some(*about);
        let text = match time {
            Some(time) => format!("{text} ({})", time::when(look, *time)),
            None => text.clone(),
        };
        let head = format!("{head:<ABOUT$}");
        write_wrapped(out, look, &look.paint.apply(Style::Faint, head), ABOUT, &text)?;
    }
    Ok(())
}

fn word(about: About) -> &'static str {
    match about {
        About::Owner => "owner:",
        About::Memory => "memory:",
        About::Recovery => "recovery:",
        About::State => "state:",
        About::Log => "log:",
        About::Failure => "failure:",
        About::Repeated => "repeated:",
        About::Next => "next:",
        About::Left => "left:",
        About::Rule => "rules:",
        About::Oddity => "odd:",
    }
}

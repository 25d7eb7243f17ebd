//! `sagas show`: a saga with all its nodes.

use super::escape::{escape, excerpt};
use super::style::Style;
use super::table::{Cell, Column, Table};
use super::text::write_wrapped;
use super::why::{style, where_and_when};
use super::{Look, time};
use crate::observe::saga::{ErrorReport, EventReport, GapReport, Json, NodeReport, SagaReport};
use crate::observe::why::Liveness;
use crate::saga_log::dag::{Dag, Node};
use crate::saga_log::events::NodeStatus;
use crate::saga_log::legality::{Judgement, Verdict};
use crate::saga_log::{Direction, Reading};
use std::io::{self, Write};
use std::time::Duration;

/// Characters of a name, and of an output or an error in a table, even where there is room: a database may hold anything.
const LONGEST_NAME: usize = 128;
const LONGEST_RESULT: usize = 300;

/// Columns of the words of the header, with a blank after the longest.
const HEAD: usize = 12;

/// Levels of subsagas that are indented; deeper ones stand where these do.
const DEEPEST: u32 = 12;

/// What makes room on a narrow terminal, in this order. What is left says which node, how far, and what came of it.
const LEAST_IMPORTANT: [&str; 3] = ["LABEL", "TRIES", "STARTED"];

/// Writes a saga. Says which columns were left out for want of room.
pub fn render_saga(out: &mut dyn Write, look: &Look, report: &SagaReport) -> io::Result<Vec<&'static str>> {
    render_header(out, look, report)?;
    writeln!(out)?;
    let (table, left_out) = node_table(look, &report.nodes).fit(look, &LEAST_IMPORTANT);
    table.render(look, out)?;
    if let Some(events) = &report.events {
        heading(out, look, &format!("events ({})", events.len()))?;
        let (table, _) = event_table(look, events).fit(look, &["SEC", "NAME"]);
        table.render(look, out)?;
    }
    if let Some(gaps) = &report.gaps {
        heading(out, look, &format!("gaps in which nothing ran ({})", gaps.len()))?;
        gap_table(look, gaps).render(look, out)?;
    }
    if let Some(errors) = &report.errors {
        heading(out, look, &format!("errors ({})", errors.len()))?;
        for error in errors {
            render_error(out, look, error)?;
        }
    }
    if let Some(params) = &report.params {
        heading(out, look, "parameters")?;
        render_json(out, params)?;
    }
    if !report.findings.is_empty() {
        heading(out, look, "what is odd")?;
        for finding in &report.findings {
            write_wrapped(out, look, "  - ", 4, &finding.message)?;
        }
    }
    Ok(left_out)
}

fn heading(out: &mut dyn Write, look: &Look, text: &str) -> io::Result<()> {
    writeln!(out)?;
    writeln!(out, "{}", look.paint.apply(Style::Heading, text))
}

fn render_header(out: &mut dyn Write, look: &Look, report: &SagaReport) -> io::Result<()> {
    let SagaReport { why, creator, created, adopted, abandoned, counts, .. } = report;
    let name = why.name.as_deref().map_or("?".to_owned(), |name| excerpt(name, LONGEST_NAME));
    writeln!(out, "saga {} {}", why.saga_id, look.paint.apply(Style::Heading, name))?;
    let mut line = |head: &str, text: &str| {
        let head = look.paint.apply(Style::Faint, format!("{head:<HEAD$}"));
        write_wrapped(out, look, &head, HEAD, text)
    };
    let unknown = || "?".to_owned();
    let when = |moment: &Option<_>| moment.map_or_else(unknown, |moment| time::when(look, moment));
    let state = why.state.as_deref().map_or_else(unknown, |state| excerpt(state, LONGEST_NAME));
    let log = match (why.outcome, why.direction) {
        (Some(outcome), _) => format!("outcome {outcome}"),
        (None, Direction::Unwinding) => "unwinding".to_owned(),
        (None, _) => "not at its end".to_owned(),
    };
    line("state:", &format!("{state}; by its log: {log}"))?;
    let owner = why.owner.sec_id.map_or_else(unknown, |sec| format!("SEC {sec}"));
    let liveness = match why.owner.liveness {
        Liveness::Alive => ", alive",
        Liveness::Dead => ", dead",
        Liveness::Gone => ", gone for good",
        Liveness::Unknown => ", alive or not",
        Liveness::NotAsked => "",
    };
    let generation = match why.owner.generation {
        Some(1) => String::new(),
        Some(generation) => format!(", generation {generation}, adopted {}", when(adopted)),
        None => ", generation ?".to_owned(),
    };
    line("owner:", &format!("{owner}{liveness}{generation}"))?;
    let by = match creator {
        Some(creator) if why.owner.sec_id != Some(*creator) => format!(" by SEC {creator}"),
        _ => String::new(),
    };
    line("created:", &format!("{}{by}", when(created)))?;
    let last = match why.last_event {
        Some(last) => time::when(look, last),
        None => "-".to_owned(),
    };
    line("last event:", &last)?;
    let counts: Vec<String> = counts.iter().map(|(status, count)| format!("{count} {status}")).collect();
    line("nodes:", &counts.join(", "))?;
    line("log:", &format!("{}; {}", judged("legal", &why.legal), judged("resumable", &why.resumable)))?;
    if let Some(abandoned) = abandoned {
        let or = |text: &Option<String>| text.as_deref().map_or_else(unknown, str::to_owned);
        let (reason, comment) = (or(&abandoned.reason), or(&abandoned.comment));
        line("abandoned:", &format!("{}, reason {reason}: {comment}", when(&abandoned.time)))?;
    }
    let head = look.paint.apply(style(why.verdict), format!("{:<HEAD$}", "why:"));
    write_wrapped(out, look, &head, HEAD, &format!("{}{}", why.verdict, where_and_when(look, why)))
}

fn judged(what: &str, judgement: &Judgement) -> String {
    match judgement.verdict {
        Verdict::Yes => what.to_owned(),
        Verdict::CannotTell => {
            format!("{what} or not: {}", judgement.reason.as_deref().unwrap_or("nobody can tell"))
        }
        Verdict::No => match judgement.first() {
            Some(first) => format!("NOT {what}: {first}"),
            None => format!("NOT {what}"),
        },
    }
}

fn node_table(look: &Look, nodes: &[NodeReport]) -> Table {
    let mut table = Table::new(&[
        Column::text("STATUS"),
        Column::number("NODE"),
        Column::message("NAME", 24),
        Column::message("LABEL", 12),
        Column::text("STARTED"),
        Column::number("TOOK"),
        Column::number("TRIES"),
        Column::message("RESULT", 14),
    ]);
    for node in nodes {
        table.push(node_row(look, node));
    }
    table
}

fn node_row(look: &Look, node: &NodeReport) -> Vec<Cell> {
    let NodeReport { node_id, label, status, started, attempts, undo_started, undo_attempts, .. } = node;
    let (style, word) = match status {
        NodeStatus::NotRun => (Style::Faint, status.as_str()),
        NodeStatus::Done => (Style::Good, status.as_str()),
        NodeStatus::Running | NodeStatus::Undoing | NodeStatus::Undone => (Style::Warning, status.as_str()),
        NodeStatus::Failed | NodeStatus::UndoFailed => (Style::Failed, status.as_str()),
    };
    let begun = if *status == NodeStatus::Undoing { undo_started } else { started };
    let tries = (*attempts).max(*undo_attempts);
    vec![
        Cell::new(word).styled(style),
        Cell::new(node_id),
        Cell::new(shown_name(node)),
        Cell::or_absent(label.as_ref().map(|label| excerpt(label, LONGEST_NAME))),
        match (status, begun) {
            (NodeStatus::NotRun, _) => Cell::absent(),
            (_, None) => Cell::unknown(),
            (_, Some(begun)) => Cell::new(time::when(look, *begun)),
        },
        took(look, node, *begun),
        match tries {
            0 => Cell::absent(),
            1 => Cell::new(1),
            // The log keeps the first time only.
            more => Cell::new(format!("{more}+")),
        },
        result(node),
    ]
}

/// How long the latest of a node's actions took; with a mark if it goes on.
fn took(look: &Look, node: &NodeReport, begun: Option<crate::wire::time::Time>) -> Cell {
    let ended = match node.status {
        NodeStatus::NotRun => return Cell::absent(),
        NodeStatus::Running | NodeStatus::Undoing => {
            let so_far = begun.and_then(|begun| look.now.signed_duration_since(begun).to_std().ok());
            return Cell::or_unknown(so_far.map(|so_far| format!("{}…", time::measured(so_far))));
        }
        _ => node.took_ms,
    };
    Cell::or_unknown(ended.map(shown_millis))
}

fn shown_millis(millis: f64) -> String {
    time::measured(Duration::from_secs_f64((millis / 1000.0).max(0.0)))
}

fn result(node: &NodeReport) -> Cell {
    let output = || match &node.output {
        Some(output) if output.text() == "null" => Cell::absent(),
        Some(output) => Cell::new(excerpt(output.text(), LONGEST_RESULT)),
        None => Cell::absent(),
    };
    let failed = |what: &str, error: &Option<String>| {
        let error = error.as_deref().unwrap_or("the error is not recorded");
        Cell::new(excerpt(&format!("{what}{error}"), LONGEST_RESULT)).styled(Style::Failed)
    };
    match node.status {
        NodeStatus::NotRun | NodeStatus::Running => Cell::absent(),
        NodeStatus::Done => output(),
        NodeStatus::Failed => failed("", &node.error),
        NodeStatus::UndoFailed => failed("undo failed: ", &node.undo_error),
        NodeStatus::Undoing => Cell::new("being undone"),
        NodeStatus::Undone => {
            let took =
                node.undo_took_ms.map_or_else(String::new, |took| format!(" in {}", shown_millis(took)));
            Cell::new(format!("undone{took}"))
        }
    }
}

/// A node's own name, indented below the subsagas that it lies in; `|` marks those that may run at the same time.
fn shown_name(node: &NodeReport) -> String {
    let parts: Vec<&str> = node.name.split('/').collect();
    let own = match (node.kind, parts.as_slice()) {
        (Some("subsaga_start"), [.., name, "(start)"]) => format!("{name} {{"),
        (Some("subsaga_end"), [.., name]) => format!("}} {name}"),
        (_, [.., name]) => (*name).to_owned(),
        (_, []) => node.name.clone(),
    };
    let mark = if node.is_parallel { "|" } else { "" };
    let indent = "  ".repeat(node.depth.min(DEEPEST) as usize);
    format!("{indent}{mark}{}", excerpt(&own, LONGEST_NAME))
}

fn event_table(look: &Look, events: &[EventReport]) -> Table {
    let mut table = Table::new(&[
        Column::text("TIME"),
        Column::number("NODE"),
        Column::message("NAME", 12),
        Column::text("EVENT"),
        Column::text("SEC"),
        Column::message("DATA", 14),
    ]);
    for EventReport { time, node_id, name, event_type, sec_id, data } in events {
        table.push(vec![
            // Not an age: what one looks for is which came first, and by how much.
            Cell::or_unknown(time.map(time::rfc3339_millis)),
            Cell::new(node_id),
            Cell::new(excerpt(name, LONGEST_NAME)),
            Cell::new(excerpt(event_type, LONGEST_NAME)),
            Cell::or_unknown(*sec_id),
            Cell::or_absent(data.as_ref().map(|data| excerpt(data.text(), LONGEST_RESULT))),
        ]);
    }
    let _ = look;
    table
}

fn gap_table(look: &Look, gaps: &[GapReport]) -> Table {
    let mut table = Table::new(&[
        Column::message("AFTER", 16),
        Column::message("BEFORE", 16),
        Column::text("FROM"),
        Column::number("TOOK"),
    ]);
    for GapReport { after, before, from, took_ms } in gaps {
        let lasts = if before.is_none() { "…" } else { "" };
        table.push(vec![
            Cell::new(excerpt(after, LONGEST_NAME)),
            Cell::or_absent(before.as_ref().map(|before| excerpt(before, LONGEST_NAME))),
            Cell::new(time::when(look, *from)),
            Cell::new(format!("{}{lasts}", shown_millis(*took_ms))),
        ]);
    }
    table
}

fn render_error(out: &mut dyn Write, look: &Look, report: &ErrorReport) -> io::Result<()> {
    let ErrorReport { node_id, name, undo, time, message, error } = report;
    let what = if *undo { "undo action" } else { "action" };
    let when = time.map_or(String::new(), |time| format!(" ({})", time::when(look, time)));
    let message = message.as_deref().unwrap_or("the error is not recorded");
    let style = look.paint.apply(Style::Failed, "- ");
    write_wrapped(out, look, &style, 2, &format!("{what} of node {node_id} {name}{when}: {message}"))?;
    match error {
        Some(error) => render_json(out, error),
        None => Ok(()),
    }
}

/// Writes JSON over several lines, two columns to the right; what is no JSON as it is.
fn render_json(out: &mut dyn Write, json: &Json) -> io::Result<()> {
    let pretty = serde_json::from_str::<serde_json::Value>(json.text()).ok();
    let pretty = pretty.and_then(|value| serde_json::to_string_pretty(&value).ok());
    let text = pretty.unwrap_or_else(|| json.text().to_owned());
    for line in text.lines() {
        writeln!(out, "  {}", escape(line))?;
    }
    Ok(())
}

/// Writes a DAG in the language of Graphviz, each node with its status, subsagas as they are stored: between brackets.
pub fn render_dot(out: &mut dyn Write, dag: &Dag<'_>, reading: &Reading<'_>) -> io::Result<()> {
    writeln!(out, "digraph {} {{", quoted(&dag.saga_name))?;
    writeln!(out, "  node [shape=box, style=filled];")?;
    for id in dag.ids() {
        let status = reading.status(i64::from(id));
        let color = match status {
            NodeStatus::NotRun => "white",
            NodeStatus::Done => "palegreen",
            NodeStatus::Running | NodeStatus::Undoing => "gold",
            NodeStatus::Undone => "lightgrey",
            NodeStatus::Failed | NodeStatus::UndoFailed => "salmon",
        };
        let name = reading.node_ref(i64::from(id)).name;
        let label = dag.node(id).map(Node::label).unwrap_or_default();
        let label = if name == label { String::new() } else { format!("\n{label}") };
        let text = quoted(&format!("{id} {name}{label}\n{status}"));
        writeln!(out, "  n{id} [label={text}, fillcolor={color}];")?;
    }
    for from in dag.ids() {
        for to in dag.children(from) {
            writeln!(out, "  n{from} -> n{to};")?;
        }
    }
    writeln!(out, "}}")
}

/// A string of that language: line breaks as `\n`, everything that a terminal would obey spelled out.
fn quoted(text: &str) -> String {
    let lines: Vec<String> =
        text.lines().map(|line| escape(line).replace('\\', "\\\\").replace('"', "\\\"")).collect();
    format!("\"{}\"", lines.join("\\n"))
}

//! `status`: who the coordinator is, its task block, and the tables.

mod sagas;

use super::escape::escape;
use super::style::Style;
use super::{Limit, Look, task, time};
use crate::observe::status::{Coordinator, Status};
use std::io::{self, Write};
use std::time::Duration;

/// Writes the whole view.
pub fn render_status(out: &mut dyn Write, look: &Look, status: &Status, limit: Limit) -> io::Result<()> {
    let Status { coordinator, recovery, failed_sagas, sagas, database, notes } = status;
    render_coordinator(out, look, coordinator)?;
    writeln!(out)?;
    task::render_recovery(out, look, recovery)?;
    task::render_tables(out, look, recovery, limit)?;
    if failed_sagas.is_some() || sagas.is_some() {
        sagas::render_heading(out, look, database.as_ref())?;
        sagas::render_database(out, look, failed_sagas.as_deref(), sagas.as_ref(), limit)?;
    }
    render_notes(out, look, notes)
}

/// Writes notes, one per line.
pub fn render_notes(out: &mut dyn Write, look: &Look, notes: &[String]) -> io::Result<()> {
    for note in notes {
        writeln!(out, "{}", look.paint.apply(Style::Faint, format!("note: {}", escape(note))))?;
    }
    Ok(())
}

fn render_coordinator(out: &mut dyn Write, look: &Look, coordinator: &Coordinator) -> io::Result<()> {
    let Coordinator {
        url,
        sec_id,
        version,
        pid,
        time_started: _,
        uptime_secs,
        store: _, // its URL says the kind too
        db_url,
        external_url: _,
        healthy,
        ready,
        recovered,
        sagas_recovering,
        sagas_in_flight,
    } = coordinator;
    let mut words = Vec::new();
    words.extend(sec_id.map(|sec_id| format!("SEC {sec_id}")));
    words.push(format!("at {}", escape(url)));
    let mut head = format!("coordinator: {}", words.join(" "));
    if let Some(version) = version {
        head += &format!(", version {}", escape(version));
    }
    if let Some(pid) = pid {
        head += &format!(", pid {pid}");
    }
    if let Some(uptime) = uptime_secs {
        head += &format!(", up {}", time::coarse(Duration::from_secs(*uptime)));
    }
    writeln!(out, "{}", look.paint.apply(Style::Heading, head))?;
    if let Some(db_url) = db_url {
        writeln!(out, "  store: {}", escape(db_url))?;
    }
    if healthy.is_none() && ready.is_none() && recovered.is_none() {
        return Ok(());
    }
    let mut states = Vec::new();
    let mut say = |state: &Option<bool>, yes: &'static str, no: &'static str| {
        states.extend(state.map(|holds| {
            let (style, words) = if holds { (Style::Good, yes) } else { (Style::Warning, no) };
            look.paint.apply(style, words).into_owned()
        }));
    };
    say(healthy, "healthy", "NOT healthy");
    say(ready, "ready", "NOT ready (quiescing: accepts no sagas)");
    say(recovered, "recovered", "NOT recovered");
    let in_flight = match (sagas_in_flight, sagas_recovering) {
        (Some(all), Some(recovering)) => {
            format!("; {all} sagas in flight, {recovering} of them taken up by recovery")
        }
        (Some(all), None) => format!("; {all} sagas in flight"),
        (None, _) => String::new(),
    };
    writeln!(out, "  state: {}{in_flight}", states.join(", "))
}

#[cfg(test)]
mod tests;

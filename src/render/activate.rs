//! `activate`: the pass that was asked for, as `status` shows it.

use super::status::render_notes;
use super::task::{render_details, render_recovery, render_task};
use super::{Look, time};
use crate::observe::recovery::Recovery;
use crate::observe::task::TaskView;
use crate::wire::bgtasks::SAGA_RECOVERY;
use crate::wire::time::Time;
use std::io::{self, Write};

/// Writes a task after the activation that was asked for.
pub fn render_activated(out: &mut dyn Write, look: &Look, recovery: &Recovery) -> io::Result<()> {
    if recovery.task.name == SAGA_RECOVERY {
        render_recovery(out, look, recovery)?;
        let trouble: Vec<_> = recovery.trouble.iter().map(|trouble| trouble.in_words()).collect();
        return render_notes(out, look, &trouble);
    }
    render_task(out, look, &recovery.task)?;
    match (&recovery.task.error, &recovery.details) {
        (None, Some(details)) => render_details(out, details),
        _ => Ok(()),
    }
}

/// What a task is doing, in one line, for whoever waited in vain.
pub fn what_it_is_doing(now: Time, task: &TaskView) -> String {
    let last = match &task.last {
        Some(last) => format!("iteration {} was the last to complete", last.iteration),
        None => "none has completed".to_owned(),
    };
    match &task.current {
        Some(current) => {
            let running = now.signed_duration_since(current.start_time).to_std().unwrap_or_default();
            format!(
                "iteration {} has been running for {}; {last}",
                current.iteration,
                time::measured(running)
            )
        }
        None => format!("it is idle; {last}"),
    }
}
